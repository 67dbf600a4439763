"""What was seen and heard in one video of a user's.

Features (1 KB a face) and sound (32 KB a second) lie in temporary files and are
read back window by window.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from emolib.data import media
from emolib.data.media import StreamReport
from emolib.video.spool import PieceSpool, Spool

LONGEST_FRAME = 2.0  # seconds; a longer step between two frames is a gap, not a frame that shows
BLOCK = 2**20  # samples of the sound in memory at once


@dataclass(eq=False)
class Observation:
    """What was seen and heard in one video.

    Frames count from 1; R faces were chosen, in order of frames.
    """

    video: Path
    times: np.ndarray  # float64 [n]; seconds at which each frame begins to show
    size: tuple[int, int]  # width, height of the first frame, pixels
    looked_at: np.ndarray  # int32 [L]; frames whose picture was looked at, the first one always
    found: np.ndarray  # int32 [L]; faces found in each of these, chosen or not
    frame: np.ndarray  # int32 [R]; the frame each face is in
    track: np.ndarray  # int32 [R]; the person's number, from 1
    box: np.ndarray  # float32 [R, 4]; x, y, width, height in pixels
    score: np.ndarray  # float32 [R]; the detector's, 0..1; NaN where nothing was detected
    visual: Spool  # float16 [R, width of the encoder]; none when the run does not see
    sound: PieceSpool | None = None  # int16 [samples, 1] at 16 kHz from the first frame; None: none
    steps: PieceSpool | None = None  # float16 [steps, width]; only with audio_context=track
    sound_begin: float = float("inf")  # seconds; the first sample that is not digital silence
    thumbnails: list[tuple[float, np.ndarray]] = field(default_factory=list)  # (seconds, crop)
    rotate: int = 0  # degrees clockwise by which the pictures were turned on request
    upright_at: int | None = None  # degrees clockwise at which faces appear where there were none
    pictures_report: StreamReport = field(default_factory=StreamReport)
    sound_report: StreamReport = field(default_factory=StreamReport)

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
        """How long the last frame shows, which no container tells.

        The median of the others, which a pause leaves as it is.
        """
        if len(self.times) == 1:
            return 1 / self.fps
        return min(LONGEST_FRAME, float(np.median(np.diff(self.times))))

    @property
    def picture(self) -> np.ndarray:
        """For each frame the last one looked at until then, whose faces count for it: int32
        ``[n]``.
        """
        frames = np.arange(1, len(self.times) + 1)
        return self.looked_at[np.searchsorted(self.looked_at, frames, side="right") - 1]

    @property
    def picture_seconds(self) -> float:
        """How long a picture that was looked at counts; the median of all."""
        steps = np.diff(self.times[self.looked_at - 1])
        return min(LONGEST_FRAME, float(np.median(steps))) if len(steps) else self.frame_seconds

    @property
    def scene(self) -> np.ndarray:
        """The number, from 0, of the part without a gap in time that each frame belongs to,
        int64 ``[n]``.
        """
        gaps = np.diff(self.times) > LONGEST_FRAME
        return np.concatenate([[0], gaps.cumsum()])

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
        """The track that a picture of one person shows:
        the longest where some frame has several; None: all of them.
        """
        if len(np.unique(self.frame)) == len(self.frame):
            return None
        return int(np.bincount(self.track).argmax())

    @property
    def title(self) -> str:
        """The video's name, with the track where only one of several is shown."""
        return self.video.name + (f", track {self.shown}" if self.shown else "")


def envelope(observation: Observation, buckets: int) -> np.ndarray:
    """Largest absolute sample in each of ``buckets`` equal parts of the pictures' time,
    float32; empty without sound.
    """
    if observation.sound is None:
        return np.zeros(0, np.float32)
    result = np.zeros(buckets, np.float32)
    samples_a_bucket = observation.end * media.SAMPLE_RATE / buckets
    for place, row, end in observation.sound.spans():
        for first in range(row, end, BLOCK):
            block = observation.sound.spool.read(first, min(first + BLOCK, end))[:, 0]
            at = (place + first - row + np.arange(len(block))) / samples_a_bucket
            inside = at < buckets
            np.maximum.at(result, at[inside].astype(int), np.abs(block[inside] / 32767))
    return result
