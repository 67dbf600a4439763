"""Is a confidence what it says? Accuracy against confidence, and the calibration error."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from emolib.results.figures.style import COLUMN, OURS, PAPER, STYLE, blank, errors


@mpl.rc_context(STYLE)
def reliability(calibration: Mapping[str, Any], *, title: str, origin: str) -> Figure:
    """Accuracy of the predictions by their confidence, and how many there are. ``calibration``: of
    ``metrics.calibration``.

    A model whose confidence is right lies on the diagonal. Bars are binomial intervals; they take
    the frames as independent, which frames of one clip are not, so the true uncertainty is larger.
    """
    figure, (above, below) = blank(
        title,
        origin=origin,
        rows=2,
        size=(COLUMN, 3.0),
        sharex=True,
        gridspec_kw={"height_ratios": [3, 1]},
    )
    bins = [entry for entry in calibration["bins"] if entry["count"]]
    confidence = np.array([entry["confidence"] for entry in bins])
    accuracy = np.array([entry["accuracy"] for entry in bins])
    spread = errors(accuracy, [entry["accuracy_interval"] for entry in bins])
    above.plot([0, 1], [0, 1], ":", color=PAPER, lw=0.9, label="confidence = accuracy")
    above.errorbar(
        confidence,
        accuracy,
        spread,
        fmt="o-",
        color=OURS,
        capsize=2,
        label="ours, binomial interval",
    )
    error = calibration["expected_calibration_error"]
    above.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.03))
    above.set_title(f"expected calibration error {error:.3f}", fontweight="normal")
    edges = [entry["low"] for entry in calibration["bins"]]
    counts = [entry["count"] for entry in calibration["bins"]]
    width = 1 / len(counts)
    below.bar(edges, counts, width, align="edge", color=OURS, edgecolor="white", lw=0.4)
    # most predictions are sure, so on a linear axis the others would not be seen
    below.set(xlabel="confidence: the highest probability", ylabel="number (log)", yscale="log")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
