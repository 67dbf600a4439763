"""Locks between processes, with and without the system's own, and the names of run folders."""

import os
import subprocess
import sys
import threading

import pytest

from emolib.errors import EmolibError, WrongCall
from emolib.system.locks import is_locked, locked, try_lock
from emolib.system.runs import HELD, run_path, writing


def hold(path) -> subprocess.Popen:
    """Another process that holds the lock of ``path`` until its input ends."""
    code = (
        "import sys; from pathlib import Path; from emolib.system.locks import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_held_once_and_freed_with_its_process(tmp_path):
    path = tmp_path / "made" / "lock"
    process = hold(path)
    assert try_lock(path) is None and is_locked(path)
    process.kill()
    process.communicate()
    assert not is_locked(path)
    lock = try_lock(path)
    assert lock is not None and try_lock(path) is None
    lock.release()
    assert not is_locked(path)


def test_a_lock_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EmolibError, match=r"lock: cannot be written: .*; free space or choose"):
        try_lock(tmp_path / "file" / "lock")


def test_another_thread_may_give_a_lock_back(tmp_path):
    lock = try_lock(tmp_path / "lock")
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert not is_locked(tmp_path / "lock")


def test_waiting_ends_when_the_holder_does(tmp_path):
    process = hold(tmp_path / "lock")
    threading.Timer(0.3, process.communicate).start()
    with locked(tmp_path / "lock"):
        assert process.poll() is not None or process.stdin.closed


def test_a_run_folder_has_one_writer_and_its_children(tmp_path, monkeypatch):
    folder = tmp_path / "runs" / "demo"
    with writing(folder):
        with pytest.raises(EmolibError, match=f"in use by process {os.getpid()}; wait"):
            writing(folder).__enter__()
        with writing(tmp_path / "runs" / "other"):
            pass
        monkeypatch.setenv(HELD, str(folder.resolve()))
        with writing(folder):
            pass
        monkeypatch.setenv(HELD, str(folder.resolve() / "sweep"))
        with pytest.raises(EmolibError, match="in use"):
            writing(folder).__enter__()
    monkeypatch.delenv(HELD)
    with writing(folder):
        pass


NO_NAMES = (
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "/tmp/x",
    ".hidden",
    "-x",
    "a b",
    "x" * 101,
    "a.",
    "ä\n",
)
RESERVED = ("cache", "Cache", "all", "bench", "slurm", "screenshots")


@pytest.mark.parametrize("name", [*NO_NAMES, *RESERVED], ids=repr)
def test_names_that_lead_elsewhere_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    with pytest.raises(WrongCall, match="--name"):
        run_path(name)
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_folders_below_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    for name in ("demo", "paper_30", "released-code.2", "T=60"):
        assert run_path(name) == tmp_path / name
    (tmp_path / "README.md").touch()
    with pytest.raises(WrongCall, match="is a file"):
        run_path("README.md")
