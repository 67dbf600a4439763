"""Macro-F1 against window length: ours in one panel, the paper's in another."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emolib import paper
from emolib.evaluation.intervals import PERCENT
from emolib.results.figures.style import COLUMN, OTHER, OURS, PAPER, STYLE, blank, errors


@mpl.rc_context(STYLE)
def window_curve(
    rows: Sequence[Mapping[str, Any]], *, origin: str, protocol: str = "frame"
) -> Figure:
    """Macro-F1 against window length under one protocol: ours on the left, the paper's on real data
    on the right.

    The panels have axes of their own: compare the shape of the curves, not their level. ``rows``:
    of ``tables.window_rows``.
    """
    title = "Macro-F1 by window length"
    figure, (left, right) = blank(title, origin=origin, columns=2, size=(COLUMN, 2.4))
    _ours(left, [row for row in rows if row["protocol"] == protocol])
    left.set_title(f"ours, per {protocol}", fontweight="normal")
    _published(right)
    right.set_title("paper, real data", fontweight="normal")
    left.set_ylabel("macro-F1")
    for axis in (left, right):
        axis.set_xlabel("window, frames")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _ours(axis: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Seeds as dots beside their mean with its interval, and the ceiling where it is known."""
    places = np.arange(len(rows))
    mean = np.array([row["macro_f1"] for row in rows])
    spread = errors(mean, [row["interval"] for row in rows])
    name = f"mean, {PERCENT} interval"
    axis.errorbar(places, mean, spread, fmt="o-", color=OURS, capsize=2, label=name)
    for place, row in zip(places, rows, strict=True):
        beside = np.full(len(row["values"]), place + 0.18)
        label = "a seed" if place == 0 else None
        axis.scatter(beside, row["values"], s=7, color=OURS, alpha=0.5, lw=0, label=label)
    ceilings = [row["ceiling"] for row in rows]
    if None not in ceilings:
        axis.plot(places, ceilings, "^:", color=OTHER, label="ceiling: best possible")
    axis.set_xticks(places, [str(row["window"]) for row in rows])
    axis.margins(x=0.1)


def _published(axis: Axes) -> None:
    """The camera-ready's two curves and the challenge's baseline."""
    curves = {
        "validation (table 1)": (paper.VALIDATION_MACRO_F1, "D-"),
        "test (table 2)": (paper.TEST_MACRO_F1, "x--"),
    }
    windows = [window for window in paper.VALIDATION_MACRO_F1 if window]
    for label, (values, look) in curves.items():
        scores = [values[window] for window in windows]
        axis.plot(range(len(windows)), scores, look, color=PAPER, lw=0.9, label=label)
    baseline = paper.VALIDATION_MACRO_F1[None]
    axis.axhline(baseline, color=PAPER, lw=0.8, ls=":", label="baseline (VGGFace)")
    axis.set_xticks(range(len(windows)), [str(window) for window in windows])
    axis.margins(x=0.1)
