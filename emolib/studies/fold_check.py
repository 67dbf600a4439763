"""The one published spread that the assumptions of ``studies.resolution`` can be held against.

Over five folds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from emolib.evaluation.metrics import LEVEL
from emolib.studies.resolution import REPETITIONS, Assumptions, redraw


def fold_spread(
    frames: np.ndarray,
    folds: np.ndarray,
    confusion: np.ndarray,
    concentration: float,
    *,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> np.ndarray:
    """Standard deviation of the macro-F1 over given ``folds`` ``[n]`` of ``frames`` ``[n, 8]``.

    ``[repetitions]``.

    The videos of each fold are fixed, as in a cross-validation; only outcomes vary.
    """
    assumptions = Assumptions(concentration, 0.0, 1.0)
    scores = [
        redraw(
            frames[folds == fold],
            confusion,
            assumptions,
            videos=0,
            repetitions=repetitions,
            seed=seed + int(fold),
        )[:, 0, 0]
        for fold in np.unique(folds)
    ]
    return np.std(scores, axis=0, ddof=1)


def fold_check(
    frames: np.ndarray,
    folds: np.ndarray,
    confusion: np.ndarray,
    concentrations: Sequence[float],
    *,
    repetitions: int = REPETITIONS,
) -> pd.DataFrame:
    """Median and central LEVEL (``from``, ``to``) of :func:`fold_spread` for each concentration."""
    edges = [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]
    rows = []
    for concentration in concentrations:
        spread = fold_spread(frames, folds, confusion, concentration, repetitions=repetitions)
        low, median, high = np.quantile(spread, edges)
        rows.append([concentration, median, low, high])
    return pd.DataFrame(rows, columns=["concentration", "median", "from", "to"])
