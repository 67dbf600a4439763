"""One pipeline at a time in a run folder."""

import os

import pytest

from emolib.errors import EmolibError
from emolib.pipeline.lock import locked


def test_a_folder_in_use_names_its_process_and_is_free_afterwards(tmp_path):
    with (
        locked(tmp_path / "demo"),
        pytest.raises(EmolibError, match=f"in use by process {os.getpid()}; wait"),
        locked(tmp_path / "demo"),
    ):
        pass
    with locked(tmp_path / "demo"):
        pass
