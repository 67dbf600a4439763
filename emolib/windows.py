"""Windows over frames, and windows back to frames (paper 4.3; docs/method.md, Windows).

Pure NumPy. Frames are counted from 1, as in the image names; a window of ``length`` frames covers
the consecutive frames ``start .. end`` and holds for each the number of the image shown there,
which repeats an earlier image where a face or a label is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import convolve1d

from emolib.errors import WrongCall, chosen
from emolib.labels import NOT_ANNOTATED, NUM_CLASSES


@dataclass(frozen=True, eq=False)
class WindowIndex:
    """N windows of one clip."""

    frames: np.ndarray  # int32 [N, length]; 1-based number of the image at each position
    # int32 [N]; 1-based frame where the window begins (whether or not its own image exists).
    start: np.ndarray
    # int32 [N]; 1-based last frame, start + length - 1 (but for clips shorter than a window).
    end: np.ndarray
    label: np.ndarray  # int64 [N]; class 0..7, or -1 where unknown

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, rows: slice) -> "WindowIndex":
        """Some of the windows."""
        parts = (self.frames[rows], self.start[rows], self.end[rows], self.label[rows])
        return WindowIndex(*parts)


def index_windows(
    labels: np.ndarray,
    face_present: np.ndarray,
    *,
    length: int,
    stride: int,
    label_rule: str = "last",
    max_gap: int = 5,
) -> WindowIndex:
    """Labelled windows of one clip by the released rule (``window`` protocol and training).

    A frame is valid when its image exists and its label is not -1. Frames are collected one after
    another; up to ``max_gap`` invalid frames in a row repeat the last valid image and label, one
    more drops what was collected and collecting starts anew at the next valid frame. When
    ``length`` frames are collected they are a window, and the first ``stride`` of them are dropped
    (all of them when ``stride`` is longer than the window).

    labels: ``[n]``, -1..7; face_present: bool ``[n]``. ``label_rule``: ``last`` frame's label;
    ``majority``, ties to the lowest class; ``centre``, position ``length // 2`` counted from 0.
    Filled frames count with their repeated label. Raises WrongCall for unequal lengths,
    an unknown rule or a setting out of range.
    """
    labels, face_present = np.asarray(labels), np.asarray(face_present, dtype=bool)
    if labels.shape != face_present.shape or labels.ndim != 1:
        raise WrongCall(
            f"labels {labels.shape} and face_present {face_present.shape}: "
            "expected two arrays of one length"
        )
    label_of = chosen("label_rule", label_rule, LABEL_RULES)
    _check(length, stride, max_gap)
    source, collected = _bridged(face_present & (labels != NOT_ANNOTATED), max_gap)
    start = _starts(collected, length, min(stride, length))
    positions = start[:, None] + np.arange(length)  # [N, length], 0-based frames
    images = source[positions]  # 0-based images
    return WindowIndex(
        frames=(images + 1).astype(np.int32),
        start=(start + 1).astype(np.int32),
        end=(start + length).astype(np.int32),
        label=label_of(labels[images].astype(np.int64)).copy(),
    )


def _check(length: int, stride: int, max_gap: int = 0) -> None:
    if length < 1 or stride < 1 or max_gap < 0:
        raise WrongCall(
            f"length={length}, stride={stride}, max_gap={max_gap}: expected at least 1, 1 and 0"
        )


def _last_true(mask: np.ndarray) -> np.ndarray:
    """For each position the last one at or before it where ``mask`` holds,
    -1 before the first: int64 ``[n]``.
    """
    return np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))


def _bridged(valid: np.ndarray, max_gap: int) -> tuple[np.ndarray, np.ndarray]:
    """(image shown at each frame, 0-based; whether the frame is collected), both ``[n]``."""
    source = _last_true(valid)
    return source, (source >= 0) & (np.arange(len(valid)) - source <= max_gap)


def _starts(collected: np.ndarray, length: int, step: int) -> np.ndarray:
    """0-based starts of the windows in every run of collected frames: int64 ``[N]``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], collected, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]  # run = begins .. ends - 1
    counts = np.maximum((ends - begins - length) // step + 1, 0)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(begins, counts) + within * step


def _last_label(labels: np.ndarray) -> np.ndarray:
    return labels[:, -1]


def _most_frequent_label(labels: np.ndarray) -> np.ndarray:
    rows = np.arange(len(labels))[:, None] * NUM_CLASSES
    counts = np.bincount((rows + labels).ravel(), minlength=len(labels) * NUM_CLASSES)
    return counts.reshape(-1, NUM_CLASSES).argmax(axis=1)


def _centre_label(labels: np.ndarray) -> np.ndarray:
    return labels[:, labels.shape[1] // 2]


# Of each ``Experiment.label_rule``: the labels of a window's frames, [N, length], to its own, [N].
LABEL_RULES = {"last": _last_label, "majority": _most_frequent_label, "centre": _centre_label}


def frame_windows(face_present: np.ndarray, *, length: int, stride: int) -> WindowIndex:
    """Windows for predicting every frame of one clip (``frame`` protocol), labels -1.

    They end at ``length, length + stride, ...`` and always at the last frame. A missing face
    repeats the last image before it, at the beginning the first image. A clip shorter than
    ``length`` gives one window whose leading positions repeat frame 1; a clip without any face
    gives none.
    """
    face_present = np.asarray(face_present, dtype=bool)
    _check(length, stride)
    n = len(face_present)
    ends = (
        np.append(np.arange(length, n, stride), n)
        if face_present.any()
        else np.zeros(0, dtype=np.int64)
    )
    source = _last_true(face_present)
    if len(ends):
        source[source < 0] = np.flatnonzero(face_present)[0]
    positions = np.maximum(ends[:, None] - np.arange(length, 0, -1), 0)
    return WindowIndex(
        frames=(source[positions] + 1).astype(np.int32).reshape(len(ends), length),
        start=np.maximum(ends - length + 1, 1).astype(np.int32),
        end=ends.astype(np.int32),
        label=np.full(len(ends), NOT_ANNOTATED, dtype=np.int64),
    )


def listing_windows(face_present: np.ndarray, *, length: int, stride: int) -> WindowIndex:
    """Windows by the released code's test rule: images count by their place in the folder.

    Frame i is taken to be the i-th image that there is, so after a missing face every later one is
    early. A window ends at images ``1, 1 + stride, ...`` and at the last one; the first image is
    repeated in front. ``start`` and ``end`` are places as well. Labels -1; a clip without any face
    gives no window.
    """
    images = np.flatnonzero(np.asarray(face_present, dtype=bool)) + 1
    _check(length, stride)
    n = len(images)
    ends = np.append(np.arange(1, n, stride), n) if n else np.zeros(0, dtype=np.int64)
    positions = np.maximum(ends[:, None] - np.arange(length, 0, -1), 0)
    return WindowIndex(
        frames=images[positions].astype(np.int32).reshape(len(ends), length),
        start=np.maximum(ends - length + 1, 1).astype(np.int32),
        end=ends.astype(np.int32),
        label=np.full(len(ends), NOT_ANNOTATED, dtype=np.int64),
    )


# Of each ``Experiment.frame_rule``: which windows are predicted.
FRAME_WINDOWS = {"last": frame_windows, "mean": frame_windows, "listing": listing_windows}


def frame_predictions(
    probabilities: np.ndarray,
    ends: np.ndarray,
    n_frames: int,
    *,
    length: int,
    rule: str = "last",
    fallback: np.ndarray,
) -> np.ndarray:
    """Window probabilities ``[N, 8]`` of one clip to frame probabilities:
    float64 ``[n_frames, 8]``, a row for every frame.

    ends: ``[N]``, the 1-based last frame of each window, in any order. ``last``: a frame takes the
    window that ends nearest to it, of two equally near ones the later, which contains it. ``mean``:
    the mean of the windows that cover the frame; where none does, as ``last``. A clip without
    windows takes ``fallback`` ``[8]`` for every frame.
    """
    rows_of = chosen("frame_rule", rule, FRAME_RULES)
    probabilities, ends = (
        np.asarray(probabilities, dtype=np.float64),
        np.asarray(ends, dtype=np.int64),
    )
    if len(probabilities) != len(ends) or (
        len(ends) and not 1 <= ends.min() <= ends.max() <= n_frames
    ):
        raise WrongCall(
            f"{len(probabilities)} windows with {len(ends)} ends for {n_frames} frames: "
            f"expected one end in 1..{n_frames} each"
        )
    if not len(ends):
        return np.tile(np.asarray(fallback, dtype=np.float64), (n_frames, 1))
    order = np.argsort(ends, kind="stable")
    return rows_of(probabilities[order], ends[order], n_frames, length)


def _rows_of_nearest(
    probabilities: np.ndarray, ends: np.ndarray, n_frames: int, length: int
) -> np.ndarray:
    frames = np.arange(1, n_frames + 1)
    later = np.searchsorted(ends, frames).clip(max=len(ends) - 1)
    earlier = np.maximum(later - 1, 0)
    nearest = np.where(
        np.abs(ends[later] - frames) <= np.abs(frames - ends[earlier]), later, earlier
    )
    return probabilities[nearest]


def _mean_rows(
    probabilities: np.ndarray, ends: np.ndarray, n_frames: int, length: int
) -> np.ndarray:
    result = _rows_of_nearest(probabilities, ends, n_frames, length)
    covering, total = _covering(probabilities, ends, n_frames, length)
    covered = covering > 0
    result[covered] = total[covered] / covering[covered, None]
    return result


# Of each ``Experiment.frame_rule``: windows, sorted by their ends, to a row for every frame.
FRAME_RULES = {"last": _rows_of_nearest, "mean": _mean_rows, "listing": _rows_of_nearest}


def _covering(
    probabilities: np.ndarray, ends: np.ndarray, n_frames: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """(number of windows that cover each frame ``[n]``, the sum of their probabilities ``[n, 8]``);
    ``ends`` sorted.
    """
    frames = np.arange(1, n_frames + 1)
    # Windows first .. last - 1 have frame <= end <= frame + length - 1.
    first = np.searchsorted(ends, frames)
    last = np.searchsorted(ends, frames + length - 1, side="right")
    sums = np.concatenate([np.zeros((1, probabilities.shape[1])), probabilities.cumsum(axis=0)])
    return last - first, sums[last] - sums[first]


def _box(half_width: int) -> np.ndarray:
    return np.ones(2 * half_width + 1)


def _gaussian(half_width: int) -> np.ndarray:
    distance = np.arange(-half_width, half_width + 1)
    return np.exp(-0.5 * (distance / (half_width / 2)) ** 2)


# Of each ``Experiment.smoothing``: the weights of the frames at most half_width away.
SMOOTHINGS: dict[str, Callable[[int], np.ndarray] | None] = {
    "none": None,
    "box": _box,
    "gaussian": _gaussian,
}


def smooth(probabilities: np.ndarray, kind: str, half_width: int) -> np.ndarray:
    """Smooth frame probabilities ``[n, 8]`` of one clip over time:
    float64 ``[n, 8]``, rows still sum to one.

    ``box`` weights the frames at most ``half_width`` away equally; ``gaussian`` weights the same
    frames with a standard deviation of half of ``half_width``. At the edges the weights are
    normalised over the frames that exist.
    """
    kernel_of = chosen("smoothing", kind, SMOOTHINGS)
    if half_width < 0:
        raise WrongCall(f"smoothing_half_width={half_width}: expected at least 0 frames")
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if kernel_of is None or half_width == 0 or not len(probabilities):
        return probabilities
    kernel = kernel_of(half_width)
    weight = convolve1d(np.ones(len(probabilities)), kernel, mode="constant")
    return convolve1d(probabilities, kernel, axis=0, mode="constant") / weight[:, None]
