"""Runs of notebook 05's sweep, trained while other notebooks leave cores idle.

The notebooks that compute on one core come before the sweep. Meanwhile a process of its own trains
the sweep's runs on another core. It is stopped before the sweep begins, which takes the finished
runs as they are and resumes the one that was stopped, bit for bit.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from emolib.config import Experiment
from emolib.system.process import cores, end_with, terminable

FOLDER = "sweep"  # in the run folder, as notebook 05 has it
PATIENCE = 10.0  # seconds in which the process may end by itself


@contextlib.contextmanager
def trained_ahead(experiment: Experiment, folder: Path, env: Mapping[str, str]) -> Iterator[None]:
    """Inside, a process trains runs of the sweep in the run ``folder``; it ends with the block.

    A machine with one core has none to spare. What goes wrong with a run is left to the sweep,
    which meets it again and reports it.
    """
    if cores() < 2:
        yield
        return
    command = [sys.executable, "-m", "emolib.pipeline.ahead", str(os.getpid())]
    # Its standard output is ours no more than a kernel's is: the command's results go there.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env, text=True
    )
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
            json.dump({"experiment": dataclasses.asdict(experiment), "folder": str(folder)}, pipe)
        yield
    finally:
        _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Stop the process; it removes its temporary files if it can."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def train(experiment: Experiment, folder: Path) -> None:
    """Train the sweep's runs one after another, the longest first, as the sweep does.

    Only on a CPU, of which a run takes one core. The run in ``folder`` itself is left out:
    notebooks 3 and 4 train it, and the sweep takes it from there.
    """
    from emolib.system.device import device
    from emolib.training import run as training
    from emolib.training import sweep
    from emolib.training.unit import FAILURES
    from emolib.training.workers import length_of

    if device() != "cpu":
        return
    grid = {"window": experiment.window_list(), "seed": experiment.seed_list()}
    variants = sweep.on_each_fold(experiment, sweep.combinations(grid))
    runs = [experiment.replace(**variant) for variant in variants]
    for run in sorted(runs, key=length_of, reverse=True):
        fingerprint = run.fingerprint("train")
        if fingerprint != experiment.fingerprint("train"):
            with contextlib.suppress(*FAILURES):
                training.run(run, folder / FOLDER / fingerprint, progress=False)


def work(parent: int) -> None:
    """:func:`train` what standard input asks for; ends with the process ``parent``."""
    end_with(parent)
    with contextlib.suppress(KeyboardInterrupt), terminable():
        asked = json.load(sys.stdin)
        train(Experiment(**asked["experiment"]), Path(asked["folder"]))


if __name__ == "__main__":
    work(int(sys.argv[1]))
