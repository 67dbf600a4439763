"""What changes the repository: executed notebooks without noise,
and the figures that a page shows.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from emolib.config import preset
from emolib.errors import EmolibError
from emolib.pipeline import committed, kernel
from emolib.system.files import read_json, write_json, write_text
from tests.support.tiny_notebooks import write_notebook


def no_kernel(*args, **kwargs):
    raise AssertionError("a kernel was started")


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


def test_base64_holds_no_path():
    picture = "A" * 150 + "/tmp/abc" + "B" * 150
    assert committed.home_path(f'<img src="data:image/png;base64,{picture}">') is None
    assert committed.home_path(f"{picture} in /home/me/data") == "/home/me/data"


def test_hidden_cells_stay_hidden():
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {
            "tags": ["hide-input"],
            "jupyter": {"source_hidden": True},
            "papermill": {"duration": 1.0},
        },
        "source": "1",
        "execution_count": 9,
        "outputs": [],
    }
    (kept,) = committed.stripped({"cells": [cell]})["cells"]
    assert kept["metadata"] == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}


def test_figures_that_a_page_shows_are_copied_and_no_others(project):
    (project / "README.md").write_text(
        "![a](figures/demo/curve.png)\n<!-- figures/demo/table.md -->\n<!-- end -->"
    )
    figures = project / "runs" / "demo" / "figures"
    figures.mkdir(parents=True)
    for name in ("curve.png", "table.md", "other.png"):
        (figures / name).write_text(name)
    shown = [project / "figures" / "demo" / name for name in ("curve.png", "table.md")]
    shown[0].parent.mkdir(parents=True)
    preset("demo").save(project / "runs" / "demo" / "experiment.json")
    (shown[0].parent / "of_an_older_run.csv").write_text("0.1")
    assert committed.refresh_figures() == shown
    assert sorted((project / "figures" / "demo").iterdir()) == shown
    assert committed.refresh_figures() == [], "equal bytes are not written again"
    (figures / "curve.png").unlink()
    with pytest.raises(EmolibError, match=r"curve\.png: no such file; finish the run first"):
        committed.refresh_figures()


def test_the_summary_is_kept_without_times(project):
    (project / "README.md").write_text("[all numbers](figures/demo/summary.json)")
    (project / "figures" / "demo").mkdir(parents=True)
    entry = {"seconds": 3.5, "metrics": {"a": 1}}
    summary = {"rows": [0.5], "seconds": 3.5, "versions": {}, "notebooks": {"01_x": entry}}
    write_json(project / "runs" / "demo" / "summary.json", summary)
    preset("demo").save(project / "runs" / "demo" / "experiment.json")
    (kept,) = committed.refresh_figures()
    assert read_json(kept) == {"rows": [0.5], "notebooks": {"01_x": {"a": 1}}}


def test_git_takes_nothing_of_a_run(project):
    """`git add -A` after a run on a licensed data set would publish its people."""
    shutil.copy(Path(__file__).parents[3] / ".gitignore", project)
    for name in ("figures/faces.png", "notebooks/01_first.ipynb", "report.html"):
        write_text(project / "runs" / "paper" / name, "faces")
    git = ["git", "-C", str(project)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    taken = subprocess.run([*git, "add", "-A", "--dry-run"], check=True, capture_output=True)
    assert taken.stdout.decode().splitlines() == ["add '.gitignore'", "add 'emolib/__init__.py'"]


@pytest.mark.parametrize("changes", [{"data": "tree"}, {"epochs": 3}])
def test_figures_of_real_data_and_of_changed_settings_stay_in_runs(project, changes):
    (project / "README.md").write_text("![a](figures/demo/faces.png)")
    run = project / "runs" / "mine"
    preset("demo", **changes).save(run / "experiment.json")
    (run / "figures").mkdir()
    (run / "figures" / "faces.png").write_bytes(b"faces")
    with pytest.raises(EmolibError, match="only the demo's figures are shown"):
        committed.refresh_figures("mine")
    assert not (project / "figures").exists()
