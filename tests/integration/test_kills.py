"""Work that is killed at random moments, or loses its power, ends with undisturbed work's bits.

Extraction, training and submission run in a forked process that is killed and begun again. When the
power fails, what was not synced to the disk is gone: those files are cut to zero.
"""

import os
import shutil
import signal
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from emolib.config import preset
from emolib.errors import EmolibError
from emolib.features import extraction, window_sets
from emolib.features.prepare import clips_of, store_features
from emolib.results.stored_predictions import by_clip
from emolib.studies import submission
from emolib.system.files import hash_file
from emolib.training import run as training
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
        "run/test_predictions/[!.]*.parquet",
        "cache/features/*/[!.]*.safetensors",
    ):
        kept += sorted(runs.glob(pattern))
    return {str(path.relative_to(runs)): hash_file(path) for path in kept}


def attempt(tree, runs, delay, log=None):
    """The work in a forked process, killed after ``delay`` seconds (None: never); 0 when it ended.

    ``log``: gets a line for every file that is synced, which is how it is known again.
    """
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        os.environ["EMOLIB_RUNS"] = str(runs)
        extraction.load_visual = window_sets.load_visual = lambda *_: Colours()
        extraction.load_audio = window_sets.load_audio = lambda *_: Pitches()
        if log is not None:
            os.fsync = partial(noted_sync, os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT))
        warnings.simplefilter("ignore")
        try:
            work(tree, runs)
            os._exit(0)
        finally:
            os._exit(1)
    if delay is not None:
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


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
def test_killed_work_ends_with_the_same_bits(tmp_path, tree, power, runs, kills):
    begun = time.monotonic()
    whole = tmp_path / "whole"
    assert attempt(tree, whole, None) == 0
    longest = time.monotonic() - begun
    expected = results(whole)
    assert len(expected) > 20
    rng, hits, lost = np.random.default_rng(19 + power), 0, 0
    for number in range(runs):
        folder, log = tmp_path / f"runs{number}", tmp_path / f"synced{number}"
        for delay in np.sort(rng.uniform(0, 0.7 * longest, kills)):
            folder.mkdir(exist_ok=True)
            hits += attempt(tree, folder, float(delay), log) != 0
            lost += lose_power(folder, log) if power else 0
        assert attempt(tree, folder, None) == 0
        assert results(folder) == expected
        print(f"{hits} kills, {lost} files lost", flush=True)
    assert hits >= runs, "too few were killed before they had ended"


@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_file_that_a_disk_did_not_keep_is_refused_or_made_anew(tmp_path, tree, count):
    """A disk that says "synced" and has not: any file of finished work is empty."""
    whole = tmp_path / "whole"
    assert attempt(tree, whole, None) == 0
    expected = results(whole)
    files = sorted(path for path in whole.rglob("*") if path.is_file() and path.stat().st_size)
    for path in np.random.default_rng(23).choice(files, count, replace=False):
        path.write_bytes(b"")
        if attempt(tree, whole, None):  # refused: whoever reads the message deletes the file
            path.unlink()
            assert attempt(tree, whole, None) == 0
        if path.exists() and not path.stat().st_size:  # unread: what is made from it was there
            (whole / "run" / "metrics.json").unlink()
            shutil.rmtree(whole / "run" / "test_predictions")
            assert attempt(tree, whole, None) == 0
        assert results(whole) == expected, path.name


def test_a_missing_or_damaged_prediction_is_noticed_and_made_anew(tmp_path, tree):
    run = tmp_path / "run"
    assert attempt(tree, tmp_path, None) == 0
    expected = results(tmp_path)
    path = min((run / "predictions").iterdir())
    path.write_bytes(b"")
    with pytest.raises(EmolibError, match=rf"{path.name}: damaged"):
        by_clip(run)
    path.unlink()
    with pytest.raises(EmolibError, match=r"annotated frames, and \d+ were scored; delete"):
        by_clip(run)
    (run / "metrics.json").unlink()
    assert attempt(tree, tmp_path, None) == 0
    assert results(tmp_path) == expected


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
