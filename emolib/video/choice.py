"""Which of a frame's faces are analysed."""

import cv2
import numpy as np

from emolib.video.crops import crop, whole_crop
from emolib.video.cuts import CutDetector
from emolib.video.detection import THOROUGH, Face, FaceFinder
from emolib.video.recognition import Features, Recogniser
from emolib.video.sampling import RATE
from emolib.video.searching import FaceSearch
from emolib.video.tracking import LOST_AFTER, Tracker

SAMPLES = 8  # pictures without a face that are looked at again, turned, where no picture has one


class FaceChoice:
    """Which of a frame's faces are analysed, by one of ``options.WHICH_FACES``.

    Gives (track, face, crop) of each, the largest face first. ``found``:
    how many faces the last frame has, chosen or not.
    """

    def __init__(
        self,
        which: str,
        finder: FaceFinder | None,
        crops: str = "cropped_aligned",
        *,
        features: Features | None = None,
        detector_size: int = THOROUGH,
        fps: float = RATE,
    ) -> None:
        """``crops`` as ``Experiment.crops``; ``features``: of crops, by which people are recognised
        after a cut; ``detector_size``: pixels of the longer side that a thorough search sees;
        ``fps``: pictures a second, at most.
        """
        self.which, self.finder, self.crops = which, finder, crops
        self.search = None if finder is None else FaceSearch(finder, detector_size)
        self.cuts = CutDetector()
        self.tracker = Tracker(max(LOST_AFTER, 1.5 / fps), recogniser=Recogniser(features))
        self.followed, self.found = 0, 0
        self.any_found = False
        self.samples: list[np.ndarray] = []  # every step-th picture, as long as none has a face
        self.step, self.seen = 1, 0

    def __call__(self, time: float, image: np.ndarray) -> list[tuple[int, Face, np.ndarray]]:
        if self.which == "whole":
            self.found = 1
            height, width = image.shape[:2]
            box = (0.0, 0.0, float(width), float(height))
            face = Face(box=box, points=np.zeros((5, 2)), score=float("nan"))
            return [(1, face, whole_crop(image))]
        if self.search is None:
            return []
        is_cut = self.cuts(image)
        faces = self.search(image, is_cut=is_cut)
        self.found = len(faces)
        self._remember(image)
        crops = [crop(image, face, self.crops) for face in faces]
        tracks = self.tracker.update(time, faces, crops, is_cut=is_cut)
        tracked = list(zip(tracks, faces, crops, strict=True))
        if self.which == "all":
            return tracked
        if self.which == "largest":
            return tracked[:1]
        if tracked and self.followed not in self.tracker.open:
            self.followed = tracked[0][0]
        return [chosen for chosen in tracked if chosen[0] == self.followed]

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
