"""Which of a frame's faces are analysed."""

import cv2
import numpy as np

from emolib.video.detection import Face, FaceFinder
from emolib.video.tracking import Tracker

SAMPLES = 8  # pictures without a face that are looked at again, turned, where no picture has one


class FaceChoice:
    """Which of a frame's faces are analysed, by one of ``options.WHICH_FACES``.

    Gives (track, face) pairs, the largest face first. ``found``:
    how many faces the last frame has, chosen or not.
    """

    def __init__(self, which: str, finder: FaceFinder | None) -> None:
        self.which, self.finder, self.tracker = which, finder, Tracker()
        self.followed, self.found = 0, 0
        self.any_found = False
        self.samples: list[np.ndarray] = []  # every step-th picture, as long as none has a face
        self.step, self.seen = 1, 0

    def __call__(self, time: float, image: np.ndarray) -> list[tuple[int, Face]]:
        if self.which == "whole":
            self.found = 1
            height, width = image.shape[:2]
            box = (0.0, 0.0, float(width), float(height))
            return [(1, Face(box=box, points=np.zeros((5, 2)), score=1.0))]
        if self.finder is None:
            return []
        faces = self.finder.faces(image)
        self.found = len(faces)
        self._remember(image)
        tracked = list(zip(self.tracker.update(time, faces), faces, strict=True))
        if self.which == "all":
            return tracked
        if self.which == "largest":
            return tracked[:1]
        if tracked and self.followed not in self.tracker.open:
            self.followed = tracked[0][0]
        return [pair for pair in tracked if pair[0] == self.followed]

    def _remember(self, image: np.ndarray) -> None:
        """Keep evenly spaced pictures as long as no face was found in any."""
        if self.found or self.any_found:
            self.any_found, self.samples = True, []
            return
        if self.seen % self.step == 0:
            scale = min(1.0, 640 / max(image.shape[:2]))
            size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
            self.samples.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            if len(self.samples) > SAMPLES:
                self.samples, self.step = self.samples[::2], 2 * self.step
        self.seen += 1

    def upright_at(self) -> int | None:
        """Where no picture has a face: by how many degrees clockwise the
        pictures must be turned to show some.

        None where there are faces already, or at no angle.
        """
        if self.finder is None or self.any_found or not self.samples:
            return None
        counts = {
            degrees: sum(
                bool(self.finder.faces(np.ascontiguousarray(np.rot90(image, -degrees // 90))))
                for image in self.samples
            )
            for degrees in (90, 180, 270)
        }
        best = max(counts, key=lambda degrees: counts[degrees])
        return best if counts[best] else None
