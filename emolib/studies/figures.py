"""Figures of ablations: scores of variants with their ceilings, effects with their intervals,
classes by window, single clips.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emolib.evaluation import metrics
from emolib.evaluation.intervals import PERCENT
from emolib.labels import EXPRESSIONS
from emolib.results.figures.style import (
    CLASS_COLOURS,
    CLASS_MARKERS,
    COLUMN,
    OTHER,
    OURS,
    PAPER,
    STYLE,
    WIDE,
    blank,
    errors,
)
from emolib.studies.claims import NEGLIGIBLE

BASELINE = "#7F7F7F"
NAME_WIDTH = 24  # characters of a row's name in one line
LINEAR = 0.05  # of macro-F1: up to here the axis of effects is linear


@mpl.rc_context(STYLE)
def components(rows: Sequence[Mapping[str, Any]], *, title: str, origin: str) -> Figure:
    """Macro-F1 of each of ``rows`` (``claims.rows`` and ``claims.baseline_rows``), the first at the
    top.
    """
    figure, axis = blank(title, origin=origin, size=(COLUMN, 0.9 + 0.27 * len(rows)))
    places = np.arange(len(rows))
    values = np.array([row["macro_f1"] for row in rows])
    axis.barh(
        places,
        values,
        0.62,
        color=[OURS if row["trained"] else BASELINE for row in rows],
        hatch=["" if row["trained"] else "////" for row in rows],
        edgecolor="white",
        lw=0,
    )
    spread = errors(values, [row["interval"] for row in rows])
    look = {"fmt": "none", "ecolor": PAPER, "elinewidth": 0.8, "capsize": 2}
    axis.errorbar(values, places, xerr=spread, label=f"{PERCENT} interval", **look)
    label = "a seed"
    for place, row in enumerate(rows):
        beside = np.full(len(row["values"]), place)
        look = {"s": 7, "color": "white", "edgecolor": PAPER, "lw": 0.5, "zorder": 3}
        axis.scatter(row["values"], beside, label=label if len(beside) else None, **look)
        label = "" if len(beside) else label
    known = [
        (row["ceiling"], place) for place, row in enumerate(rows) if row["ceiling"] is not None
    ]
    if known:
        axis.plot(*np.array(known).T, "|", color=OTHER, ms=10, mew=2, label="ceiling")
    _name_rows(axis, [row["title"] for row in rows])
    axis.set(xlabel="macro-F1, per frame", xlim=(0, 1.03))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _stretch_around_zero(axis: Axes) -> None:
    """The x axis linear up to LINEAR on both sides of 0, logarithmic beyond."""
    axis.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
    low, high = axis.dataLim.intervalx
    ticks = [-0.8, -0.2, -LINEAR, 0, LINEAR, 0.2, 0.8]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_xticks([], minor=True)
    axis.set_xlim(min(1.3 * low, -LINEAR), max(1.2 * high, LINEAR))


@mpl.rc_context(STYLE)
def effects(
    rows: Sequence[Mapping[str, Any]],
    *,
    title: str,
    xlabel: str = "what this component adds to macro-F1",
    origin: str,
) -> Figure:
    """Differences with their intervals around a line at zero; ``rows`` without ``difference``
    are left out.

    A row goes by its ``label``, or the ``component`` that its variant lacks, or its title. A filled
    mark has an interval that excludes 0. The grey band is what the rule of ``claims`` calls
    negligible. Where one difference is far larger than the others, the axis is linear up to LINEAR
    and logarithmic beyond, so that the small intervals stay visible.
    """
    shown = [row for row in rows if "difference" in row]
    figure, axis = blank(title, origin=origin, size=(COLUMN, 1.1 + 0.27 * len(shown)))
    axis.axvspan(-NEGLIGIBLE, NEGLIGIBLE, color="#D9D9D9", lw=0, label=f"within ±{NEGLIGIBLE}")
    axis.axvline(0, color=PAPER, lw=0.8)
    for place, row in enumerate(shown):
        low, high = row["difference_interval"]
        sure = low > 0 or high < 0
        axis.plot([low, high], [place, place], color=OURS, lw=1.2)
        look = {"ms": 4, "color": OURS, "mfc": OURS if sure else "white"}
        axis.plot(row["difference"], place, "o", **look)
    axis.plot([], [], "o-", color=OURS, label=f"{PERCENT} interval excludes 0")
    axis.plot([], [], "o-", color=OURS, mfc="white", label="holds 0")
    _name_rows(axis, [row.get("label") or row.get("component") or row["title"] for row in shown])
    bounds = [abs(bound) for row in shown for bound in row["difference_interval"]]
    if max(bounds, default=0.0) > 4 * LINEAR:
        _stretch_around_zero(axis)
        xlabel += f"; logarithmic beyond ±{LINEAR}"
    else:
        axis.locator_params(axis="x", nbins=5)
    axis.set(xlabel=textwrap.fill(xlabel, NAME_WIDTH), ylim=(len(shown) - 0.4, -0.6))
    figure.legend(loc="outside lower center", ncols=3, columnspacing=0.8, handlelength=1.4)
    return figure


@mpl.rc_context(STYLE)
def classes_by_window(
    scores: Mapping[str, Mapping[int, Sequence[float]]], *, origin: str
) -> Figure:
    """F1 against the window's length, one panel a class: seeds as dots beside their mean with its
    interval.

    ``scores``: of ``claims.class_windows``, class or group of classes -> window -> F1 of each seed.
    """
    columns = 4 if len(scores) % 3 else 3
    rows = -(-len(scores) // columns)
    figure, axes = blank(
        "F1 by class and window, per frame",
        origin=origin,
        rows=rows,
        columns=columns,
        size=(WIDE, 0.5 + 1.35 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis, (name, by_window) in zip(axes.flat, scores.items(), strict=False):
        _seeds_by_window(axis, name, by_window)
    for axis in axes.flat[len(scores) :]:
        axis.set_visible(False)
    axes[0, 0].set_ylim(0, 1.05)
    figure.supxlabel("window, frames", fontsize=8)
    figure.supylabel("F1", fontsize=8)
    return figure


def _seeds_by_window(axis: Axes, name: str, by_window: Mapping[int, Sequence[float]]) -> None:
    """One panel; a group of classes is black, a class has its colour and marker."""
    colour, marker = PAPER, "o"
    if name in EXPRESSIONS:
        index = EXPRESSIONS.index(name)
        colour, marker = CLASS_COLOURS[index], CLASS_MARKERS[index]
    places = np.arange(len(by_window))
    over = [metrics.over_seeds(values) for values in by_window.values()]
    mean = np.array([row["mean"] for row in over])
    intervals = [row["interval"] or [row["mean"]] * 2 for row in over]
    axis.plot(places, mean, color="#555555", lw=0.9)
    axis.errorbar(
        places,
        mean,
        errors(mean, np.clip(intervals, 0, 1).tolist()),
        fmt=marker,
        color=colour,
        ecolor="#555555",
        elinewidth=0.8,
        capsize=2,
        mec="black",
        mew=0.4,
        ms=5,
    )
    for place, values in zip(places, by_window.values(), strict=True):
        beside = np.full(len(values), place + 0.2)
        axis.scatter(beside, values, s=6, color=colour, edgecolor="black", lw=0.3)
    axis.set_title(name, fontweight="normal")
    axis.set_xticks(places, [str(window) for window in by_window])


@mpl.rc_context(STYLE)
def influence(rows: Sequence[Mapping[str, Any]], *, origin: str, count: int = 12) -> Figure:
    """What leaving out one clip does to macro-F1, the ``count`` most influential; ``rows``: of
    ``metrics.influence``.
    """
    shown = rows[:count]
    size = (COLUMN, 0.7 + 0.17 * len(shown))
    figure, axis = blank("Leaving out one clip", origin=origin, size=size)
    change = [row["change"] for row in shown]
    colours = [OURS if value > 0 else OTHER for value in change]
    axis.barh(range(len(shown)), change, 0.62, color=colours, lw=0)
    axis.axvline(0, color=PAPER, lw=0.8)
    _name_rows(axis, [str(row["clip"]) for row in shown])
    axis.locator_params(axis="x", nbins=4)
    axis.set(xlabel="change of macro-F1 without it")
    return figure


def _name_rows(axis: Axes, names: Sequence[str]) -> None:
    """Names on the y axis, the first at the top; a long one in two lines."""
    texts = [textwrap.fill(name, NAME_WIDTH) for name in names]
    axis.set_yticks(range(len(names)), texts)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
