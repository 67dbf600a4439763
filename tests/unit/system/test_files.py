"""Files appear whole or not at all."""

import os
from pathlib import Path

from emolib.system.files import write_text


def test_what_is_written_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    """Else a power failure could leave a whole name on an empty file."""
    order, sync, replace = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle)))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (order.append("rename"), replace(self, to))[1]
    )
    write_text(tmp_path / "a.txt", "content")
    assert order == ["sync", "rename"] and (tmp_path / "a.txt").read_text() == "content"
