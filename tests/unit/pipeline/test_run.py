"""The pipeline without a kernel; tests/integration/test_kernels.py runs tiny notebooks."""

import subprocess
import sys
import textwrap

import pytest

from emolib.config import preset
from emolib.errors import EmolibError, WrongCall
from emolib.pipeline import kernel
from emolib.pipeline import run as pipeline
from emolib.system.files import write_json
from tests.support.tiny_notebooks import write_notebook


def no_kernel(*args, **kwargs):
    raise AssertionError("a kernel was started")


def test_unknown_notebook_and_no_notebooks(project):
    with pytest.raises(EmolibError, match="no notebooks here"):
        pipeline.notebooks()
    write_notebook(project, "01_first")
    write_notebook(project, "07_other")
    assert [path.name for path in pipeline.notebooks()] == ["01_first.ipynb"]
    assert [path.name for path in pipeline.notebooks("7, 1,1")] == [
        "01_first.ipynb",
        "07_other.ipynb",
    ]
    with pytest.raises(WrongCall, match="no notebook '09'; there are 01, 07"):
        pipeline.notebooks("01,9")


def test_a_folder_of_another_experiment_is_refused(project, monkeypatch):
    monkeypatch.setattr(kernel, "execute", no_kernel)
    write_notebook(project, "01_first")
    preset("demo", epochs=3).save(project / "runs/demo/experiment.json")
    with pytest.raises(
        WrongCall,
        match=rf"another experiment \(epochs=3 there, {preset('demo').epochs} here\); "
        r"choose another --name",
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
