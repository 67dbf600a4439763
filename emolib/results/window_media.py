"""What the vectors of one window were made from: its faces and its sound."""

from dataclasses import dataclass

import numpy as np

from emolib.data import media
from emolib.data.clip import Clip
from emolib.features.waveforms import waveform


@dataclass(frozen=True)
class WindowMedia:
    """The faces and the sound of a window."""

    faces: list[np.ndarray]  # T crops [H, W, 3]; a missing one repeats the last before it
    sound: np.ndarray  # float32 [n] at 16 kHz, -1 to 1; empty without sound


def window_media(clip: Clip, last: int, length: int) -> WindowMedia:
    """The window of ``length`` frames that ends at frame ``last`` (counted from 1) of ``clip``."""
    first = last - length + 1
    faces: list[np.ndarray] = []
    for frame in range(first, last + 1):
        if clip.face_present[frame - 1] or not faces:
            faces.append(media.read_jpeg(clip.image(_present(clip, frame))))
        else:
            faces.append(faces[-1])
    begin, end = (round(seconds * media.SAMPLE_RATE) for seconds in clip.span(first, last))
    return WindowMedia(faces, np.asarray(waveform(clip.video)[begin:end], np.float32) / 32768)


def _present(clip: Clip, frame: int) -> int:
    """The nearest frame at or after ``frame`` that has a face; of a window that begins in a gap."""
    return frame + int(np.argmax(clip.face_present[frame - 1 :]))
