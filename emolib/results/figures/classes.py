"""F1 by class: with its interval and its ceiling, and against the class's share of the training
data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from emolib import paper
from emolib.evaluation.intervals import PERCENT
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.results.figures.style import (
    CLASS_COLOURS,
    CLASS_MARKERS,
    COLUMN,
    EDGE,
    PAPER,
    STYLE,
    blank,
    class_ticks,
    errors,
)
from emolib.results.tables.text import ABSENT

CLASS_TABLE = list(paper.CLASS_F1.values())  # the poster's


@mpl.rc_context(STYLE)
def class_f1(
    per_class: Sequence[Mapping[str, Any]],
    *,
    ceiling: Sequence[float] | None,
    protocol: str,
    origin: str,
) -> Figure:
    """F1 of each class with its interval over clips, its ceiling, and the poster's values.

    A class without an annotation has no bar, and a word says why.
    """
    figure, axis = blank(f"F1 by class, per {protocol}", origin=origin, size=(COLUMN, 2.4))
    places = np.arange(NUM_CLASSES)
    absent = np.array([entry["support"] == 0 for entry in per_class])
    f1 = np.where(absent, np.nan, [entry["f1"] for entry in per_class])
    spread = errors(f1, [entry["f1_interval"] for entry in per_class])
    for place in places[absent]:
        axis.text(place, 0.03, ABSENT, rotation=90, ha="center", va="bottom", fontsize=7)
    axis.bar(places, f1, 0.7, color=CLASS_COLOURS, **EDGE)
    axis.errorbar(
        places,
        f1,
        spread,
        fmt="none",
        ecolor=PAPER,
        elinewidth=0.8,
        capsize=2,
        label=f"ours, {PERCENT} interval over clips",
    )
    if ceiling is not None:
        axis.plot(places, ceiling, "_", color=PAPER, ms=14, mew=1.4, label="ceiling")
    axis.plot(places, CLASS_TABLE, "D", color=PAPER, mfc="white", label="poster, real data")
    axis.set(ylabel="F1", ylim=(0, 1.03))
    class_ticks(axis)
    axis.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@mpl.rc_context(STYLE)
def f1_against_ratio(
    per_class: Sequence[Mapping[str, Any]], ratio: Sequence[float], *, origin: str
) -> Figure:
    """F1 of each class against its share of the training data (log axis): ours on the left, the
    poster's on the right, each with axes of its own.

    ``ratio`` [8]: shares of the training data, 0 to 1. A class that the training data lack has no
    point.
    """
    title = "F1 against training ratio"
    figure, (left, right) = blank(title, origin=origin, columns=2, size=(COLUMN, 2.5))
    f1 = np.array([entry["f1"] for entry in per_class])
    spread = errors(f1, [entry["f1_interval"] for entry in per_class])
    _class_points(left, np.asarray(ratio), f1, spread)
    _class_points(right, np.array(list(paper.TRAIN_RATIO.values())), np.array(CLASS_TABLE))
    left.set_title("ours", fontweight="normal")
    right.set_title("poster, real data", fontweight="normal")
    left.set_ylabel("F1")
    for axis in (left, right):
        axis.margins(0.12)
        axis.set(xscale="log", xlabel="% of training, log")
        low, high = axis.get_xlim()
        wide = high > 10 * low
        axis.xaxis.set_major_locator(
            FixedLocator([1, 2, 5, 10, 20, 50]) if wide else MaxNLocator(4)
        )
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_locator(NullLocator())
    handles, names = right.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, columnspacing=0.8)
    return figure


def _class_points(
    axis: Axes, ratio: np.ndarray, f1: np.ndarray, spread: np.ndarray | None = None
) -> None:
    """One point a class, in its colour and with its marker; ``spread`` [2, 8]: its error bars."""
    shares = np.where(ratio > 0, 100 * ratio, np.nan)  # a log axis has no zero
    if spread is not None:
        axis.errorbar(shares, f1, spread, fmt="none", ecolor=PAPER, elinewidth=0.6, capsize=1.5)
    for index, name in enumerate(EXPRESSIONS):
        axis.plot(
            shares[index],
            f1[index],
            CLASS_MARKERS[index],
            color=CLASS_COLOURS[index],
            mec="black",
            mew=0.4,
            ms=5,
            label=name,
        )
