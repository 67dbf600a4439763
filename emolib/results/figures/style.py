"""One style for every figure: the width of a column, 8 points, and one colour and marker for each
class.

Widths are those of the CVPR template, so that a figure is printed without scaling. Colours are
Okabe and Ito's, told apart with every common colour blindness (https://jfly.uni-koeln.de/color/);
markers or labels repeat what they say.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emolib.features.origin import labelled
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.system.files import printable

TITLE_LETTERS = 14  # of a title, an inch: as many fit in bold at 8 points
TITLE_LINE = 0.13  # inches
COLUMN, WIDE = 3.25, 6.875  # inches: one column, and the whole text of a two-column page
CLASS_COLOURS = (
    "#7F7F7F",  # Neutral
    "#D55E00",  # Anger
    "#009E73",  # Disgust
    "#CC79A7",  # Fear
    "#F0E442",  # Happiness
    "#0072B2",  # Sadness
    "#E69F00",  # Surprise
    "#56B4E9",  # Other
)
CLASS_MARKERS = "osD^v<>P"
OURS, OTHER, PAPER, GRID = "#0072B2", "#E69F00", "#000000", "#D9D9D9"
EDGE: Any = {"edgecolor": "black", "linewidth": 0.4}  # without one, yellow is too light on white
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.4,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "emolib",  # equal figures give equal bytes
    "figure.dpi": 150,
}


@mpl.rc_context(STYLE)
def blank(
    title: str,
    *,
    origin: str,
    rows: int = 1,
    columns: int = 1,
    size: tuple[float, float] = (COLUMN, 2.4),
    **grid: Any,
) -> Any:
    """A figure in our style and its axes; ``size`` in inches, with one line of title.

    A title that is longer than the figure is wide goes on in another line, which makes the figure
    higher. It says ``origin`` where the numbers are not from real data and trained encoders
    (``origin.origin``).
    """
    width, height = size
    lines = printable(labelled(title, origin)).split("\n")
    text = "\n".join(textwrap.fill(line, int(TITLE_LETTERS * width)) for line in lines)
    figure = Figure(figsize=(width, height + TITLE_LINE * text.count("\n")), layout="constrained")
    axes = figure.subplots(rows, columns, **grid)
    # parse_math: the name of a file may hold dollars
    figure.suptitle(text, fontsize=8, fontweight="bold", parse_math=False)
    return figure, axes


def class_ticks(axis: Axes) -> None:
    """The eight class names below the x axis."""
    places = range(NUM_CLASSES)
    axis.set_xticks(places, EXPRESSIONS, rotation=35, ha="right", rotation_mode="anchor")


def errors(values: np.ndarray, intervals: Sequence[Sequence[float]]) -> np.ndarray:
    """Lengths [2, n] of the error bars below and above ``values`` [n] that reach to ``intervals``
    [n, 2].
    """
    low, high = np.asarray(intervals, dtype=float).T
    return np.clip([values - low, high - values], 0, None)


def ink_on(fill: str) -> str:
    """Black or white, whichever is read more easily on the colour ``fill`` ("#RRGGBB"): by WCAG 2's
    contrast of luminances.
    """
    sRGB = np.array([int(fill[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(sRGB <= 0.04045, sRGB / 12.92, ((sRGB + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    # black and white have equal contrast where the two products are equal
    return "#000000" if (luminance + 0.05) ** 2 > 1.05 * 0.05 else "#FFFFFF"
