"""Pictures in memory that two processes share.

A pipe copies each picture twice, in small pieces, which takes longer than decoding it.
"""

import math
import mmap
import os
import tempfile
from typing import IO

import numpy as np

SLOTS = 2  # places for pictures: one is decoded while the other is looked at


def shared_file() -> IO[bytes]:
    """A file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("emolib-pictures"), "r+b", buffering=0)
    return tempfile.TemporaryFile(prefix="emolib-", buffering=0)


class Slots:
    """The places for the pictures of one video, all of one size, in the file ``descriptor``.

    Each process makes its own; what one writes, the other sees.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.memory: mmap.mmap | None = None

    def picture(self, number: int, shape: tuple[int, ...]) -> np.ndarray:
        """Where picture ``number`` (from 0) lies, uint8 of ``shape``: in the place of picture
        ``number`` - SLOTS. Raises OSError where the memory is not there.
        """
        size = math.prod(shape)
        if self.memory is None or len(self.memory) < SLOTS * size:
            if os.fstat(self.descriptor).st_size < SLOTS * size:
                os.ftruncate(self.descriptor, SLOTS * size)
            self.memory = mmap.mmap(self.descriptor, SLOTS * size)
        return np.ndarray(shape, np.uint8, self.memory, number % SLOTS * size)
