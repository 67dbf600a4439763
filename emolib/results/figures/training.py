"""Training curves: the loss in parts that add up, and the validation score that chooses the
checkpoint.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from emolib.results.figures.style import COLUMN, OTHER, OURS, PAPER, STYLE, blank


@mpl.rc_context(STYLE)
def training_curves(
    history: Mapping[str, Sequence[float]], *, best_epoch: int, origin: str
) -> Figure:
    """Losses by epoch and the validation macro-F1 that chooses the checkpoint. ``history``: columns
    of history.csv.

    The contrastive part is drawn as it enters the total, times its weight, so that the two areas
    add up to the total. The dashed line is the classification part alone, on validation windows.
    """
    figure, (left, right) = blank("Training", origin=origin, columns=2, size=(COLUMN, 2.4))
    epoch, total = (np.asarray(history[column]) for column in ("epoch", "train_loss"))
    if "classification_loss" in history:
        classification = np.asarray(history["classification_loss"])
        left.fill_between(epoch, 0, classification, color=OURS, alpha=0.35, lw=0)
        left.fill_between(epoch, classification, total, color=OTHER, alpha=0.6, lw=0)
        left.fill([], [], color=OURS, alpha=0.35, lw=0, label="classification")
        left.fill([], [], color=OTHER, alpha=0.6, lw=0, label="contrastive, weighted")
    left.plot(epoch, total, "-", color=OURS, label="total, train")
    if "validation_loss" in history:
        left.plot(
            epoch, history["validation_loss"], "--", color=PAPER, label="classification, validation"
        )
    left.set(ylabel="loss")
    left.set_ylim(bottom=0)
    right.plot(epoch, history["validation_macro_f1"], "o-", color=OURS, label="macro-F1")
    right.set(ylabel="validation macro-F1", ylim=(0, 1.03))
    for axis in (left, right):
        axis.axvline(best_epoch, color=PAPER, lw=0.8, ls=":", label="chosen epoch")
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axis.set(xlabel="epoch")
    entries: dict[str, Any] = {}
    for axis in (left, right):
        handles, labels = axis.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=2)
    return figure
