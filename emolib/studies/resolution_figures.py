"""Figures of what a set of videos can decide: bands over the assumptions, never one number."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from scipy import stats

from emolib.data import structure
from emolib.evaluation.intervals import PERCENT
from emolib.labels import EXPRESSIONS
from emolib.results.figures import COLUMN, OTHER, OURS, PAPER, STYLE, blank
from emolib.studies.published_differences import Difference, answer

EFFECT_TICKS = [0.005, 0.01, 0.02, 0.05, 0.1]
BAND = "#9CC9E8"  # a light OURS
MARKS = {"no": ("X", OTHER), "depends on the assumptions": ("o", "white"), "yes": ("o", OURS)}


@mpl.rc_context(STYLE)
def carriers(frames: np.ndarray, *, title: str) -> Figure:
    """Each class's frames as one bar, cut into its videos ``[videos, 8]``, the largest first.

    Its effective number behind.
    """
    figure, axis = blank(title, origin="", size=(COLUMN, 2.5))
    effective, shown = structure.effective_videos(frames), structure.videos_with(frames)
    for row in range(len(EXPRESSIONS)):
        shares = np.sort(frames[:, row])[::-1] / frames[:, row].sum()
        shares = shares[shares > 0]
        left = np.cumsum(shares) - shares
        tints = [OTHER] + [OURS, BAND] * len(shares)
        axis.barh(row, shares, 0.68, left=left, color=tints[: len(shares)], ec="white", lw=0.3)
        axis.text(1.02, row, f"{effective[row]:.1f} of {shown[row]}", va="center", fontsize=7)
    axis.text(1.02, -1.0, "effective\nof all videos", va="center", fontsize=7)
    axis.set_yticks(range(len(EXPRESSIONS)), EXPRESSIONS)
    axis.set(xlim=(0, 1.34), ylim=(7.5, -1.5), xlabel="share of frames, one piece a video")
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axis.grid(axis="y", visible=False)
    return figure


@mpl.rc_context(STYLE)
def recall_densities(concentrations: Sequence[float], recall: float) -> Figure:
    """How a video's recall is distributed around ``recall`` under each concentration."""
    figure, axis = blank("Recall of a class in one video", origin="", size=(COLUMN, 2.3))
    x = np.linspace(0.002, 0.998, 400)
    styles = ["-", "--", "-.", ":"]
    for concentration, style in zip(concentrations, styles, strict=False):
        law = stats.beta(concentration * recall, concentration * (1 - recall))
        label = f"{concentration:g} (sd {law.std():.2f})"
        axis.plot(x, law.pdf(x), style, color=OURS, label=label)
    axis.axvline(recall, color=PAPER, lw=0.8)
    axis.set(xlabel=f"recall in the video; mean over videos {recall:g}", ylabel="density")
    axis.set(xlim=(0, 1), ylim=(0, 3.4))
    figure.legend(title="concentration", title_fontsize=7, ncols=2, loc="outside lower center")
    return figure


@mpl.rc_context(STYLE)
def width_of_one_score(
    concentrations: Sequence[float],
    widths: np.ndarray,
    lines: Mapping[str, float],
    *,
    band: str,
) -> Figure:
    """Width of the interval of one score against the concentration.

    ``widths`` ``[levels, concentrations]`` span the ``band``.
    """
    figure, axis = blank(f"{PERCENT} interval of one macro-F1", origin="", size=(COLUMN, 2.3))
    axis.fill_between(concentrations, widths.min(0), widths.max(0), color=BAND, lw=0, label=band)
    axis.plot(concentrations, widths.mean(0), color=OURS)
    _log_axis(axis, concentrations)
    _lines(axis, lines)
    axis.set(xlabel="concentration: videos differ much … little", ylabel="width, macro-F1")
    axis.set(ylim=(0, None), xlim=(min(concentrations), max(concentrations)))
    axis.legend(loc="upper right")
    return figure


