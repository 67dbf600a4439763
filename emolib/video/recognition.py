"""Whether two faces are one person's, by how their crops look and by the encoder's features.

Where a face lies says nothing after a cut: two people in turn may fill the same place.
"""

from collections import deque
from collections.abc import Callable

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Features = Callable[[np.ndarray], np.ndarray]  # crops [n, 112, 112, 3] to features [n, width]

SMALL = 16  # pixels; side of the grey pictures in which crops are compared
# Mean differences in grey levels. On the real test clips one person's crops change by at most 16
# from picture to picture (19 where the face fills the picture), and two people's differ by 22 or
# more.
ALIKE, JUMP = 16.0, 20.0
TIMES_USUAL = 4.0  # a face that changes so many times as much as usual may be another's
KEPT, EVERY = 8, 4  # crops of each person that are kept: every fourth
WITHIN = 2.0  # features may lie so many times as far away as the person's own from each other


class Recogniser:
    """Knows people by the last crops of each; numbers are those of their tracks."""

    def __init__(self, features: Features | None = None) -> None:
        self.features = features  # None: crops alone decide
        self.crops: dict[int, deque[np.ndarray]] = {}
        self.newest: dict[int, np.ndarray] = {}
        self.counts: dict[int, int] = {}
        self.changes = deque([JUMP / TIMES_USUAL] * 3, maxlen=30)  # levels; of the last faces

    def remember(self, number: int, crop: np.ndarray) -> None:
        """``crop`` shows the person ``number``."""
        if number in self.newest:
            self.changes.append(difference(self.newest[number], crop))
        count = self.counts.get(number, 0)
        if count % EVERY == 0:
            self.crops.setdefault(number, deque(maxlen=KEPT)).append(crop)
        self.newest[number], self.counts[number] = crop, count + 1

    def forget(self, number: int) -> None:
        """The person ``number`` is not asked for again."""
        for kept in (self.crops, self.newest, self.counts):
            kept.pop(number, None)

    def has_jumped(self, number: int, crop: np.ndarray) -> bool:
        """Whether ``crop`` differs from the newest of person ``number`` as no movement explains."""
        usual = float(np.median(self.changes))
        return difference(self.newest[number], crop) > max(JUMP, TIMES_USUAL * usual)

    def distance(self, number: int, crop: np.ndarray) -> float:
        """How unlike ``crop`` is to the person ``number``, in grey levels;
        infinite where it is somebody else's.
        """
        known = [*self.crops[number], self.newest[number]]
        nearest = min(difference(one, crop) for one in known)
        if nearest > ALIKE or not self._features_agree(known, crop):
            return float("inf")
        return nearest

    def _features_agree(self, known: list[np.ndarray], crop: np.ndarray) -> bool:
        """Whether the features of ``crop`` are about as near to a known crop as those are to each
        other.
        """
        if self.features is None or len(known) < 3:
            return True
        vectors = self.features(np.stack([*known, crop])).astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        distances = 1 - vectors @ vectors.T
        np.fill_diagonal(distances, np.inf)
        own = distances[:-1, :-1].min(axis=1).max()
        return bool(distances[-1].min() <= WITHIN * own + 0.01)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference of two crops, in grey levels, of their small grey pictures,
    where ``b`` lies best within a point of ``a``: the detector places one face now here, now there.
    """
    middle = _small(a)[1:-1, 1:-1]
    moved = sliding_window_view(_small(b), middle.shape)
    return float(np.abs(moved - middle).mean(axis=(2, 3)).min())


def _small(crop: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SMALL, SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
