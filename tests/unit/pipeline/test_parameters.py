"""The parameters cell: literals, known names, and what a run fills in."""

import pytest

from emolib.config import preset
from emolib.errors import EmolibError, WrongCall
from emolib.pipeline import kernel, parameters
from emolib.pipeline import run as pipeline
from emolib.pipeline.session import run_name
from tests.support.tiny_notebooks import PARAMETERS, write_notebook


def no_kernel(*args, **kwargs):
    raise AssertionError("a kernel was started")


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
        parameters.check(path, {"name": 3})


@pytest.mark.parametrize("source", ["a = 1 + b", "print(1)", "import os"])
def test_parameters_cell_holds_literals_only(project, source):
    path = write_notebook(project, "01_first", parameters=source)
    with pytest.raises(EmolibError, match="parameters cell"):
        parameters.defaults(path)


def test_exactly_one_parameters_cell(project):
    path = write_notebook(project, "01_first")
    path.write_text(path.read_text().replace('["parameters"]', "[]"))
    with pytest.raises(EmolibError, match="0 cells tagged"):
        parameters.defaults(path)


def test_a_run_fills_in_what_differs_only(project):
    path = write_notebook(project, "01_first")
    assert parameters.of_run(path, preset("demo"), "demo") == {}
    changed = preset("demo", epochs=3)
    assert parameters.of_run(path, changed, run_name(changed)) == {"settings": "epochs=3"}
    expected = {"settings": "epochs=3", "name": "short"}
    assert parameters.of_run(path, changed, "short") == expected
