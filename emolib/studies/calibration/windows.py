"""Windows from given features, a clip each."""

import numpy as np

from emolib.data.clip import ASSUMED_FPS, Clip
from emolib.features.window_sets import WindowSet


def windows_of(visual: np.ndarray, audio: np.ndarray, label: np.ndarray) -> WindowSet:
    """Windows with faces ``visual`` [N, T, D_v], sound ``audio`` [N, S, D_a] and ``label`` [N]."""
    (count, frames, _), steps = visual.shape, audio.shape[1]
    return WindowSet(
        clips=[_clip(number, int(each), frames) for number, each in enumerate(label)],
        visual=visual.reshape(count * frames, -1).astype(np.float16),
        frames=np.arange(count * frames).reshape(count, frames),
        audio=audio.reshape(count * steps, -1).astype(np.float16),
        audio_start=np.arange(count) * steps,
        audio_length=np.full(count, steps, np.int32),
        label=label.astype(np.int64),
        clip=np.arange(count, dtype=np.int32),
        end=np.full(count, frames, np.int32),
    )


def _clip(number: int, label: int, frames: int) -> Clip:
    """A clip of one label, without pictures and sound to point to."""
    return Clip(
        id=f"clip{number}",
        split="train",
        labels=np.full(frames, label, np.int8),
        face_present=np.ones(frames, bool),
        frame_times=np.arange(frames) / ASSUMED_FPS,
        fps=ASSUMED_FPS,
        time_source="assumed 30 fps",
        images=None,
        video=None,
    )
