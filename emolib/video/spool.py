"""Rows of numbers in a temporary file, so that memory does not grow with a video's length."""

import tempfile

import numpy as np

from emolib.errors import EmolibError


class Spool:
    """Rows of one type and width on disk, appended at the end and read from anywhere."""

    def __init__(self, dtype: type, width: int) -> None:
        # It lives as long as the spool.
        self.file = tempfile.TemporaryFile(prefix="emolib-")  # noqa: SIM115
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
                f"{tempfile.gettempdir()}: cannot be written: {error.strerror};"
                " free space or set TMPDIR"
            ) from error
        self.rows += len(rows)

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows ``first`` to ``last`` (not included) as far as they exist,
        ``[n, width]``, writable.
        """
        first, last = max(0, min(first, self.rows)), max(0, min(last, self.rows))
        self.file.seek(first * self.width * self.dtype.itemsize)
        content = self.file.read(max(0, last - first) * self.width * self.dtype.itemsize)
        return np.frombuffer(bytearray(content), self.dtype).reshape(-1, self.width)

    def mapped(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Rows ``first`` to ``last``, by default all, as a memory map."""
        return np.memmap(self.file, self.dtype, "r").reshape(-1, self.width)[first:last]


class PieceSpool:
    """Rows that stand at places of their own;
    between the pieces there is nothing, however far apart they are.
    """

    def __init__(self, dtype: type, width: int) -> None:
        self.spool = Spool(dtype, width)
        self.pieces: list[tuple[int, int]] = []  # (place, row in the spool) where each begins

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.spool.rows

    @property
    def end(self) -> int:
        """The place behind the last row."""
        return self.pieces[-1][0] + self.rows - self.pieces[-1][1] if self.pieces else 0

    def append(self, place: int, rows: np.ndarray) -> None:
        """``[n, width]`` from ``place`` on, which does not lie before :attr:`end`.

        Raises EmolibError as Spool does.
        """
        if not self.pieces or place != self.end:
            self.pieces.append((place, self.rows))
        self.spool.append(rows)

    def spans(self) -> list[tuple[int, int, int]]:
        """(place, first row, row behind the last) of each piece."""
        ends = [row for _, row in self.pieces[1:]] + [self.rows]
        return [(place, row, end) for (place, row), end in zip(self.pieces, ends, strict=True)]

    def read(self, first: int, last: int) -> np.ndarray:
        """Places ``first`` to ``last`` (not included) as far as anything follows,
        zeros where there is nothing.
        """
        first, last = max(0, first), max(0, min(last, self.end))
        result = np.zeros((max(0, last - first), self.spool.width), self.spool.dtype)
        for place, row, end in self.spans():
            begin, stop = max(first, place), min(last, place + end - row)
            if begin < stop:
                rows = self.spool.read(row + begin - place, row + stop - place)
                result[begin - first : stop - first] = rows
        return result
