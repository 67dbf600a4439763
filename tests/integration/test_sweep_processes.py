"""Sweeps over in-memory data in worker processes and SLURM jobs: the bits of runs alone."""

import os
import signal
import textwrap
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from emolib.errors import EmolibError
from emolib.pipeline.ahead import trained_ahead
from emolib.training import sweep
from tests.support.slurm_fixture import slurm  # noqa: F401 (a fixture)
from tests.support.sweeps import SOURCES, keep_in_memory, same_bits
from tests.support.windowsets import tiny


@pytest.fixture
def prepared(monkeypatch):
    """The experiments whose data were asked for."""
    return keep_in_memory(monkeypatch)


@pytest.fixture
def in_every_process(tmp_path, monkeypatch, prepared):
    """``prepared`` in child processes as well, by sitecustomize;
    each notes in ``epochs`` what it has saved, ``slowly`` if that exists.
    """
    (tmp_path / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
            import os, sys, time
            sys.path.insert(0, {str(Path(__file__).parents[2])!r})
            from emolib.features import prepare as inputs
            from emolib.features.sources import Sources
            from emolib.training import fit as fitting
            from emolib.training import run as training
            from tests.support.windowsets import make, prompts
            data = inputs.Data(make(), make(seed=1), [make(seed=1)], *prompts())
            inputs.prepare = training.prepare = lambda experiment, *, progress=True: data
            inputs.sources = lambda experiment, *, progress=True: {SOURCES!r}
            saved = fitting.save_state
            def save_state(path, parts, state):
                saved(path, parts, state)
                with open({str(tmp_path / "epochs")!r}, "a") as file:
                    file.write(f"{{path.parent.name}} {{len(state['history'])}} {{os.getpid()}}\\n")
                if os.path.exists({str(tmp_path / "slowly")!r}):
                    time.sleep(3)
            fitting.save_state = save_state
        """)
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    )
    return tmp_path


def test_worker_processes_give_the_bits_of_a_run_alone(in_every_process, monkeypatch):
    """A run alone in a process with two threads, and runs in two worker processes on two cores:
    one promise.
    """
    experiment = tiny(width=64, batch_size=32)
    grid = {"amp": ["float32", "bf16"], "seed": [1, 2]}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    alone = sweep.run(experiment, grid, in_every_process / "alone", workers=0, progress=False)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    spread = sweep.run(experiment, grid, in_every_process / "spread", workers=2, progress=False)
    same_bits(alone, spread)
    assert alone.window_macro_f1.nunique() > 1


def test_a_run_begun_ahead_and_stopped_is_resumed_by_the_sweep(in_every_process, monkeypatch):
    experiment = tiny(seed=1, seeds="1,2", windows=str(tiny().window))
    (in_every_process / "slowly").touch()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    begun = in_every_process / "begun"
    with trained_ahead(experiment, begun, os.environ):
        while not list(begun.glob("sweep/*/state.pt")):
            time.sleep(0.1)
    run = next(begun.glob("sweep/*/state.pt")).parent
    assert not (run / "metrics.json").exists(), "it was not stopped"
    grid = {"seed": [1, 2]}
    resumed = sweep.run(experiment, grid, begun / "sweep", workers=2, progress=False)
    epochs = (in_every_process / "epochs").read_text().split("\n")
    first = [line.split()[1] for line in epochs if line.startswith(run.name)]
    assert first == [str(epoch) for epoch in range(1, experiment.epochs + 1)], "an epoch ran twice"
    alone = sweep.run(experiment, grid, in_every_process / "alone", workers=0, progress=False)
    same_bits(resumed, alone)


ON_THIS_NODE = {"minutes": 5, "cpus": 1}


def test_a_real_slurm_gives_the_local_table(slurm, in_every_process):  # noqa: F811
    grid = {"width": [16, 32], "seed": [1]}
    here = sweep.run(tiny(), grid, in_every_process / "here", workers=0, progress=False)
    there = sweep.run(
        tiny(),
        grid,
        in_every_process / "there",
        executor="slurm",
        slurm=ON_THIS_NODE,
        progress=False,
    )
    same_bits(here, there)
    assert here.window_macro_f1.nunique() > 1
    pd.testing.assert_frame_equal(
        pd.read_parquet(in_every_process / "there" / "results.parquet"), there
    )


def test_preempted_and_killed_jobs_resume_to_the_same_bits(slurm, in_every_process):  # noqa: F811
    """One job is preempted and queued again by itself;
    another is killed, named, and goes on when it is sent again.
    """
    folder, seen = in_every_process / "there", in_every_process / "epochs"
    experiment = tiny(epochs=6)
    here = sweep.run(
        experiment, {"seed": [1, 2]}, in_every_process / "here", workers=0, progress=False
    )
    (in_every_process / "slowly").touch()
    failures = []

    def send():
        try:
            sweep.run(
                experiment,
                {"seed": [1, 2]},
                folder,
                executor="slurm",
                slurm=ON_THIS_NODE,
                progress=False,
            )
        except EmolibError as error:
            failures.append(str(error))

    sweeping = threading.Thread(target=send)
    sweeping.start()
    wait_until(
        lambda: (
            seen.exists()
            and {line.split()[0] for line in seen.read_text().splitlines()} == set(here.fingerprint)
        )
    )
    process = {line.split()[0]: int(line.split()[2]) for line in seen.read_text().splitlines()}
    # What SLURM sends before it preempts or ends a job.
    os.kill(process[here.fingerprint[0]], signal.SIGUSR2)
    os.kill(process[here.fingerprint[1]], signal.SIGKILL)
    (in_every_process / "slowly").unlink()
    sweeping.join(120)
    assert len(failures) == 1 and "1 of 2 runs failed (seed=2: SLURM job" in failures[0]
    assert any("equeued job" in log.read_text() for log in (folder / "slurm").glob("*_0_log.*"))
    there = sweep.run(
        experiment, {"seed": [1, 2]}, folder, executor="slurm", slurm=ON_THIS_NODE, progress=False
    )
    same_bits(here, there)
    done = [line.rsplit(" ", 1)[0] for line in seen.read_text().splitlines()]
    assert sorted(done) == sorted(
        f"{name} {epoch}" for name in here.fingerprint for epoch in range(1, 7)
    ), "an epoch was trained twice"


def wait_until(condition, seconds=120):
    for _ in range(seconds * 20):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("waited in vain")
