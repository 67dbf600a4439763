"""Work that is killed at random moments, or loses its power, ends with undisturbed work's bits.

Extraction, training and submission run in a forked process that is killed and begun again. When the
power fails, what was not synced to the disk is gone: those files are cut to zero.
"""

import os
import shutil
import warnings
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from emolib.config import preset
from emolib.errors import EmolibError
from emolib.features import extraction, window_sets
from emolib.features.prepare import clips_of, store_features
from emolib.results.stored_predictions import by_clip
from emolib.studies import submission
from emolib.system.files import hash_file
from emolib.training import run as training
from tests.support.forks import exit_code_and_seconds, fork
from tests.support.planted import plan, write
from tests.support.planted_readers import SETTINGS, Colours, Pitches


@pytest.fixture(scope="module")
def tree(module_path):
    root = module_path / "tree"
    write(root, plan(40))
    return root


def work(tree, runs):
    """Extraction, training and a submission below the folder ``runs``."""
    changes = {**SETTINGS, "window": 4, "stride": 4, "epochs": 4, "frame_stride": 2}
    e = preset("demo", data=str(tree), **changes)
    store_features(e, clips_of(e, ("train", "validation"), progress=False), progress=False)
    training.run(e, runs / "run", progress=False)
    submission.of_run(runs / "run", runs / "out.txt", progress=False)


def results(runs):
    """Hashes of everything that the work is for."""
    names = ["run/model.safetensors", "run/history.csv", "run/metrics.json", "out.txt"]
    kept = [runs / name for name in names]
    for pattern in (
        "run/predictions/[!.]*.parquet",
        "run/test_predictions/[!.]*.json",
        "cache/features/*/[!.]*.safetensors",
    ):
        kept += sorted(runs.glob(pattern))
    return {str(path.relative_to(runs)): hash_file(path) for path in kept}


class Attempt(NamedTuple):
    runs: Path
    ended: bool  # by itself, without an error
    seconds: float  # that it has computed


def attempt(tree, runs, kill_after=None, log=None) -> Attempt:
    """The work in a forked process, killed after so many seconds of its own (None: never).

    ``log``: gets a line for every file that is synced, which is how it is known again.
    """

    def all_of_it():
        os.environ["EMOLIB_RUNS"] = str(runs)
        extraction.load_visual = window_sets.load_visual = lambda *_: Colours()
        extraction.load_audio = window_sets.load_audio = lambda *_: Pitches()
        if log is not None:
            os.fsync = partial(noted_sync, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
        warnings.simplefilter("ignore")
        work(tree, runs)

    code, seconds = exit_code_and_seconds(fork(all_of_it, kill_after))
    return Attempt(runs, code == 0, seconds)


@pytest.fixture(scope="module")
def whole(tree, module_path) -> Attempt:
    """Undisturbed work; who damages its files takes a copy."""
    undisturbed = attempt(tree, module_path / "whole")
    assert undisturbed.ended
    return undisturbed


def noted_sync(log, file):
    status = os.fstat(file)
    os.write(log, f"{status.st_ino} {status.st_mtime_ns}\n".encode())


def lose_power(runs, log):
    """Cut every file below ``runs`` that was not synced after its last write; how many."""
    synced = set(log.read_text().split("\n")) if log.exists() else set()
    lost = 0
    for path in (path for path in runs.rglob("*") if path.is_file()):
        status = path.stat()
        if f"{status.st_ino} {status.st_mtime_ns}" not in synced and status.st_size:
            path.write_bytes(b"")
            lost += 1
    return lost


@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize(("runs", "kills"), [(1, 3), pytest.param(10, 6, marks=pytest.mark.slow)])
def test_killed_work_ends_with_the_same_bits(tmp_path, tree, whole, power, runs, kills):
    expected = results(whole.runs)
    assert len(expected) > 20
    rng, hits, lost = np.random.default_rng(19 + power), 0, 0
    for number in range(runs):
        folder, log = tmp_path / f"runs{number}", tmp_path / f"synced{number}"
        for delay in np.sort(rng.uniform(0.01, 0.7 * whole.seconds, kills)):
            folder.mkdir(exist_ok=True)
            hits += not attempt(tree, folder, float(delay), log).ended
            lost += lose_power(folder, log) if power else 0
        assert attempt(tree, folder).ended
        assert results(folder) == expected
        print(f"{hits} kills, {lost} files lost", flush=True)
    assert hits >= runs, "too few were killed before they had ended"


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_file_that_a_disk_did_not_keep_is_refused_or_made_anew(tmp_path, tree, whole, count):
    """A disk that says "synced" and has not: any file of finished work is empty."""
    runs = tmp_path / "runs"
    shutil.copytree(whole.runs, runs)
    expected = results(runs)
    files = sorted(path for path in runs.rglob("*") if path.is_file() and path.stat().st_size)
    for path in np.random.default_rng(23).choice(files, count, replace=False):
        path.write_bytes(b"")
        if not attempt(tree, runs).ended:  # refused: whoever reads the message deletes the file
            path.unlink()
            assert attempt(tree, runs).ended
        if path.exists() and not path.stat().st_size:  # unread: what is made from it was there
            (runs / "run" / "metrics.json").unlink()
            shutil.rmtree(runs / "run" / "test_predictions")
            assert attempt(tree, runs).ended
        assert results(runs) == expected, path.name


def test_a_missing_or_damaged_prediction_is_noticed_and_made_anew(tmp_path, tree, whole):
    runs = tmp_path / "runs"
    shutil.copytree(whole.runs, runs)
    run, expected = runs / "run", results(runs)
    path = min((run / "predictions").iterdir())
    path.write_bytes(b"")
    with pytest.raises(EmolibError, match=rf"{path.name}: damaged"):
        by_clip(run)
    path.unlink()
    with pytest.raises(EmolibError, match=r"annotated frames, and \d+ were scored; delete"):
        by_clip(run)
    (run / "metrics.json").unlink()
    assert attempt(tree, runs).ended
    assert results(runs) == expected


def test_losing_power_empties_what_was_not_synced(tmp_path):
    log = tmp_path / "log"
    folder = tmp_path / "runs"
    folder.mkdir()
    with (
        (folder / "kept").open("w") as file,
        os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT), "wb") as notes,
    ):
        file.write("x")
        file.flush()
        noted_sync(notes.fileno(), file.fileno())
    Path(folder / "lost").write_text("x")
    assert lose_power(folder, log) == 1
    assert [(folder / name).read_text() for name in ("kept", "lost")] == ["x", ""]
