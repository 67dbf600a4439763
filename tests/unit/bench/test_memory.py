"""The peak of memory: what the system tells, and the most of it that a block of code took.

What this process holds is not ours to choose: earlier tests left some of it, and the system may
take pages back at any time. So the peak is tested on memory that is told step by step.
"""

import os
import threading
from pathlib import Path

import pytest

from emolib.bench import memory
from emolib.bench.memory import Peaks, own_memory

STATM = Path("/proc/self/statm")  # pages: all, in memory, of those in files or shared, ...


@pytest.mark.skipif(not STATM.exists(), reason="the system does not tell a process's own memory")
def test_own_memory_is_what_is_neither_shared_nor_of_a_file():
    _, in_memory, shared, *_ = map(int, STATM.read_text().split())
    expected = (in_memory - shared) * os.sysconf("SC_PAGE_SIZE")
    assert expected > 10_000_000
    assert own_memory() == pytest.approx(expected, rel=0.1)


def test_own_memory_is_read_in_bytes(tmp_path, monkeypatch):
    status = tmp_path / "status"
    monkeypatch.setattr(memory, "STATUS", status)
    assert own_memory() == 0, "not Linux"
    status.write_text("VmHWM:\t  9 kB\nVmRSS:\t  8 kB\nRssAnon:\t  3 kB\nRssFile:\t  5 kB\n")
    assert own_memory() == 3 * 1024


def test_peaks_see_memory_that_was_given_back(monkeypatch):
    held, given_back = iter([100, 250, 900, 300]), threading.Event()

    def told() -> int:
        size = next(held, None)
        if size is None:
            given_back.set()
            return 100
        return size

    monkeypatch.setattr(memory, "own_memory", told)
    with Peaks() as peaks:
        assert given_back.wait(60), "the memory is not looked at again and again"
    assert peaks.as_dict()["host"] == 900


def test_peaks_of_nothing_are_what_was_held_before(monkeypatch):
    monkeypatch.setattr(memory, "own_memory", lambda: 100)
    with Peaks() as peaks:
        pass
    assert peaks.as_dict()["host"] == 100
