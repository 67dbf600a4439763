"""Which of a frame's faces are analysed."""

import numpy as np

from emolib.video.detection import Face, FaceFinder
from emolib.video.tracking import Tracker


class FaceChoice:
    """Which of a frame's faces are analysed, by one of ``options.WHICH_FACES``; gives (track, face) pairs, largest face first.

    ``found``: how many faces the last frame has, chosen or not.
    """

    def __init__(self, which: str, finder: FaceFinder | None) -> None:
        self.which, self.finder, self.tracker = which, finder, Tracker()
        self.followed, self.found = 0, 0

    def __call__(self, time: float, image: np.ndarray) -> list[tuple[int, Face]]:
        if self.which == "whole":
            self.found = 1
            height, width = image.shape[:2]
            return [
                (
                    1,
                    Face(
                        box=(0.0, 0.0, float(width), float(height)),
                        points=np.zeros((5, 2)),
                        score=1.0,
                    ),
                )
            ]
        if self.finder is None:
            return []
        faces = self.finder.faces(image)
        self.found = len(faces)
        tracked = list(zip(self.tracker.update(time, faces), faces, strict=True))
        if self.which == "all":
            return tracked
        if self.which == "largest":
            return tracked[:1]
        if tracked and self.followed not in self.tracker.open:
            self.followed = tracked[0][0]
        return [pair for pair in tracked if pair[0] == self.followed]
