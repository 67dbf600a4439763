"""An empty project for the pipeline."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from emolib.pipeline import finished


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project that the pipeline takes for the checkout."""
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
