"""The folders of sockets: each is removed, at the latest by the next process that needs one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from emolib.pipeline import kernel

KILLED = """
import os
from emolib.pipeline import kernel
with kernel.socket_folder() as folder:
    print(folder, flush=True)
    os._exit(9)
"""


@pytest.fixture
def folder_of_killed(short_folder, monkeypatch) -> Path:
    """A folder that a killed process left behind."""
    monkeypatch.setenv("TMPDIR", str(short_folder))
    monkeypatch.setattr(tempfile, "tempdir", str(short_folder))
    done = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True)
    assert done.returncode == 9
    return Path(done.stdout.strip())


def test_what_a_killed_process_left_is_removed_and_what_is_in_use_stays(folder_of_killed):
    with kernel.socket_folder() as in_use:
        assert in_use.parent == folder_of_killed.parent
        os.utime(in_use, (0, 0))
        assert folder_of_killed.is_dir(), "as young as one that is being made"
        os.utime(folder_of_killed, (0, 0))
        with kernel.socket_folder():
            assert in_use.is_dir() and not folder_of_killed.exists()
    assert not in_use.exists()


def test_a_folder_of_that_name_that_we_did_not_make_stays(folder_of_killed):
    foreign = folder_of_killed.with_name(f"{kernel.SOCKETS}foreign")
    foreign.mkdir()
    os.utime(foreign, (0, 0))
    with kernel.socket_folder():
        assert foreign.is_dir()
