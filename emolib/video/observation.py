"""What was seen and heard in one video of a user's.

Features (1 KB a face) and sound (32 KB a second) lie in temporary files and are read back window by window.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from emolib.data import media
from emolib.video.spool import Spool


@dataclass(eq=False)
class Observation:
    """What was seen and heard in one video. Frames count from 1; R faces were chosen, in order of frames."""

    video: Path
    times: np.ndarray  # float64 [n]; seconds at which each frame begins to show
    size: tuple[int, int]  # width, height of the first frame, pixels
    found: np.ndarray  # int32 [n]; faces found in each frame, chosen or not
    frame: np.ndarray  # int32 [R]; the frame each face is in
    track: np.ndarray  # int32 [R]; the person's number, from 1
    box: np.ndarray  # float32 [R, 4]; x, y, width, height in pixels
    visual: Spool  # float16 [R, 512]; none when the run does not see
    sound: Spool | None = (
        None  # int16 [samples, 1] at 16 kHz, sample 0 at the first frame; None: no audio stream
    )
    steps: Spool | None = (
        None  # float16 [steps, 768] of the whole track, for runs with audio_context=track
    )
    sound_begin: float = float(
        "inf"
    )  # seconds; where the first sample that is not digital silence is
    thumbnails: list[tuple[float, np.ndarray]] = field(
        default_factory=list
    )  # (seconds, crop) of whom ``shown`` names

    @property
    def fps(self) -> float:
        """Mean rate, frames/s; 30 for a single frame, whose length nothing tells."""
        return (len(self.times) - 1) / float(self.times[-1]) if len(self.times) > 1 else 30.0

    @property
    def constant_rate(self) -> bool:
        """Whether all frames show for the same time, but for what containers round."""
        steps = np.diff(self.times)
        return not len(steps) or bool(np.ptp(steps) < 0.002)

    @property
    def frame_seconds(self) -> float:
        """How long the last frame shows, which no container tells: the median of the others, which a pause leaves as it is."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1 / self.fps

    @property
    def end(self) -> float:
        """Seconds; where the last frame has shown."""
        return float(self.times[-1]) + self.frame_seconds

    @property
    def sound_seconds(self) -> float:
        return self.sound.rows / media.SAMPLE_RATE if self.sound else 0.0

    @property
    def heard(self) -> bool:
        """Whether anything but digital silence sounds before the pictures end."""
        return self.sound_begin < self.end

    @property
    def shown(self) -> int | None:
        """The track that a picture of one person shows: the one in most frames where some frame has several; None: all of them."""
        return (
            int(np.bincount(self.track).argmax())
            if len(np.unique(self.frame)) < len(self.frame)
            else None
        )

    @property
    def title(self) -> str:
        """The video's name, with the track where only one of several is shown."""
        return self.video.name + (f", track {self.shown}" if self.shown else "")


def envelope(observation: Observation, buckets: int) -> np.ndarray:
    """Largest absolute sample in each of ``buckets`` equal parts of the pictures' time, float32; empty without sound."""
    if observation.sound is None:
        return np.zeros(0, np.float32)
    edges = np.linspace(0, observation.end * media.SAMPLE_RATE, buckets + 1).astype(int)
    return np.array(
        [np.abs(observation.sound.read(a, b) / 32767).max(initial=0.0) for a, b in pairwise(edges)],
        np.float32,
    )
