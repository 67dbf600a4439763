"""Folds for cross-validation: the published ones, and ours by video and balanced by class.

A fold is a part of the annotated clips that is held out once. Two people of one video share scene,
sound and often mood, so a video belongs into one fold as a whole;
otherwise the model has heard at training what it is tested on.
"""

from collections.abc import Sequence

import numpy as np

from emolib.data import structure
from emolib.data.annotations import source_id
from emolib.errors import WrongCall


def published() -> dict[str, int]:
    """Fold 1 to 5 of each annotation file, from the strongest ABAW10 entry (arXiv 2603.12221).

    They were drawn by annotation file: :func:`leaks` names the videos that lie in two folds.
    """
    table = structure.annotation_files()
    return dict(zip(table["id"], table["fold"].tolist(), strict=True))


def leaks(fold_of: dict[str, int]) -> list[str]:
    """Source videos whose clips lie in more than one fold, by name."""
    folds_of_video: dict[str, set[int]] = {}
    for clip, fold in fold_of.items():
        folds_of_video.setdefault(source_id(clip), set()).add(fold)
    return sorted(video for video, folds in folds_of_video.items() if len(folds) > 1)


def by_video(clips: Sequence[str], frames: np.ndarray, count: int = 5) -> dict[str, int]:
    """Fold 1 to ``count`` of each of ``clips``: no video in two folds,
    each class spread as evenly as its videos allow.

    ``frames`` ``[clips, classes]``: labelled frames. Videos that hold much of a class come first;
    each goes into the fold where it adds least to :func:`imbalance`. So the result is never less
    balanced than folds drawn at random are on average (the method of conditional expectations), and
    it does not depend on the order of ``clips``. Raises WrongCall for fewer videos than folds, for
    fewer than two folds and for two clips of one name.
    """
    clips, frames = list(clips), np.asarray(frames)
    if len(set(clips)) < len(clips) or len(frames) != len(clips):
        raise WrongCall(f"folds: {len(clips)} clips and {len(frames)} rows; name each clip once")
    videos = sorted({source_id(clip) for clip in clips})
    if not 2 <= count <= len(videos):
        raise WrongCall(f"folds={count}: choose 2 to {len(videos)}, the number of videos")
    row_of = {video: row for row, video in enumerate(videos)}
    shares = _shares(frames, np.array([row_of[source_id(clip)] for clip in clips]), len(videos))
    fold_of_video = _spread(shares, count)
    return {clip: int(fold_of_video[row_of[source_id(clip)]]) + 1 for clip in clips}


def imbalance(frames: np.ndarray, folds: np.ndarray) -> float:
    """How unevenly ``folds`` ``[clips]`` share the classes of ``frames`` ``[clips, classes]``;
    0 is even.

    The sum of (share of the class in the fold - 1 / folds) squared, over folds,
    classes and the total of frames.
    """
    names, index = np.unique(folds, return_inverse=True)
    return float(((_shares(np.asarray(frames), index, len(names)) - 1 / len(names)) ** 2).sum())


def expected_imbalance(frames: np.ndarray, count: int = 5) -> float:
    """The mean :func:`imbalance` of folds in which each row of ``frames``
    ``[videos, classes]`` is drawn at random.

    For each class (1 - 1 / count) / effective number of videos:
    who rests on one video cannot be spread.
    """
    shares = _shares(np.asarray(frames), np.arange(len(frames)), len(frames))
    return float((1 - 1 / count) * (shares**2).sum())


def _shares(frames: np.ndarray, group: np.ndarray, groups: int) -> np.ndarray:
    """The share of each class, and of all frames, that each group holds:
    ``[groups, classes + 1]``; no frames: 0.
    """
    sums = np.zeros((groups, frames.shape[1]))
    np.add.at(sums, group, frames)
    sums = np.column_stack([sums, sums.sum(axis=1)])
    return sums / np.maximum(sums.sum(axis=0), 1)


def _spread(shares: np.ndarray, count: int) -> np.ndarray:
    """The fold, from 0, of each row of ``shares``;
    the largest rows are placed first, ties in order.
    """
    folds, held = np.zeros(len(shares), dtype=np.int64), np.zeros((count, shares.shape[1]))
    for video in np.argsort(-(shares**2).sum(axis=1), kind="stable"):
        folds[video] = np.argmin(held @ shares[video])  # how much the sum of squares grows
        held[folds[video]] += shares[video]
    return folds
