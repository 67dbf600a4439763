"""The pipeline on tiny notebooks: order, resuming, parameters, limits, and what happens to kernels."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from emolib.config import format_settings, parse_settings, preset
from emolib.errors import EmolibError, WrongCall
from emolib.pipeline import committed, kernel
from emolib.pipeline import run as pipeline
from emolib.system.files import write_json

PARAMETERS = 'preset = "demo"\nname = ""\ndata = ""\nweights = ""\nsettings = ""'
RECORD = """
from emolib.system.files import runs_root, write_json
folder = runs_root() / (name or preset)
write_json(folder / "records" / "{stem}.json", {{"metrics": {metrics}, "summary": {{"seen_by_{number}": settings}}}})
"""
TCP = """
import os
mine = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")}
rows = [line.split() for kind in ("tcp", "tcp6") for line in open(f"/proc/self/net/{kind}").read().splitlines()[1:]]
ports = [row[1] for row in rows if f"socket:[{row[9]}]" in mine]
"""


def write_notebook(
    project: Path, stem: str, *cells: str, metrics: str = "{}", parameters: str = PARAMETERS
) -> Path:
    """A notebook of one parameters cell, ``cells``, and the cell that writes its record."""
    sources = [parameters, *cells, RECORD.format(stem=stem, metrics=metrics, number=stem[:2])]
    content = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{i}",
                "metadata": {"tags": ["parameters"]} if i == 0 else {},
                "source": source.strip("\n"),
                "execution_count": None,
                "outputs": [],
            }
            for i, source in enumerate(sources)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = project / "notebooks" / f"{stem}.ipynb"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project that the pipeline takes for the checkout."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "emolib").mkdir()
    (tmp_path / "emolib" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOLIB_RUNS", raising=False)
    monkeypatch.setattr(
        pipeline, "package_hash", lambda: "fixed"
    )  # the package may be edited while this runs
    return tmp_path


def no_kernel(*args, **kwargs):
    raise AssertionError("a kernel was started")


def test_runs_in_order_off_tcp_and_only_once(project, monkeypatch):
    write_notebook(
        project, "02_second", "assert open('../order').read() == '1'", metrics="{'b': 2}"
    )
    write_notebook(
        project,
        "01_first",
        TCP,
        "open('../order', 'w').write('1')",
        "print(settings)",
        metrics="{'ports': len(ports)}",
    )
    summary = pipeline.run(preset("demo", epochs=3, seeds="1,2"), "mine", progress=False)
    assert summary["notebooks"]["01_first"]["metrics"] == {"ports": 0}
    assert summary["seen_by_01"] == "epochs=3,seeds=1,2"
    assert (
        summary["origin"] == "synthetic"
        and summary["preset"] == "demo"
        and summary["versions"]["python"]
    )
    assert summary["notebooks"]["02_second"]["seconds"] > 0
    assert not (project / "figures").exists(), "the figures of a preset come from its own run only"
    files = {path: path.read_bytes() for path in (project / "runs").rglob("*") if path.is_file()}
    monkeypatch.setattr(kernel, "execute", no_kernel)
    assert pipeline.run(preset("demo", epochs=3, seeds="1,2"), "mine", progress=False) == summary
    assert files == {
        path: path.read_bytes() for path in (project / "runs").rglob("*") if path.is_file()
    }


def test_failure_names_notebook_and_cell_and_the_next_run_goes_on_there(project):
    write_notebook(project, "01_first", "open('../count', 'a').write('x')")
    write_notebook(project, "02_second", "a = 1", "# comment\nraise ValueError('one\\nlast line')")
    with pytest.raises(
        EmolibError,
        match=r"02_second\.ipynb: cell 3 \(`raise ValueError.*\) failed: ValueError: last line; see .*02_second",
    ):
        pipeline.run(preset("demo"), progress=False)
    assert not (project / "runs/demo/summary.json").exists()
    write_notebook(project, "02_second", "a = 1")
    summary = pipeline.run(preset("demo"), progress=False)
    assert set(summary["notebooks"]) == {"01_first", "02_second"}
    assert (project / "count").read_text() == "x", "the finished notebook ran again"


def test_the_summary_holds_finished_notebooks_only(project):
    first, _ = write_notebook(project, "01_first"), write_notebook(project, "02_second")
    for stem in ("01_first", "02_second"):
        write_json(
            project / f"runs/demo/records/{stem}.json", {"metrics": {}, "summary": {stem: 1}}
        )
        key = pipeline._key(first, preset("demo")) if stem == "01_first" else "of another state"
        write_json(
            project / f"runs/demo/notebooks/{stem}.ipynb", {"metadata": {"emolib": {"key": key}}}
        )
    summary = pipeline.summarise(project / "runs/demo", preset("demo"))
    assert (
        list(summary["notebooks"]) == ["01_first"]
        and "01_first" in summary
        and "02_second" not in summary
    )


def test_a_changed_source_setting_or_package_runs_again(project, monkeypatch):
    path = write_notebook(project, "01_first")
    key = pipeline._key(path, preset("demo"))
    copy = project / "runs/demo/notebooks/01_first.ipynb"
    write_json(copy, {"metadata": {"emolib": {"key": key}}})
    assert not pipeline.finished(project / "runs/demo", path, key), "its record is missing"
    write_json(project / "runs/demo/records/01_first.json", {})
    assert pipeline.finished(project / "runs/demo", path, key)
    assert pipeline._key(path, preset("demo", epochs=3)) != key
    monkeypatch.setattr(pipeline, "package_hash", lambda: "other")
    assert pipeline._key(path, preset("demo")) != key
    copy.write_text('{"metadata": {"emo')  # killed while papermill was writing
    assert not pipeline.finished(project / "runs/demo", path, key)


def test_key_ignores_outputs(project):
    path = write_notebook(project, "01_first")
    key = pipeline._key(path, preset("demo"))
    content = json.loads(path.read_text())
    content["cells"][0] |= {
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}],
        "execution_count": 7,
    }
    path.write_text(json.dumps(content))
    assert pipeline._key(path, preset("demo")) == key


def test_unknown_parameter_is_refused_before_any_kernel(project, monkeypatch):
    monkeypatch.setattr(kernel, "execute", no_kernel)
    write_notebook(project, "01_first")
    write_notebook(project, "02_second", parameters=PARAMETERS.replace("settings", "setings"))
    with pytest.raises(
        WrongCall, match=r"02_second\.ipynb: unknown parameter 'settings'; did you mean 'setings'"
    ):
        pipeline.run(preset("demo"), progress=False)
    path = write_notebook(project, "01_first")
    with pytest.raises(WrongCall, match=r"name=3: expected str"):
        pipeline.check_parameters(path, {"name": 3})


@pytest.mark.parametrize("source", ["a = 1 + b", "print(1)", "import os"])
def test_parameters_cell_holds_literals_only(project, source):
    path = write_notebook(project, "01_first", parameters=source)
    with pytest.raises(EmolibError, match="parameters cell"):
        pipeline.notebook_parameters(path)


def test_exactly_one_parameters_cell(project):
    path = write_notebook(project, "01_first")
    path.write_text(path.read_text().replace('["parameters"]', "[]"))
    with pytest.raises(EmolibError, match="0 cells tagged"):
        pipeline.notebook_parameters(path)


def test_unknown_notebook_and_no_notebooks(project):
    with pytest.raises(EmolibError, match="no notebooks here"):
        pipeline.notebooks()
    write_notebook(project, "01_first")
    write_notebook(project, "06_other")
    assert [path.name for path in pipeline.notebooks()] == ["01_first.ipynb"]
    assert [path.name for path in pipeline.notebooks("6, 1,1")] == [
        "01_first.ipynb",
        "06_other.ipynb",
    ]
    with pytest.raises(WrongCall, match="no notebook '07'; there are 01, 06"):
        pipeline.notebooks("01,7")


def test_time_limit_is_for_the_whole_notebook(project):
    write_notebook(
        project, "01_first", "import time\ntime.sleep(0.7)", "time.sleep(0.7)", "time.sleep(30)"
    )
    begin = time.monotonic()
    with pytest.raises(
        EmolibError, match=r"01_first\.ipynb: cell \d .* passed the time limit of 2 s; raise"
    ):
        pipeline.run(preset("demo"), time_limit=2, progress=False)
    assert time.monotonic() - begin < 15


def test_a_dead_kernel_is_an_error(project):
    write_notebook(project, "01_first", "import os\nos._exit(9)")
    with pytest.raises(EmolibError, match=r"01_first\.ipynb: the kernel died in cell 2 "):
        pipeline.run(preset("demo"), progress=False)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_kernels_end_with_the_pipeline(project, stop):
    sockets = tempfile.mkdtemp(
        prefix="emolib-test-"
    )  # pytest's own folders are too long for sockets
    write_notebook(
        project,
        "01_first",
        "import os, time\nopen('../pid', 'w').write(str(os.getpid()))\ntime.sleep(60)",
    )
    code = "from emolib import config; from emolib.pipeline import run as pipeline; pipeline.run(config.preset('demo'), progress=False)"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        cwd=project,
        env={**os.environ, "TMPDIR": sockets},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # a shell starts background jobs with it ignored
    )
    pid = _wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text())
    process.send_signal(stop)
    assert process.wait(20) != 0
    _wait_for(lambda: not _alive(int(pid)))
    assert stop == signal.SIGKILL or not list(Path(sockets).iterdir())
    shutil.rmtree(sockets)
    with pipeline._locked(project / "runs/demo"):  # the dead process's lock is free
        pass


def _wait_for(condition, seconds=25):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return value


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_folder_in_use_names_its_process(project):
    with (
        pipeline._locked(project / "runs/demo"),
        pytest.raises(EmolibError, match=f"in use by process {os.getpid()}; wait"),
    ):
        pipeline._locked(project / "runs/demo").__enter__()


def test_a_folder_of_another_experiment_is_refused(project, monkeypatch):
    monkeypatch.setattr(kernel, "execute", no_kernel)
    write_notebook(project, "01_first")
    preset("demo", epochs=3).save(project / "runs/demo/experiment.json")
    with pytest.raises(
        WrongCall,
        match=rf"another experiment \(epochs=3 there, {preset('demo').epochs} here\); choose another --name",
    ):
        pipeline.run(preset("demo"), progress=False)


def test_nothing_to_do_imports_nothing_heavy(project):
    write_notebook(project, "01_first")
    write_json(project / "runs/demo/records/01_first.json", {"metrics": {}, "summary": {}})
    write_json(project / "runs/demo/notebooks/01_first.ipynb", {"metadata": {}})
    code = """
    import sys
    from emolib import config
    from emolib.pipeline import run as pipeline
    pipeline.finished = lambda *args: True
    pipeline.run(config.preset("demo"), progress=False)
    print([name for name in ("torch", "papermill", "pandas", "matplotlib") if name in sys.modules])
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_gather_writes_only_what_differs(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    for folder in (source, target):
        folder.mkdir()
        (folder / "same.csv").write_text("1")
    (source / "new.csv").write_text("2")
    before = (target / "same.csv").stat().st_mtime_ns
    assert pipeline.gather(source, target) == [target / "new.csv"]
    assert (target / "new.csv").read_text() == "2" and (
        target / "same.csv"
    ).stat().st_mtime_ns == before
    assert pipeline.gather(source, target) == []


def test_refreshed_notebooks_hold_no_noise(project, monkeypatch):
    cells = ["import sys\nprint('kept')\nprint('bar', file=sys.stderr)", "1 + 1"]
    path = write_notebook(project, "01_first", *cells)
    assert committed.refresh_notebooks(progress=False) == [path]
    content = json.loads(path.read_text())
    assert content["cells"][1]["outputs"] == [
        {"name": "stdout", "output_type": "stream", "text": ["kept\n"]}
    ]
    assert [cell["execution_count"] for cell in content["cells"]] == [1, 2, 3, 4]
    assert "papermill" not in path.read_text() and "version" not in json.dumps(content["metadata"])
    assert [cell["id"] for cell in content["cells"]] == ["c0", "c1", "c2", "c3"]
    monkeypatch.setattr(kernel, "execute", no_kernel)
    assert committed.refresh_notebooks(progress=False) == [], (
        "a refreshed notebook is finished and does not change"
    )


def test_a_path_in_an_output_stops_the_refresh(project):
    path = write_notebook(project, "01_first", "print('/home/me/data')")
    before = path.read_bytes()
    with pytest.raises(EmolibError, match=r"holds the path /home/me/data"):
        committed.refresh_notebooks(progress=False)
    assert path.read_bytes() == before


def test_settings_as_text():
    experiment = preset("demo", seeds="1,2", standardise=False, learning_rate=1e-4, window=30)
    text = format_settings(experiment)
    assert preset("demo", **parse_settings(text)) == experiment
    assert parse_settings("") == {} and format_settings(preset("paper")) == ""
    for bad, message in (
        ("x", "key=value"),
        ("epochz=3", "did you mean 'epochs'"),
        ("epochs=a", "int"),
        ("standardise=1", "true or false"),
    ):
        with pytest.raises(WrongCall, match=message):
            parse_settings(bad)
