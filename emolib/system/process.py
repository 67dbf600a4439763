"""Processes that end with the one that started them, also when that one is killed."""

import ctypes
import os
import signal
import sys


def end_with(parent: int) -> None:
    """Call this in a child: on Linux the kernel kills it when ``parent``, who started it, is gone.

    A child that only waits for work would otherwise wait for ever, hold its parent's pipes,
    or go on writing beside the next run.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # gone before the line above
            os._exit(1)
