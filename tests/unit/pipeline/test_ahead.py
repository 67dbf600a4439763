"""The order of a run's notebooks, and the sweep's runs that are trained beside them."""

import os
from contextlib import contextmanager

import pytest

from emolib.config import preset
from emolib.pipeline import ahead
from emolib.pipeline import run as pipeline
from emolib.training import run as training
from emolib.training import sweep
from tests.support.sweeps import keep_in_memory, same_bits
from tests.support.tiny_notebooks import write_notebook
from tests.support.windowsets import tiny

NOTEBOOKS = ("01", "02", "03", "04", "05", "06", "11")


@pytest.fixture
def events(project, monkeypatch) -> list[str]:
    """Notebooks in the order of their execution, and when runs are trained beside them."""
    happened: list[str] = []

    @contextmanager
    def trained_ahead(experiment, folder, env):
        happened.append("begin")
        yield
        happened.append("end")

    monkeypatch.setattr(pipeline, "trained_ahead", trained_ahead)
    monkeypatch.setattr(pipeline, "summarise", lambda folder, experiment, given: {})
    monkeypatch.setattr(
        pipeline, "execute", lambda path, *args, **limits: happened.append(path.name[:2])
    )
    for number in (*NOTEBOOKS, "07"):
        write_notebook(project, f"{number}_any")
    return happened


def test_runs_are_trained_beside_the_notebooks_on_one_core_before_the_sweep(events):
    pipeline.run(preset("demo"), progress=False)
    assert events == ["01", "02", "begin", "03", "04", "06", "11", "end", "05"]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("3,4", ["03", "04"]),  # no sweep is asked for
        ("5,7", ["05", "07"]),  # no time to train in
        ("7,5,4", ["begin", "04", "end", "05", "07"]),
    ],
)
def test_nothing_is_trained_ahead_in_vain(events, only, expected):
    pipeline.run(preset("demo"), only=only, progress=False)
    assert events == expected


def test_nothing_is_trained_ahead_of_a_finished_sweep(events, monkeypatch):
    monkeypatch.setattr(pipeline, "finished", lambda folder, path, key: path.name[:2] == "05")
    pipeline.run(preset("demo"), progress=False)
    assert events == ["01", "02", "03", "04", "06", "11"]


@pytest.fixture
def prepared(monkeypatch):
    """The experiments whose data were asked for."""
    return keep_in_memory(monkeypatch)


def three_seeds(**changes):
    """A small experiment with seed 1 whose sweep has seeds 1, 2 and 3 of one window length."""
    return tiny(seed=1, seeds="1,2,3", windows=str(tiny().window), **changes)


def test_the_sweep_finds_the_runs_that_were_trained_ahead(tmp_path, prepared):
    experiment = three_seeds()
    ahead.train(experiment, tmp_path / "ahead")
    assert sorted(each.seed for each in prepared) == [2, 3], "seed 1 is the run's own"
    tables = []
    for name in ("ahead", "alone"):
        training.run(experiment, tmp_path / name, progress=False)
        grid = {"window": experiment.window_list(), "seed": experiment.seed_list()}
        folder = tmp_path / name / "sweep"
        tables.append(sweep.run(experiment, grid, folder, workers=0, progress=False))
    assert len(prepared) == 2 + 1 + 3, "a run was trained ahead and again in the sweep"
    same_bits(*tables)


def test_a_run_that_fails_is_left_to_the_sweep(tmp_path, prepared):
    ahead.train(three_seeds(epochs=1), tmp_path)  # for which data are missing
    assert [each.seed for each in prepared] == [2, 3]


def test_no_process_is_left_and_a_single_core_gets_none(tmp_path, monkeypatch):
    started = []
    popen = ahead.subprocess.Popen
    monkeypatch.setattr(
        ahead.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    monkeypatch.setattr(ahead, "cores", lambda: 2)
    with (
        pytest.raises(KeyboardInterrupt),
        ahead.trained_ahead(tiny(), tmp_path, dict(os.environ)),
    ):
        assert started[0].poll() is None
        raise KeyboardInterrupt
    assert started[0].poll() is not None
    monkeypatch.setattr(ahead, "cores", lambda: 1)
    with ahead.trained_ahead(tiny(), tmp_path, dict(os.environ)):
        assert len(started) == 1
