"""Figures of ablations: scores of variants with their ceilings, effects with their intervals, classes by window, single clips."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from emolib.results.figures import CLASS_COLOURS, COLUMN, OTHER, OURS, PAPER, STYLE, blank
from emolib.studies.claims import NEGLIGIBLE

BASELINE = "#7F7F7F"


@mpl.rc_context(STYLE)
def components(rows: Sequence[Mapping[str, Any]], *, title: str, origin: str) -> Figure:
    """Macro-F1 of each of ``rows`` (``claims.rows`` and ``claims.baseline_rows``), the first at the top."""
    figure, axis = blank(title, origin=origin, size=(COLUMN, 0.7 + 0.2 * len(rows)))
    y = np.arange(len(rows))
    value = np.array([row["macro_f1"] for row in rows])
    spread = np.clip(np.abs(np.array([row["interval"] for row in rows]).T - value), 0, None)
    colours = [OURS if row["trained"] else BASELINE for row in rows]
    axis.barh(
        y,
        value,
        0.62,
        color=colours,
        hatch=["" if row["trained"] else "////" for row in rows],
        edgecolor="white",
        lw=0,
    )
    axis.errorbar(
        value,
        y,
        xerr=spread,
        fmt="none",
        ecolor=PAPER,
        elinewidth=0.8,
        capsize=2,
        label="95 % interval",
    )
    seeds = [(seed, place) for place, row in zip(y, rows, strict=True) for seed in row["values"]]
    if seeds:
        axis.scatter(
            *np.array(seeds).T,
            s=7,
            color="white",
            edgecolor=PAPER,
            lw=0.5,
            zorder=3,
            label="a seed",
        )
    known = [
        (row["ceiling"], place)
        for place, row in zip(y, rows, strict=True)
        if row["ceiling"] is not None
    ]
    if known:
        axis.plot(
            *np.array(known).T, "|", color=OTHER, ms=11, mew=2, label="ceiling: best possible"
        )
    axis.set_yticks(y, [row["title"] for row in rows])
    axis.invert_yaxis()
    axis.set(xlabel="macro-F1, frames", xlim=(0, 1.03))
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@mpl.rc_context(STYLE)
def effects(rows: Sequence[Mapping[str, Any]], *, title: str, xlabel: str, origin: str) -> Figure:
    """Differences with their 95 % intervals around a line at zero; ``rows`` without ``difference`` are left out.

    Filled marks exclude zero. The grey band is what the rule of ``claims`` calls negligible.
    """
    shown = [row for row in rows if "difference" in row]
    figure, axis = blank(title, origin=origin, size=(COLUMN, 0.9 + 0.2 * len(shown)))
    axis.axvspan(-NEGLIGIBLE, NEGLIGIBLE, color="#D9D9D9", lw=0, label=f"less than {NEGLIGIBLE}")
    axis.axvline(0, color=PAPER, lw=0.8)
    for place, row in enumerate(shown):
        low, high = row["difference_interval"]
        sure = low > 0 or high < 0
        axis.plot([low, high], [place, place], color=OURS, lw=1.2)
        axis.plot(row["difference"], place, "o", color=OURS, mfc=OURS if sure else "white")
    axis.plot([], [], "o-", color=OURS, label="excludes zero")
    axis.plot([], [], "o-", color=OURS, mfc="white", label="holds zero")
    axis.set_yticks(range(len(shown)), [row.get("label") or row["title"] for row in shown])
    axis.invert_yaxis()
    axis.set(
        xlabel=textwrap.fill(xlabel, 26), ylim=(len(shown) - 0.4, -0.6)
    )  # long names leave the axis little room
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@mpl.rc_context(STYLE)
def classes_by_window(scores: Mapping[str, Mapping[int, float]], *, origin: str) -> Figure:
    """F1 of each class against the window's length, one line a class, each named at its end."""
    figure, axis = blank("F1 by class and window", origin=origin, size=(COLUMN, 2.6))
    windows = list(next(iter(scores.values())))
    for (name, values), colour, marker in zip(
        scores.items(), CLASS_COLOURS, "osD^v<>P", strict=True
    ):
        dark = (
            mpl.colors.to_rgb(colour) if colour != "#F0E442" else (0.72, 0.66, 0.0)
        )  # yellow is too light for a line on white
        axis.plot(
            range(len(windows)), list(values.values()), marker + "-", color=dark, ms=3.5, label=name
        )
    axis.set_xticks(range(len(windows)), [str(window) for window in windows])
    axis.set(xlabel="window, frames", ylabel="F1, mean over seeds", ylim=(0, 1.03))
    figure.legend(loc="outside lower center", ncols=4)
    return figure


@mpl.rc_context(STYLE)
def influence(rows: Sequence[Mapping[str, Any]], *, origin: str, count: int = 12) -> Figure:
    """What leaving out one clip does to macro-F1, the ``count`` most influential; ``rows``: of ``metrics.influence``."""
    shown = rows[:count]
    figure, axis = blank(
        "Leaving out one clip", origin=origin, size=(COLUMN, 0.7 + 0.17 * len(shown))
    )
    change = [row["change"] for row in shown]
    axis.barh(
        range(len(shown)),
        change,
        0.62,
        color=[OURS if value > 0 else OTHER for value in change],
        lw=0,
    )
    axis.axvline(0, color=PAPER, lw=0.8)
    axis.set_yticks(range(len(shown)), [str(row["clip"]) for row in shown])
    axis.invert_yaxis()
    axis.locator_params(axis="x", nbins=5)
    axis.set(xlabel="change of macro-F1 when this clip is left out")
    axis.grid(axis="y", visible=False)
    return figure
