"""Sweeps over in-memory data: the table, what is not repeated, what fails, worker processes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from windowsets import make, prompts, tiny

from emolib import sweep, training
from emolib.errors import EmolibError, WrongCall
from emolib.files import hash_file

GRID = {"width": [16, 32], "seed": [1, 2]}


@pytest.fixture
def prepared(monkeypatch):
    """training.prepare gives small sets in memory; counts its calls and can be told to fail for a width."""
    calls = []

    def prepare(experiment, *, progress=True):
        calls.append(experiment)
        if experiment.epochs == 1:
            raise EmolibError("no such weights")
        return training.Data(make(), make(seed=1), [make(seed=1)], *prompts())

    monkeypatch.setattr(training, "prepare", prepare)
    return calls


def test_table_and_nothing_is_repeated(tmp_path, prepared):
    table = sweep.run(tiny(), GRID, tmp_path / "sweep", workers=0, progress=False)
    assert table[["width", "seed"]].to_numpy().tolist() == [[16, 1], [16, 2], [32, 1], [32, 2]]
    assert (table.frame_macro_f1_low <= table.frame_macro_f1).all() and (table.window_macro_f1_high >= table.window_macro_f1).all()
    assert table.frame_macro_f1.nunique() > 1 and (table.error == "").all() and len(prepared) == 4
    again = sweep.run(tiny(), {"width": [32, 16], "seed": [2]}, tmp_path / "sweep", workers=0, progress=False)
    assert len(prepared) == 4
    assert again.frame_macro_f1.tolist() == table.frame_macro_f1.iloc[[3, 1]].tolist()
    stored = pd.read_parquet(tmp_path / "sweep" / "results.parquet")
    pd.testing.assert_frame_equal(stored, again)
    assert pd.read_csv(tmp_path / "sweep" / "results.csv").fingerprint.tolist() == again.fingerprint.tolist()


def test_sweeps_share_runs_and_keep_their_own_records(tmp_path, prepared):
    first = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path, workers=0, progress=False)
    second = sweep.run_variants(tiny(), [{"seed": 2}, {"width": 32, "seed": 1}], tmp_path, record="other", workers=0, progress=False)
    assert len(prepared) == 3, "seed 2 is shared"
    assert pd.read_csv(tmp_path / "results.csv").fingerprint.tolist() == first.fingerprint.tolist()
    assert pd.read_csv(tmp_path / "other.csv").fingerprint.tolist() == second.fingerprint.tolist() != first.fingerprint.tolist()


def test_the_run_around_the_sweep_counts(tmp_path, prepared):
    training.run(tiny(seed=2), tmp_path, progress=False)
    table = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path / "sweep", workers=0, progress=False)
    assert len(prepared) == 2 and table.folder.iloc[1] == str(tmp_path)


def test_a_failed_run_is_named_and_the_others_go_on(tmp_path, prepared):
    with pytest.raises(EmolibError, match=r"1 of 3 runs failed \(epochs=1: no such weights\)"):
        sweep.run(tiny(), {"epochs": [2, 1, 3]}, tmp_path, workers=0, progress=False)
    stored = pd.read_parquet(tmp_path / "results.parquet")
    assert stored.error.tolist() == ["", "no such weights", ""] and stored.frame_macro_f1.isna().tolist() == [False, True, False]


def test_wrong_grids_are_refused_before_any_work(tmp_path, prepared):
    for grid, message in (
        ({"windw": [1]}, "did you mean 'window'"), ({"modalities": ["audio"]}, "nothing to fuse"), ({"seed": []}, "seed has no values"),
    ):  # fmt: skip
        with pytest.raises(WrongCall, match=message):
            sweep.run(tiny(), grid, tmp_path / "none", progress=False)
    with pytest.raises(WrongCall, match="executor='cloud'"):
        sweep.run(tiny(), GRID, tmp_path / "none", executor="cloud")
    assert not prepared and not (tmp_path / "none").exists()


def test_worker_processes_give_the_same_bits(tmp_path, prepared, monkeypatch):
    """Workers are real processes; sitecustomize gives them the in-memory data."""
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
            import sys
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            import emolib.training as training
            from windowsets import make, prompts
            training.prepare = lambda experiment, *, progress=True: training.Data(make(), make(seed=1), [make(seed=1)], *prompts())
        """)
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = sweep.run(tiny(), {"seed": [1, 2, 3]}, tmp_path / "alone", workers=0, progress=False)
    torch.set_num_threads(before)
    spread = sweep.run(tiny(), {"seed": [1, 2, 3]}, tmp_path / "spread", workers=2, progress=False)
    same = [column for column in alone if column != "folder"]
    pd.testing.assert_frame_equal(alone[same], spread[same])
    for one, other in zip(alone.folder, spread.folder, strict=True):
        assert hash_file(Path(one) / "model.safetensors") == hash_file(Path(other) / "model.safetensors")


def test_a_worker_ends_when_its_input_does():
    process = subprocess.Popen(
        [sys.executable, "-m", "emolib.sweep", str(os.getpid())], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    output, _ = process.communicate("/no/such/run\n", timeout=120)
    assert process.returncode == 0 and "/no/such/run/experiment.json: no such file" in output


def test_slurm_units_through_submitit(tmp_path, prepared, monkeypatch):
    """The executor's path without a cluster: submitit runs the jobs in this process."""
    submitit = pytest.importorskip("submitit")
    real = submitit.AutoExecutor
    monkeypatch.setattr(submitit, "AutoExecutor", lambda folder, cluster: real(folder, cluster="debug"))
    here = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path / "here", workers=0, progress=False)
    there = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path / "there", executor="slurm", progress=False)
    pd.testing.assert_frame_equal(here.drop(columns="folder"), there.drop(columns="folder"))
    with pytest.raises(EmolibError, match="1 of 2 runs failed"):
        sweep.run(tiny(), {"epochs": [1, 2]}, tmp_path / "there", executor="slurm", progress=False)
