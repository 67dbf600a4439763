"""Rows of numbers in a temporary file, so that memory does not grow with a video's length."""

import tempfile

import numpy as np

from emolib.errors import EmolibError


class Spool:
    """Rows of one type and width on disk, appended at the end and read from anywhere."""

    def __init__(self, dtype: type, width: int) -> None:
        self.file = tempfile.TemporaryFile(prefix="emolib-")  # noqa: SIM115 - lives as long as the spool
        self.dtype, self.width = np.dtype(dtype), width
        self.rows = 0

    def append(self, rows: np.ndarray) -> None:
        """``[n, width]``. Raises EmolibError when the disk is full."""
        rows = np.ascontiguousarray(rows, self.dtype).reshape(-1, self.width)
        try:
            self.file.seek(0, 2)
            self.file.write(rows.tobytes())
            self.file.flush()
        except OSError as error:
            raise EmolibError(
                f"{tempfile.gettempdir()}: cannot be written: {error.strerror}; free space or set TMPDIR"
            ) from error
        self.rows += len(rows)

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows ``first`` to ``last`` (not included) as far as they exist, ``[n, width]``, writable."""
        first, last = max(0, min(first, self.rows)), max(0, min(last, self.rows))
        self.file.seek(first * self.width * self.dtype.itemsize)
        content = self.file.read(max(0, last - first) * self.width * self.dtype.itemsize)
        return np.frombuffer(bytearray(content), self.dtype).reshape(-1, self.width)

    def mapped(self) -> np.ndarray:
        """All rows as a memory map."""
        return np.memmap(self.file, self.dtype, "r").reshape(-1, self.width)
