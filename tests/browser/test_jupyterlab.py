"""JupyterLab as it is used: a real server, real Chromium, notebooks opened and run from the menu,
on the finished demo, those that train many variants at a small size.

JupyterLab gives an image without an alternative text the text "Image"; that counts as none. The
server's settings, workspaces and kernels' files live in temporary folders, the notebooks in a
temporary copy.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from nbformat import v4
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from emolib.system.files import project_root
from tests.support.recordings import ravdess_voices
from tests.support.small import PARAMETERS

pytestmark = pytest.mark.timeout(2400)  # the first test may have to make the demo
NOTEBOOKS = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
LIMIT = 400  # seconds for one notebook on a busy machine; 20 to 60 on a quiet one
SETTINGS = {
    "notebook-extension/tracker": {
        "windowingMode": "none"
    },  # every cell is in the page, not only those in view
    "apputils-extension/notification": {
        "checkForUpdates": False,
        "fetchNews": "false",
    },  # no questions to outside
}
IDLE = """
const panel = document.querySelector('.jp-NotebookPanel');
const idle = '.jp-Notebook-ExecutionIndicator[data-status=idle]';
return Boolean(panel && panel.querySelector('.jp-CodeCell') && panel.querySelector(idle))
"""
SIDE = {"name": "test_jupyterlab"}  # the long notebooks are run small, in a run of their own
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
FAULTY = """from IPython.display import HTML, display
display(HTML('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">'))
1 / 0"""
STATE = """
const one = (selector, root) => [...(root || document).querySelectorAll(selector)];
const panel = document.querySelector('.jp-NotebookPanel:not(.lm-mod-hidden)');
const outputs = one('.jp-OutputArea-output', panel);
const prompt = cell => one('.jp-InputPrompt', cell).map(p => p.textContent.trim()).join('')
  || (cell.querySelector('.jp-Placeholder') ? '[0]' : '');
const alt = image => image.alt === 'Image' ? '' : image.alt;
const lost = new RegExp('^\\\\s*(Loading widget|Error displaying widget|Error creating widget|'
  + '\\\\w+\\\\(children=|FileUpload\\\\(|\\\\w+Slider\\\\()');
return {
  cells: one('.jp-CodeCell', panel).map(prompt),
  idle: Boolean(document.querySelector(
    '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Notebook-ExecutionIndicator[data-status=idle]')),
  errors: outputs.filter(o => /error|stderr/.test(o.dataset.mimeType))
    .map(o => o.textContent.slice(0, 500)),
  images: one('.jp-OutputArea-output img', panel)
    .map(i => [alt(i), i.title, i.complete && i.naturalWidth > 0]),
  widgets: one('.jupyter-widgets', panel).length,
  broken: outputs.map(o => o.textContent).filter(t => lost.test(t)),
  tables: one('.jp-OutputArea-output table', panel).length,
}
"""


PLACES = {  # of JupyterLab's own files, below the temporary folder
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "IPYTHONDIR": "ipython",
}


@pytest.fixture(scope="module")
def lab(demo, module_path):
    """The address of a JupyterLab server on a copy of the notebooks,
    its kernels on the finished demo run.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        pytest.skip("no JupyterLab here (the `notebooks` extra)")
    _copy_notebooks(module_path / "notebooks")
    _write_settings(module_path / PLACES["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab")
    port = _free_port()
    voices = ravdess_voices(module_path / "voices", range(1, 13), seconds=3.0)
    server = _serve(module_path, port, runs=demo.parent, voices=voices)
    try:
        _wait(
            lambda: _api(f"http://127.0.0.1:{port}/api/status"),
            120,
            lambda: (module_path / "log").read_text()[-2000:],
        )
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # the server's own group: it ends its kernels
        server.wait(60)
        shutil.rmtree(demo.parent / SIDE["name"], ignore_errors=True)


def _copy_notebooks(folder: Path) -> None:
    """All notebooks, the long ones with parameters for a small size, and one that fails."""
    folder.mkdir()
    for path in NOTEBOOKS:
        notebook = load_notebook_node(str(path))
        if path.name[:2] in PARAMETERS:
            notebook = parameterize_notebook(notebook, SIDE | PARAMETERS[path.name[:2]])
        (folder / path.name).write_text(nbformat.writes(notebook), encoding="utf-8")
    faulty = v4.new_notebook(cells=[v4.new_code_cell(FAULTY)], metadata=KERNEL)
    (folder / "faulty.ipynb").write_text(nbformat.writes(faulty))


def _write_settings(folder: Path) -> None:
    for name, values in SETTINGS.items():
        settings = folder / f"{name}.jupyterlab-settings"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(values))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _serve(folder: Path, port: int, runs: Path, voices: Path) -> subprocess.Popen:
    """JupyterLab on ``folder``/notebooks, in a process group of its own; it writes ``log``."""
    places = {name: str(folder / place) for name, place in PLACES.items()}
    options = [
        "--no-browser",
        "--allow-root",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder / 'notebooks'}",
        "--IdentityProvider.token=",
        "--ServerApp.disable_check_xsrf=True",
    ]
    with open(folder / "log", "w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            env={**os.environ, "EMOLIB_RUNS": str(runs), "EMOLIB_RAVDESS": str(voices), **places},
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _api(address: str, method: str = "GET"):
    """The server's answer, or None while there is none."""
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, method=method), timeout=20
        ) as answer:
            return json.loads(answer.read() or "{}") or {}
    except OSError:
        return None


