"""Aff-Wild2's real structure in counts: which video shows which class for how many frames.

Public facts, one row for each annotation file of the training and the validation set; no frame and
no order of labels. The source stands beside the table, in ``emolib/assets/affwild2/README.md``.
"""

from pathlib import Path

import numpy as np
import pandas as pd

import emolib
from emolib.errors import WrongCall
from emolib.labels import EXPRESSIONS

PATH = Path(emolib.__file__).parent / "assets" / "affwild2" / "structure.csv"
CLASS_COLUMNS = [name.lower() for name in EXPRESSIONS]
SPLITS = ("train", "validation")


def annotation_files(split: str = "") -> pd.DataFrame:
    """The rows of ``split`` (``train``, ``validation``, empty: both), in the order of the table.

    Columns: ``id``, ``video``, ``split``, ``fold`` (published, 1 to 5), ``lines``, ``labelled``,
    frames of each of the eight classes, ``fps``, ``video_frames``, ``video_seconds``,
    ``audio_seconds``. Raises WrongCall for another split.
    """
    if split not in ("", *SPLITS):
        raise WrongCall(f"split={split!r}: choose one of {', '.join(SPLITS)}, or leave it empty")
    table = pd.read_csv(PATH)
    return table[table["split"] == split].reset_index(drop=True) if split else table


def class_frames(table: pd.DataFrame) -> np.ndarray:
    """Labelled frames of each class in each row of ``table``: int64 ``[rows, 8]``."""
    return table[CLASS_COLUMNS].to_numpy(dtype=np.int64)


def frames_by_video(split: str = "") -> np.ndarray:
    """Labelled frames of each class in each source video: int64 ``[videos, 8]``, videos by name.

    The two people of one video are counted together:
    they share the scene, the sound and often the mood.
    """
    return class_frames(annotation_files(split).groupby("video")[CLASS_COLUMNS].sum())


def videos_with(frames: np.ndarray) -> np.ndarray:
    """How many rows of ``frames`` ``[videos, 8]`` show each class: ``[8]``."""
    return (frames > 0).sum(axis=0)


def largest_share(frames: np.ndarray) -> np.ndarray:
    """The share of each class's frames that its largest video holds: ``[8]``.

    A class without frames: NaN.
    """
    return _divide(frames.max(axis=0), frames.sum(axis=0))


def effective_videos(frames: np.ndarray) -> np.ndarray:
    """The effective number of videos of each class: ``[8]``. A class without frames: NaN.

    The squared sum over the sum of squares (Kish 1965): ten equal videos count as ten; ten videos
    of which one holds nearly all frames count as little more than one.
    """
    frames = frames.astype(np.float64)
    return _divide(frames.sum(axis=0) ** 2, (frames**2).sum(axis=0))


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