@mpl.rc_context(STYLE)
def smallest_by_shared(
    shared: Sequence[float], edges: np.ndarray, lines: Mapping[str, float], *, band: str
) -> Figure:
    """The smallest difference that excludes zero against the share of equal outcomes.

    ``edges`` ``[2, shared]``.
    """
    figure, axis = blank("What a difference must exceed", origin="", size=(COLUMN, 2.3))
    axis.fill_between(shared, *edges, color=BAND, lw=0, label=band)
    _lines(axis, lines)
    axis.set(xlabel="share of outcomes in common", ylabel="difference of macro-F1")
    axis.set(xlim=(min(shared), max(shared)), ylim=(0, None))
    axis.legend(loc="upper right")
    return figure


@mpl.rc_context(STYLE)
def published(shown: Sequence[Difference], bands: Mapping[str, tuple[float, float]]) -> Figure:
    """Each published difference as a mark on the band that it has to pass."""
    figure, axis = blank("Published differences", origin="", size=(COLUMN, 0.9 + 0.17 * len(shown)))
    for row, difference in enumerate(shown):
        low, high = bands[difference.kind]
        axis.barh(row, high - low, 0.8, left=low, color=BAND, lw=0)
        marker, fill = MARKS[answer(difference.size, bands[difference.kind])]
        axis.plot(difference.size, row, marker, ms=4.5, color=PAPER, mfc=fill, mew=0.6)
    axis.barh([0], [0], color=BAND, label="must be exceeded")
    for name, (marker, fill) in MARKS.items():
        label = {"no": "cannot be shown", "yes": "can be shown"}.get(name, "depends")
        axis.plot([], [], marker, ms=4.5, color=PAPER, mfc=fill, mew=0.6, label=label)
    axis.set_yticks(range(len(shown)), [difference.name for difference in shown])
    axis.locator_params(axis="x", nbins=5)
    axis.set(xlabel="difference of macro-F1", xlim=(0, None), ylim=(len(shown) - 0.4, -0.6))
    axis.grid(axis="y", visible=False)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@mpl.rc_context(STYLE)
def planning(
    by_videos: Mapping[int, tuple[float, float]],
    by_seeds: Mapping[int, tuple[float, float]],
    lines: Mapping[str, float],
    marks: Mapping[str, int],
    *,
    band: str,
) -> Figure:
    """The smallest true effect that is decided, by number of videos and by number of seeds.

    ``lines``: published differences; ``marks``: numbers of videos that exist.
    """
    figure, (left, right) = blank(
        "Smallest effect that is decided", origin="", columns=2, size=(COLUMN, 2.8), sharey=True
    )
    for axis, bands, name in ((left, by_videos, band), (right, by_seeds, None)):
        ticks = list(bands)
        axis.fill_between(ticks, *zip(*bands.values(), strict=True), color=BAND, lw=0, label=name)
        _log_axis(axis, ticks)
        axis.set_yscale("log")
        axis.set(xlim=(min(ticks), max(ticks)))
        for value in lines.values():
            axis.axhline(value, color=PAPER, lw=0.8, ls="--")
    for name, value in lines.items():
        right.text(max(by_seeds), value * 1.06, name, ha="right", fontsize=7)
    for name, count in marks.items():
        left.axvline(count, color=OTHER, lw=0.9)
        place = left.get_xaxis_transform()
        left.text(count * 1.06, 0.98, name, transform=place, rotation=90, va="top", fontsize=7)
    left.set_yticks(EFFECT_TICKS, [f"{tick:g}" for tick in EFFECT_TICKS])
    left.yaxis.set_minor_formatter(NullFormatter())
    left.set(xlabel="videos (1 seed)", ylabel="true difference, macro-F1 (log)")
    left.tick_params(axis="y", which="minor", length=0)
    right.tick_params(axis="y", which="both", length=0)
    right.set(xlabel="seeds (70 videos)")
    figure.legend(loc="outside lower center")
    return figure


def _log_axis(axis: Axes, ticks: Sequence[float]) -> None:
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.minorticks_off()


def _lines(axis: Axes, lines: Mapping[str, float]) -> None:
    """Horizontal lines at published values, each named on it at the left."""
    for name, value in lines.items():
        axis.axhline(value, color=PAPER, lw=0.8, ls="--")
        place = axis.get_yaxis_transform()
        axis.text(0.02, value, name, transform=place, va="bottom", fontsize=7)
