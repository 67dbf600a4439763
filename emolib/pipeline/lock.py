"""One pipeline at a time in a run folder, and a kernel that ends with the pipeline."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from emolib.errors import EmolibError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder; the system frees the lock of a process that dies.

    Raises EmolibError naming the process that holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    holder = folder / ".holder"  # beside the lock, which is emptied by whoever tries it
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            holder.write_text(str(os.getpid()))
            yield
    except filelock.Timeout as error:
        process = holder.read_text() if holder.exists() else "unknown"
        raise EmolibError(
            f"{folder} is in use by process {process}; wait for it, or choose another --name"
        ) from error


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C inside the block, so that the kernel is ended on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt("SIGTERM")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
