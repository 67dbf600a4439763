"""Figures of the data: how the classes are distributed, how a quantity is spread over the clips,
what the faces look like.
"""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from emolib import paper
from emolib.labels import EXPRESSIONS
from emolib.results.figures.style import (
    CLASS_COLOURS,
    COLUMN,
    EDGE,
    OTHER,
    OURS,
    PAPER,
    STYLE,
    blank,
)


@mpl.rc_context(STYLE)
def class_distribution(
    counts: Mapping[str, Sequence[int]], *, origin: str, unit: str = "frames"
) -> Figure:
    """Shares of the classes: the training ratios of the poster's figure, then each split of
    ``counts`` in the same shape.

    ``counts``: split -> [8] of ``unit``; the poster's are frames.
    """
    shares = {"poster, real train": 100 * np.array(list(paper.TRAIN_RATIO.values()))}
    for split, values in counts.items():
        shares[f"ours, {split}"] = 100 * np.asarray(values) / max(sum(values), 1)
    size = (COLUMN, 1.9)
    figure, axes = blank(
        "Class distribution",
        origin=f"ours: {origin}" if origin else "",  # the poster's are of real people
        columns=len(shares),
        size=size,
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axis, (title, share) in zip(axes[0], shares.items(), strict=True):
        _class_bars(axis, share)
        axis.set_title(title.replace(", ", "\n"), fontsize=7, fontweight="normal")
    axes[0, 0].set_xlim(0, 1.35 * max(share.max() for share in shares.values()))
    figure.supxlabel(f"share of the {unit}, %", fontsize=8)
    return figure


def _class_bars(axis: Axes, shares: np.ndarray) -> None:
    """One bar a class in its colour, with its value at its end; Neutral at the top."""
    import seaborn

    colours = dict(zip(EXPRESSIONS, CLASS_COLOURS, strict=True))
    seaborn.barplot(
        x=shares,
        y=list(EXPRESSIONS),
        hue=list(EXPRESSIONS),
        palette=colours,
        saturation=1,
        legend=False,
        ax=axis,
        **EDGE,
    )
    for place, share in enumerate(shares):
        axis.annotate(
            f"{share:.1f}" if share else "none",
            (share, place),
            xytext=(1.5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7,
        )
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)


@mpl.rc_context(STYLE)
def histogram(
    values: Mapping[str, np.ndarray],
    *,
    title: str,
    xlabel: str,
    ylabel: str = "clips",
    origin: str,
    bins: int = 20,
) -> Figure:
    """How one quantity is spread over the clips, one line a split (clip lengths, frame rates,
    missing faces).
    """
    import seaborn

    figure, axis = blank(title, origin=origin, size=(COLUMN, 1.9))
    everything = np.concatenate([np.asarray(v, dtype=float) for v in values.values()])
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    looks = zip((OURS, OTHER, PAPER), ("-", "--", ":"), strict=True)
    for (split, data), (colour, style) in zip(values.items(), looks, strict=False):
        seaborn.histplot(
            x=np.asarray(data, dtype=float),
            bins=list(edges),
            element="step",
            fill=False,
            color=colour,
            linestyle=style,
            label=f"{split} ({len(data)})",
            ax=axis,
        )
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend()
    return figure


@mpl.rc_context(STYLE)
def faces(images: Mapping[str, Sequence[np.ndarray]], *, title: str, origin: str) -> Figure:
    """Rows of face crops [H, W, 3], one row a name, all rows of equal length."""
    figure, axes = blank(
        title,
        origin=origin,
        rows=len(images),
        columns=len(next(iter(images.values()))),
        size=(COLUMN, 0.45 * len(images) + 0.3),
        squeeze=False,
    )
    for row, (name, crops) in zip(axes, images.items(), strict=True):
        for axis, crop in zip(row, crops, strict=True):
            axis.imshow(crop)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure
