"""Which pictures are looked at, and the even grid of times that windows are made of.

A model learned from windows of so many frames at about 30 a second (docs/data.md). A video of
another rate would show it another length of time, so windows are laid over a grid of that rate.
"""

from dataclasses import dataclass

import numpy as np

RATE = 30.0  # grid points a second: the frame rate of the training data
SLACK = 0.005  # seconds by which timestamps may come too early: containers round them


class Sampler:
    """Chooses, one after another, the pictures to look at: at most ``fps`` a second."""

    def __init__(self, fps: float = RATE) -> None:
        self.step = 1 / fps
        self.due = 0.0

    def __call__(self, time: float) -> bool:
        """Whether the picture that begins to show at ``time`` (seconds, rising) is looked at."""
        if time < self.due - SLACK:
            return False
        self.due = max(self.due + self.step, time)
        return True


@dataclass(frozen=True, eq=False)
class Grid:
    """G even times from ``begin`` on; the picture at each is the one nearest in time."""

    times: np.ndarray  # float64 [G], seconds
    nearest: np.ndarray  # int64 [G]; position, in the times that it was made of, of the nearest

    @classmethod
    def over(cls, shown: np.ndarray, end: float) -> "Grid":
        """From ``shown[0]`` to ``end`` (seconds); ``shown``: when each picture begins to show,
        float64 ``[n]``, rising.
        """
        count = max(1, round((end - shown[0]) * RATE))
        times = shown[0] + np.arange(count) / RATE
        # To 1 us: of two equally near pictures always the earlier one.
        middles = ((shown[1:] + shown[:-1]) / 2).round(6)
        return cls(times, np.searchsorted(middles, times.round(6)))

    def at(self, times: np.ndarray) -> np.ndarray:
        """The grid point nearest to each of ``times``: int64 ``[n]``."""
        points = np.rint((times - self.times[0]) * RATE).astype(np.int64)
        return points.clip(0, len(self.times) - 1)
