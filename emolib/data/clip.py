"""A clip: what every data set's reader yields."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emolib.errors import WrongCall

ASSUMED_FPS = 30.0  # what the released code takes for every video


@dataclass(frozen=True, eq=False)
class Clip:
    """One annotated person of one video.

    Frames count from 1; element i - 1 of each array belongs to frame i.
    """

    # stem of the annotation file ("135-24-1920x1080_left"), or of an acted recording's file
    id: str
    split: str  # "train" | "validation" | "test"
    labels: np.ndarray  # int8 [n]; -1 = not annotated; test: all -1
    face_present: np.ndarray  # bool [n]; whether the frame's image exists
    # float64 [n]; seconds at which the frame begins to show, 0 = the video's first frame.
    frame_times: np.ndarray
    fps: float  # mean rate of the video, frames/s
    # "video" | "frame-rate list" | "assumed 30 fps" | "fixed 30 fps" | "sound alone, 30 fps"
    time_source: str
    images: Path | None  # folder with the crops of this id
    video: Path | None  # source video, also the sound (or sound alone); shared by _left and _right
    person: str = ""  # who acts, where the data set says so

    def image(self, frame: int) -> Path:
        """Path of the image of 1-based ``frame``, whether or not it exists.

        Raises WrongCall out of range or without images.
        """
        self._check(frame)
        if self.images is None:
            raise WrongCall(f"{self.id}: has no images")
        return self.images / f"{frame:05d}.jpg"

    def span(self, first: int, last: int) -> tuple[float, float]:
        """Seconds from the begin of frame ``first`` to the end of frame
        ``last`` (1-based, inclusive).
        """
        self._check(first)
        self._check(last)
        end = (
            self.frame_times[last]
            if last < len(self.labels)
            else self.frame_times[-1] + 1 / self.fps
        )
        return float(self.frame_times[first - 1]), float(end)

    def drift_at_30(self) -> float:
        """Seconds by which a fixed 30 fps is behind (negative) or ahead of (positive)
        this clip's times at its last frame.
        """
        return float((len(self.labels) - 1) / ASSUMED_FPS - self.frame_times[-1])

    def _check(self, frame: int) -> None:
        if not 1 <= frame <= len(self.labels):
            raise WrongCall(f"{self.id}: frame {frame} is outside 1..{len(self.labels)}")


def independent_of(clips: Sequence[Clip]) -> np.ndarray:
    """Which of ``clips`` belong together when a score is resampled: int64 ``[clips]``.

    The takes of one actor are one unit; where a data set does not name people, each clip is.
    """
    place: dict[str, int] = {}
    units = [clip.person or f"clip {number}" for number, clip in enumerate(clips)]
    return np.array([place.setdefault(unit, len(place)) for unit in units], np.int64)
