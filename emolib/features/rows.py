"""Feature rows that lie clip by clip, in memory or mapped from the store, read as one array.

Windows are indices into them (``window_sets``). Mapped rows take no memory of a process: the
system keeps what was read last, for all processes together.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Rows:
    """Parts ``[n_i, D]`` of one type, one after another, as an array ``[sum n_i, D]`` to be read.

    ``rows[index]`` copies what an integer array, a slice or a mask chooses, as NumPy does for its
    own arrays; ``np.asarray(rows)`` copies everything.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, parts: Sequence[np.ndarray], width: int) -> None:
        self.parts = [part for part in parts if len(part)]
        self.ends = np.cumsum([len(part) for part in self.parts], dtype=np.int64)
        self.width = width

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), self.width

    def __getitem__(self, index: Any) -> np.ndarray:
        wanted = np.asarray(index)
        if isinstance(index, slice) or wanted.dtype == bool:
            wanted = np.arange(len(self))[index]
        rows = wanted.ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= len(self)):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        result = np.empty((len(rows), self.width), self.dtype)
        part_of = np.searchsorted(self.ends, rows, side="right")
        # A window's rows are of one clip, so neighbours are taken from one part at once.
        edges = [0, *(np.flatnonzero(np.diff(part_of)) + 1).tolist(), len(rows)]
        for first, last in itertools.pairwise(edges):
            if first < last:
                part = self.parts[part_of[first]]
                begin = self.ends[part_of[first]] - len(part)
                # mode: "raise" would copy once more, and the range is known to be right.
                np.take(part, rows[first:last] - begin, axis=0, out=result[first:last], mode="clip")
        return result.reshape(*wanted.shape, self.width)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """(first row, at most ``size`` rows of one part, not copied), from first to last."""
        for end, part in zip(self.ends.tolist(), self.parts, strict=True):
            for first in range(0, len(part), size):
                yield end - len(part) + first, part[first : first + size]


Features = np.ndarray | Rows  # float16 [n, D], in one piece or clip by clip


def as_rows(features: Features) -> Rows:
    """``features`` as Rows, which copies nothing."""
    return features if isinstance(features, Rows) else Rows([features], features.shape[1])
