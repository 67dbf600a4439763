"""Folds for cross-validation: the published ones, and ours by video and balanced by class.

A fold is a part of the annotated clips that is held out once. Two people of one video share scene,
sound and often mood, so a video belongs into one fold as a whole; otherwise the model has heard at
training what it is tested on.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from emolib.data import structure
from emolib.data.annotations import source_id
from emolib.data.clip import Clip
from emolib.errors import EmolibError, WrongCall, chosen
from emolib.labels import class_counts
from emolib.system.files import few


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


def in_folds(clips: Sequence[Clip], kind: str, count: int, held_out: int) -> list[Clip]:
    """``clips`` with fold ``held_out`` of ``count`` of the labelled ones as validation, the rest as
    training.

    ``kind``: ``published``; ``video`` (:func:`by_video`); ``split`` (as they are); or ``clip``: as
    :func:`by_video`, but each annotation file by itself, so that two people of one video may lie in
    two folds, as in the published folds. Test clips stay as they are. Raises EmolibError for clips
    that the published folds do not have.
    """
    divide = chosen("cross_validation", kind, KINDS)
    if divide is None:
        return list(clips)
    labelled = [clip for clip in clips if clip.split != "test"]
    fold_of = divide(labelled, count)
    if missing := [clip.id for clip in labelled if clip.id not in fold_of]:
        raise EmolibError(
            f"cross_validation={kind}: {len(missing)} clips are in no fold ({few(missing)}); "
            "choose cross_validation=video"
        )
    split = {clip: "validation" if fold == held_out else "train" for clip, fold in fold_of.items()}
    return [replace(clip, split=split.get(clip.id, clip.split)) for clip in clips]


def _balanced(clips: Sequence[Clip], count: int, source: Callable[[str], str]) -> dict[str, int]:
    frames = np.stack([class_counts(clip.labels) for clip in clips])
    return by_video([clip.id for clip in clips], frames, count, source)


# Of each ``Experiment.cross_validation``: clips and a number of folds to the fold of each clip.
# None: the data's own split.
KINDS: dict[str, Callable[[Sequence[Clip], int], dict[str, int]] | None] = {
    "split": None,
    "video": lambda clips, count: _balanced(clips, count, source_id),
    "clip": lambda clips, count: _balanced(clips, count, str),
    "published": lambda clips, count: published(),
}


def by_video(
    clips: Sequence[str],
    frames: np.ndarray,
    count: int = 5,
    source: Callable[[str], str] = source_id,
) -> dict[str, int]:
    """Fold 1 to ``count`` of each of ``clips``: no video (``source`` of a clip) in two folds,
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
    videos = sorted({source(clip) for clip in clips})
    if not 2 <= count <= len(videos):
        raise WrongCall(f"folds={count}: choose 2 to {len(videos)}, the number of videos")
    row_of = {video: row for row, video in enumerate(videos)}
    shares = _shares(frames, np.array([row_of[source(clip)] for clip in clips]), len(videos))
    fold_of_video = _spread(shares, count)
    return {clip: int(fold_of_video[row_of[source(clip)]]) + 1 for clip in clips}


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
