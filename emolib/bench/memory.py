"""The most memory that a block of code took, of the host and of a GPU."""

import threading
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")
EVERY = 0.02  # seconds between two looks


def own_memory() -> int:
    """Bytes of this process alone: without mapped files, which all processes share and the system
    takes back when it needs them. 0 where the system does not tell (not Linux).
    """
    if not STATUS.exists():
        return 0
    lines = STATUS.read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


class Peaks:
    """``with Peaks() as peaks: ...``, then ``peaks.as_dict()``."""

    def __enter__(self) -> "Peaks":
        self.host, self.ended = own_memory(), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_: Any) -> None:
        self.ended.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.ended.wait(EVERY):
            self.host = max(self.host, own_memory())

    def as_dict(self) -> dict[str, int]:
        """``host`` and ``device`` in bytes; 0 without a GPU."""
        gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        return {"host": self.host, "device": gpu}
