"""Processes that end with the one that started them, also when that one is killed;
cores that this one may use.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def end_with(parent: int) -> None:
    """Call this in a child: it ends when ``parent``, who started it, is gone.

    A child that only waits for work would otherwise wait for ever, hold its parent's pipes, or go
    on writing beside the next run. Linux kills it at once; elsewhere a thread looks every second.
    """
    if os.name != "posix":  # a child there does not learn that its parent is gone
        return
    if not _killed_by_the_kernel():
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # gone before the lines above
        os._exit(1)


def _killed_by_the_kernel() -> bool:
    """Ask the kernel to kill this process with its parent; False where it does not know how."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, TypeError, AttributeError):  # not Linux
        return False
    return prctl(1, signal.SIGKILL) == 0  # PR_SET_PDEATHSIG


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@contextmanager
def terminable() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C inside the block, so that what was started is
    ended on the way out.
    """
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


def cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
