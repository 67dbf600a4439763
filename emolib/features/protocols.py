"""Which windows a clip has under each protocol, before any feature is read."""

import numpy as np

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.errors import WrongCall, chosen
from emolib.features.spans import Spans
from emolib.windows import FRAME_WINDOWS, WindowIndex, index_windows


def shown(experiment: Experiment, clip: Clip) -> np.ndarray:
    """bool ``[n]``: the frames that the frame protocol has something of:
    a face, or every frame for a run that only hears.
    """
    sees = "visual" in experiment.streams
    return clip.face_present if sees else np.ones_like(clip.face_present)


def collected(experiment: Experiment, clip: Clip) -> np.ndarray:
    """bool ``[n]``: the frames that labelled windows are made of: those with a face, also for a run
    that only hears, so that it has the windows of the others.

    Of a recording without any image, such as sound alone, every frame for such a run.
    """
    return clip.face_present if clip.images is not None else shown(experiment, clip)


def index_of(experiment: Experiment, clip: Clip, protocol: str) -> WindowIndex:
    """The windows of one clip under ``protocol``, ``window`` or ``frame``."""
    e = experiment
    if protocol == "window":
        return index_windows(
            clip.labels,
            collected(e, clip),
            length=e.window,
            stride=e.stride,
            label_rule=e.label_rule,
            max_gap=e.max_gap,
        )
    if protocol == "frame":
        windows_of = chosen("frame_rule", e.frame_rule, FRAME_WINDOWS)
        return windows_of(shown(e, clip), length=e.window, stride=e.frame_stride)
    raise WrongCall(f"protocol={protocol!r}: choose one of window, frame")


def spans_of(index: WindowIndex) -> Spans:
    """First and last frame of each window, int32 ``[N, 2]``."""
    return np.stack([index.start, index.end], axis=1).astype(np.int32)
