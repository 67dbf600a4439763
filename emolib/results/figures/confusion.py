"""The confusion matrix as a heat map."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from emolib.labels import EXPRESSIONS
from emolib.results.figures.style import COLUMN, STYLE, blank


@mpl.rc_context(STYLE)
def confusion(
    matrix: Sequence[Sequence[int]], *, title: str, origin: str, truth: str = "annotated"
) -> Figure:
    """Confusion [8, 8] (row: ``truth``, column: predicted): percent of each row, with its count
    beside the class's name.

    An empty cell holds nothing; one with less than half a percent says "<1". A class that is
    neither annotated nor predicted is left out.
    """
    import seaborn

    counts = np.asarray(matrix)
    kept = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    counts = counts[np.ix_(kept, kept)]
    classes = [EXPRESSIONS[index] for index in kept]
    support = counts.sum(axis=1)
    percent = 100 * counts / np.maximum(support, 1)[:, None]
    texts = np.where(percent < 0.5, "<1", np.char.mod("%.0f", percent))
    names = [f"{name} {count:,}" for name, count in zip(classes, support, strict=True)]
    figure, axis = blank(title, origin=origin, size=(COLUMN, 2.9))
    seaborn.heatmap(
        percent,
        mask=counts == 0,
        annot=texts,
        fmt="",
        annot_kws={"fontsize": 8},
        cmap="Blues",
        vmin=0,
        vmax=100,
        cbar=False,
        square=True,
        linewidths=0.5,
        linecolor="#E5E5E5",
        xticklabels=classes,
        yticklabels=names,
        ax=axis,
    )
    axis.grid(visible=False)
    axis.tick_params(length=0)
    axis.set_xticklabels(axis.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")
    axis.set(xlabel="predicted, % of the row", ylabel=f"{truth}, number")
    return figure
