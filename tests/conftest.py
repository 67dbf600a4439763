"""What every test finds, and leaves as it found it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests compare bits and shapes on a CPU, also where there is a GPU;
# those marked `gpu` name their device.
os.environ.setdefault("EMOLIB_DEVICE", "cpu")
if "PYTEST_XDIST_WORKER" in os.environ:  # beside others: one thread each, before torch counts cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Tests of the user's own runs/demo. A run has one writer at a time, so one process takes them all.
DEMO = ("tests/notebooks/test_demo.py", "tests/browser/")
# What takes minutes comes first, so that both processes end together.
FIRST = (*DEMO, "tests/notebooks/", "tests/integration/", "tests/unit/training/")


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


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory) -> Iterator[None]:
    """What tests and their processes leave in the system's temporary folder goes with pytest's."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="module", autouse=True)
def own_cache(request, tmp_path_factory) -> Iterator[None]:
    """Unit tests leave nothing in the checkout's runs and caches, and find nothing there."""
    if not request.node.nodeid.startswith("tests/unit/"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOLIB_RUNS", str(tmp_path_factory.getbasetemp() / "runs"))
        yield


@pytest.fixture(scope="module")
def module_path(request, tmp_path_factory) -> Iterator[Path]:
    """A folder that the tests of a module share: as ``tmp_path``, it stays only if one fails."""
    failed = request.session.testsfailed
    folder = tmp_path_factory.mktemp(request.path.stem)
    yield folder
    if request.session.testsfailed == failed:
        shutil.rmtree(folder)


@pytest.fixture
def empty_runs(tmp_path_factory, monkeypatch) -> Iterator[Path]:
    """An empty folder for runs and caches outside ``tmp_path``, where a test makes its data set."""
    folder = tmp_path_factory.mktemp("runs")
    monkeypatch.setenv("EMOLIB_RUNS", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def same_number_of_threads():
    """A benchmark's or a worker's thread count must not change the bits of the tests after it."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else None
    yield
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """An empty project that the pipeline takes for the checkout."""
    from emolib.pipeline import finished

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "emolib").mkdir()
    (tmp_path / "emolib" / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOLIB_RUNS", raising=False)
    # The package may be edited while this runs.
    monkeypatch.setattr(finished, "package_hash", lambda: "fixed")
    return tmp_path


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for sockets, for which pytest's own paths are too long."""
    with tempfile.TemporaryDirectory(prefix="emolib-test-", dir="/tmp") as name:
        yield Path(name)
