"""The spans of frames that windows cover, and where they lie in the sound."""

import numpy as np

from emolib.data.clip import Clip
from emolib.data.media import SAMPLE_RATE
from emolib.features.store import Tensors

Spans = np.ndarray  # int32 [m, 2]: 1-based first and last frame of windows


def samples_of(clip: Clip, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """(first sample, number of samples) int64 ``[m]`` of each span's true time,
    as ``Clip.span`` has it.
    """
    edges = (
        np.append(clip.frame_times, clip.frame_times[-1] + 1 / clip.fps)
        if len(clip.frame_times)
        else np.zeros(1)
    )
    begin, end = edges[spans[:, 0] - 1], edges[spans[:, 1]]
    # Rounded first to 1 ns: equal windows of a constant-rate clip then have equal lengths,
    # whatever float64 left over.
    return np.rint(begin * SAMPLE_RATE).astype(np.int64), np.rint(
        np.round((end - begin), 9) * SAMPLE_RATE
    ).astype(np.int64)


def missing_spans(stored: Tensors | None, spans: Spans) -> Spans:
    """The spans that are not among the stored ones."""
    if stored is None:
        return spans
    have = set(map(tuple, stored["spans"].tolist()))
    return np.array([span for span in spans.tolist() if tuple(span) not in have], np.int32).reshape(
        -1, 2
    )