def _wait(ready, seconds: float, what):
    """Wait until ``ready()`` is not None or false; fails with ``what()``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (found := ready()) not in (None, False, []):
            return found
        time.sleep(0.5)
    pytest.fail(f"not ready after {seconds} s: {what()}")


@pytest.fixture
def opened(lab, browser):
    """Open a notebook with an idle kernel; its kernel is ended with the test."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.set_window_size(1280, 1000)

    def ready() -> bool:
        kernels = _api(f"{lab}/api/kernels") or []
        connected = [
            kernel
            for kernel in kernels
            if kernel["connections"] and kernel["execution_state"] == "idle"
        ]
        return bool(connected) and browser.execute_script(IDLE)

    def open_notebook(name: str) -> None:
        browser.get(f"{lab}/lab/tree/{name}?reset")
        _wait(
            ready,
            LIMIT,
            lambda: browser.execute_script("return document.body.innerText.slice(0, 2000)"),
        )

    yield open_notebook
    browser.get("about:blank")
    for session in _api(f"{lab}/api/sessions") or []:
        _api(f"{lab}/api/sessions/{session['id']}", "DELETE")


def run_all(browser) -> dict:
    """Run > Run All Cells from the menu bar, wait for the last cell,
    and return what is then on the page.
    """
    from selenium.webdriver.common.by import By

    browser.execute_script(
        "document.querySelectorAll('.jp-InputPrompt').forEach(prompt => { "
        "prompt.textContent = '' })"
    )
    (menu,) = [
        item
        for item in browser.find_elements(By.CSS_SELECTOR, "#jp-MainMenu .lm-MenuBar-item")
        if item.text == "Run"
    ]
    menu.click()
    entry = "return document.querySelector('.lm-Menu-item[data-command=\"runmenu:run-all\"]')"
    _wait(lambda: browser.execute_script(entry), 30, lambda: "no menu").click()

    def done():
        state = browser.execute_script(STATE)
        return (
            state
            if state["errors"]
            or (state["idle"] and all(p.strip("[]:").isdigit() for p in state["cells"]))
            else None
        )

    return _wait(done, LIMIT, lambda: browser.execute_script(STATE))


def keep(browser, path: Path) -> None:
    """Store a picture of the whole notebook: the window as high as the notebook is long."""
    outer = "document.querySelector('.jp-NotebookPanel .jp-WindowedPanel-outer')"
    browser.set_window_size(
        1280, min(12000, browser.execute_script(f"return {outer}.scrollHeight") + 250)
    )
    browser.execute_script(f"{outer}.scrollTop = 0")
    time.sleep(1)
    browser.save_screenshot(str(path))


def moved(browser) -> bool:
    """Whether the slider over the film, pushed by the keyboard, shows another moment's picture."""
    picture = "return document.querySelector('.jp-NotebookPanel .jupyter-widgets img').src"
    before = browser.execute_script(picture)
    # The key "arrow right", five times.
    browser.find_element("css selector", ".jp-NotebookPanel .noUi-handle").send_keys("\ue014" * 5)
    return bool(
        _wait(
            lambda: browser.execute_script(picture) != before,
            30,
            lambda: "the picture stays the same",
        )
    )


CHANGE_SETTINGS = """
const cells = [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell')];
const cell = cells.find(c => c.textContent.includes('settings = ""'));
const content = cell.querySelector('.cm-content');
const view = (content.cmTile || content.cmView).view;  // CodeMirror's own editor
const at = view.state.doc.toString().indexOf('settings = ""') + 'settings = "'.length;
view.dispatch({changes: {from: at, insert: arguments[0]}});
return view.state.doc.toString();
"""


def test_changed_settings_are_shown_beside_the_default_run(browser, opened, demo):
    """Play: change a setting in the notebook on training, run all again, and see both runs."""
    opened("04_training.ipynb")
    assert 'settings = "epochs=1"' in browser.execute_script(CHANGE_SETTINGS, "epochs=1")
    before = {path.name for path in demo.parent.glob("demo_*")}
    state = run_all(browser)
    assert state["errors"] == []
    page = browser.execute_script("return document.body.innerText")
    assert "setting epochs" in page and "the default" in page and "nothing to compare" not in page
    for path in demo.parent.glob("demo_*"):
        if path.name not in before:
            shutil.rmtree(path)


# The slider over a video, and the bars of training; all others in the long form.
SHOWN = ("07", "08")
NOTEBOOK = [
    pytest.param(path, id=path.stem, marks=[] if path.name[:2] in SHOWN else [pytest.mark.slow])
    for path in NOTEBOOKS
]


@pytest.mark.parametrize("path", NOTEBOOK)
def test_run_all(browser, opened, screenshots, path):
    cells = [
        cell
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    opened(path.name)
    state = run_all(browser)
    keep(browser, screenshots / f"lab_{path.stem}.png")
    assert state["errors"] == [] and state["broken"] == []
    # Where parameters were given, papermill has put in a cell.
    assert len(state["cells"]) == len(cells) + (path.name[:2] in PARAMETERS)
    shown = sum(".show(" in "".join(cell["source"]) for cell in cells)
    assert len(state["images"]) >= shown > 0
    assert [image for image in state["images"] if not all(image)] == [], (
        "a figure without alternative text, title or picture"
    )
    assert state["tables"] > 0
    slider = "explore.slider(" in path.read_text(encoding="utf-8")
    assert (slider or path.name[:2] in PARAMETERS) == (state["widgets"] > 0), (
        "a slider, or the bars of training"
    )
    if slider:
        assert moved(browser)


def test_faults_are_noticed(browser, opened):
    """The counterpart: a failing cell, and a figure without an alternative text,
    are seen by what the test above looks at.
    """
    opened("faulty.ipynb")
    state = run_all(browser)
    assert len(state["errors"]) == 1 and "ZeroDivisionError" in state["errors"][0]
    assert [image[:2] for image in state["images"]] == [["", ""]]
