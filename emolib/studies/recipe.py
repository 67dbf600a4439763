"""The stronger recipe against the paper's: what each part gives alone, and the whole with the
seeds' probabilities averaged.

Smoothing and averaging need no training: they are applied to the probabilities that finished runs
have stored.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from emolib import paper
from emolib.config import STRONG
from emolib.results.tables.text import NONE, in_column, with_interval
from emolib.studies.claims import difference_text, interval_over, verdict
from emolib.studies.comparison import (
    PROBABILITIES,
    check_same_frames,
    compare,
    groups_of,
    predictions_of,
    scored,
)
from emolib.studies.variants import FULL, Variant
from emolib.windows import smooth

EVIDENCE = {  # why each part is in the preset
    "logit_adjustment": "Menon et al. 2021; left out: it failed when the parts were chosen",
    "smoothing": f"published: {paper.SMOOTHING[0]:.3f} to {paper.SMOOTHING[25]:.3f} at 25 frames, "
    "by EmotiEffNet",
    "ensemble": "averages what another seed would have changed",
    "strong_single": "smoothing, and the mean of the windows that cover a frame",
    "strong": "the same with the ensemble",
}


def decided(frames: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """``frames`` with other ``probabilities`` [n, 8] and the class that they favour."""
    columns = dict(zip(PROBABILITIES, probabilities.T, strict=True))
    return frames.assign(**columns, prediction=probabilities.argmax(axis=1))


def smoothed(frames: pd.DataFrame, kind: str, half_width: int) -> pd.DataFrame:
    """``frames`` of ``comparison.predictions`` with the probabilities of each clip smoothed over
    time.
    """
    rows = frames[PROBABILITIES].to_numpy(np.float64)
    result = np.empty_like(rows)
    for places in frames.groupby("clip", sort=False).indices.values():
        result[places] = smooth(rows[places], kind, half_width)
    return decided(frames, result)


def ensemble(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean probabilities of several seeds. Raises EmolibError when they are not about the same
    frames.
    """
    check_same_frames(runs)
    mean = np.mean([run[PROBABILITIES].to_numpy(np.float64) for run in runs], axis=0)
    return decided(runs[0], mean)


def rows(variants: Sequence[Variant], runs: pd.DataFrame) -> list[dict[str, Any]]:
    """One row for the paper's recipe, each part of ``strong`` alone, and ``strong`` with one seed
    and as an ensemble.

    ``runs``: of ``sweep.run_variants`` for ``variants.RECIPE``. ``difference``: the row minus the
    paper's recipe, paired over clips; training anew is part of the interval where the row is a mean
    over seeds, not where it is one ensemble.
    """
    frames = predictions_of(groups_of(variants, runs), probabilities=True)
    base, strong = frames.pop(FULL), frames.pop("strong")
    kind, width = STRONG["smoothing"], STRONG["smoothing_half_width"]
    titles = {variant.name: variant.title for variant in variants}
    candidates = {FULL: (titles[FULL], base)}
    candidates |= {name: (titles[name], part) for name, part in frames.items()}
    candidates |= {
        "smoothing": (
            f"Smoothing over ±{width} frames",
            [smoothed(run, kind, width) for run in base],
        ),
        "ensemble": (f"Ensemble of {len(base)} seeds", [ensemble(base)]),
        "strong_single": (titles["strong"], strong),
        "strong": (f"Preset strong, ensemble of {len(strong)} seeds", [ensemble(strong)]),
    }
    return [_row(name, title, runs, base) for name, (title, runs) in candidates.items()]


def _row(
    name: str, title: str, runs: list[pd.DataFrame], base: list[pd.DataFrame]
) -> dict[str, Any]:
    row = {"name": name, "title": title, "ceiling": None, "trained": True, **scored(runs)}
    if name != FULL:
        paired = compare(runs, base)
        row |= {"difference": paired["difference"], "difference_interval": paired["interval"]}
        row["verdict"] = verdict(paired["interval"], len(base))
    return row


def table(rows: Sequence[dict[str, Any]], *, origin: str) -> pd.DataFrame:
    """:func:`rows` as a table to print: is the row better than the paper's recipe, by the rule of
    ``claims``?
    """
    return pd.DataFrame(
        [
            {
                "Recipe": row["title"],
                in_column("Macro-F1, frames", origin): with_interval(
                    row["macro_f1"], row["interval"]
                ),
                "This minus the paper's": difference_text(row),
                "Better": row.get("verdict", NONE),
                "Interval over": interval_over(row),
                "Why": EVIDENCE.get(row["name"], ""),
            }
            for row in rows
        ]
    )
