"""One clip over time: probabilities above bands of annotated and predicted classes."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.results.figures.style import CLASS_COLOURS, STYLE, WIDE, blank, ink_on


@mpl.rc_context(STYLE)
def timeline(
    times: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    predictions: np.ndarray,
    *,
    title: str,
    origin: str,
) -> Figure:
    """One clip: probabilities [n, 8] over ``times`` [n] seconds, above bands of annotated and
    predicted classes (-1: none).
    """
    figure, (above, below) = blank(
        title,
        origin=origin,
        rows=2,
        size=(WIDE, 2.6),
        sharex=True,
        gridspec_kw={"height_ratios": [4, 1]},
    )
    shown = np.nan_to_num(probabilities)
    above.stackplot(times, shown.T, colors=CLASS_COLOURS, labels=EXPRESSIONS, lw=0)
    above.set(ylabel="probability", ylim=(0, 1), xlim=(times[0], times[-1]))
    above.legend(ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    colours = ListedColormap(("white", *CLASS_COLOURS))
    edges = np.append(times, times[-1] + (times[-1] - times[-2] if len(times) > 1 else 1))
    bands = np.stack([predictions, labels]) + 1
    below.pcolormesh(edges, [0, 1, 2], bands, cmap=colours, vmin=-0.5, vmax=NUM_CLASSES + 0.5)
    for row, band in enumerate((predictions, labels)):
        _name_runs(below, times, band, row + 0.5)
    below.set_yticks([0.5, 1.5], ["predicted", "annotated"])
    below.set(xlabel="time, s")
    below.grid(visible=False)
    return figure


def _name_runs(axis: Axes, times: np.ndarray, band: np.ndarray, height: float) -> None:
    """Write the class into every run that is long enough to hold its name."""
    starts = np.flatnonzero(np.diff(band, prepend=band[0] - 1))
    ends = np.append(starts[1:], len(band)) - 1
    shortest = 0.1 * (times[-1] - times[0])
    for start, end in zip(starts, ends, strict=True):
        label = band[start]
        if label >= 0 and times[end] - times[start] > shortest:
            axis.text(
                (times[start] + times[end]) / 2,
                height,
                EXPRESSIONS[label],
                ha="center",
                va="center",
                fontsize=7,
                color=ink_on(CLASS_COLOURS[label]),
            )
