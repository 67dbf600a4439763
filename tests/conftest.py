"""What every test finds, and leaves as it found it."""

import os
import sys

import pytest

# Tests compare bits and shapes on a CPU, also where there is a GPU;
# those marked `gpu` name their device.
os.environ.setdefault("EMOLIB_DEVICE", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:  # beside others: one thread each, before torch counts cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Tests of the user's own runs/demo. A run has one writer at a time, so one process takes them all.
DEMO = ("tests/notebooks/test_demo.py", "tests/browser/")
# What takes minutes comes first, so that both processes end together.
FIRST = (*DEMO, "tests/notebooks/", "tests/unit/training/")


def pytest_collection_modifyitems(items):
    def place(item) -> int:
        matches = [place for place, prefix in enumerate(FIRST) if item.nodeid.startswith(prefix)]
        return min(matches, default=len(FIRST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share the tests out among processes by file, those of the demo as one file."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "demo" if file.startswith(DEMO) else file

    config.option.loadscopereorder = False  # as they were collected
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def same_number_of_threads():
    """A benchmark's or a worker's thread count must not change the bits of the tests after it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)
