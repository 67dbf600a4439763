"""The figure of an ablation: one bar a variant with its 95 % interval, seeds as dots, and the known ceiling as a mark."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from emolib.figures import COLUMN, OTHER, OURS, PAPER, STYLE, blank

BASELINE = "#7F7F7F"


@mpl.rc_context(STYLE)
def components(rows: Sequence[Mapping[str, Any]], *, title: str, origin: str) -> Figure:
    """Macro-F1 of each of ``rows`` (``claims.rows`` and ``claims.baseline_rows``), the first at the top."""
    figure, axis = blank(title, origin=origin, size=(COLUMN, 0.7 + 0.2 * len(rows)))
    y = np.arange(len(rows))
    value = np.array([row["macro_f1"] for row in rows])
    spread = np.clip(np.abs(np.array([row["interval"] for row in rows]).T - value), 0, None)
    colours = [OURS if row["trained"] else BASELINE for row in rows]
    axis.barh(y, value, 0.62, color=colours, hatch=["" if row["trained"] else "////" for row in rows], edgecolor="white", lw=0)
    axis.errorbar(value, y, xerr=spread, fmt="none", ecolor=PAPER, elinewidth=0.8, capsize=2, label="95 % interval")
    seeds = [(seed, place) for place, row in zip(y, rows, strict=True) for seed in row["values"]]
    if seeds:
        axis.scatter(*np.array(seeds).T, s=7, color="white", edgecolor=PAPER, lw=0.5, zorder=3, label="a seed")
    known = [(row["ceiling"], place) for place, row in zip(y, rows, strict=True) if row["ceiling"] is not None]
    if known:
        axis.plot(*np.array(known).T, "|", color=OTHER, ms=11, mew=2, label="ceiling: best possible")
    axis.set_yticks(y, [row["title"] for row in rows])
    axis.invert_yaxis()
    axis.set(xlabel="macro-F1, frames", xlim=(0, 1.03))
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=3)
    return figure
