"""Where one shot of a video ends and the next begins."""

from collections import deque

import numpy as np

LEAST = 12.0  # mean difference of two pictures, in grey levels, below which there is no cut
TIMES_USUAL = 4.0  # a cut changes the picture so many times as much as its neighbours usually do
MOST = 30.0  # grey levels that one point counts at most: a cut changes most of the picture
GRID = 24  # points, down and across, at which pictures are compared


class CutDetector:
    """Tells cuts from movement: a cut changes the picture much more than it usually changes.

    On the real test clips pictures change by at most 5 levels within a shot, and by 23 or more
    from one clip to another.
    """

    def __init__(self) -> None:
        self.previous: np.ndarray | None = None
        self.changes = deque([2.0] * 3, maxlen=30)  # levels; of the last pictures

    def __call__(self, image: np.ndarray) -> bool:
        """Whether the shot of ``image`` (RGB uint8 ``[H, W, 3]``) begins with it."""
        rows, columns = (
            ((np.arange(GRID) + 0.5) / GRID * side).astype(int) for side in image.shape[:2]
        )
        points = image[np.ix_(rows, columns)].astype(np.float32)
        previous, self.previous = self.previous, points
        if previous is None:
            return False
        change = float(np.abs(points - previous).clip(max=MOST).mean())
        is_cut = change > max(LEAST, TIMES_USUAL * float(np.median(self.changes)))
        self.changes.append(change)
        return is_cut
