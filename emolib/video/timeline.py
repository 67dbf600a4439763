"""A predicted video at a glance: a timeline of faces, probabilities and sound."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emolib.labels import EXPRESSIONS
from emolib.results.figures import CLASS_COLOURS, COLUMN, STYLE, blank
from emolib.video.observation import Observation, envelope

POINTS = 1500  # along the time axis; more than the figure's pixels would only cost time
PROBABILITIES = [f"p_{name}" for name in EXPRESSIONS]


@mpl.rc_context(STYLE)
def timeline(rows: pd.DataFrame, observation: Observation, *, origin: str) -> Figure:
    """Faces, probabilities and loudness over time, of the track ``observation.shown``;
    gaps where nothing was predicted.

    ``rows``: a table of ``predict.table``.
    """
    rows = _shown(rows, observation.shown)
    title = observation.title + (f": {warning(origin)}" if origin else "")
    figure, (pictures, shares, sound) = blank(
        title,
        origin="",
        rows=3,
        size=(2 * COLUMN, 3.2),
        sharex=True,
        gridspec_kw={"height_ratios": [1.1, 3, 0.8]},
    )
    last = observation.end
    _strip(pictures, observation.thumbnails, last)
    shown = rows.iloc[:: max(1, len(rows) // POINTS)]
    # An empty row has no height: a gap.
    values = np.nan_to_num(shown[PROBABILITIES].to_numpy(float))
    times, values = np.append(shown["time"], last), np.vstack([values, values[-1:]])
    shares.stackplot(times, values.T, colors=CLASS_COLOURS, labels=EXPRESSIONS, lw=0, step="post")
    shares.set(ylabel="probability", ylim=(0, 1), xlim=(0, last))
    shares.legend(ncols=1, loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    loud = envelope(observation, POINTS // 2)
    if observation.heard:
        middle = (np.arange(len(loud)) + 0.5) / len(loud) * last
        sound.fill_between(middle, -loud, loud, color="black", lw=0)
    else:
        sound.text(
            0.5,
            0.5,
            "silent" if observation.sound else "no sound used",
            transform=sound.transAxes,
            ha="center",
            va="center",
        )
    sound.set(ylabel="sound", xlabel="time, s", ylim=(-1, 1), yticks=[])
    return figure


def warning(origin: str) -> str:
    """What a picture must say whose encoders are not the trained ones; nothing for those."""
    whose = origin if origin.endswith("weights") else f"{origin} weights"
    return f"{whose}, no meaning on real people" if origin else ""


def _shown(rows: pd.DataFrame, track: int | None) -> pd.DataFrame:
    """One row a frame, of ``track`` where there are several."""
    if track is None:
        return rows
    shown = rows[(rows["track"] == track) | rows["track"].isna()]
    return rows.drop_duplicates("frame")[["frame", "time"]].merge(
        shown.drop(columns="time"), on="frame", how="left"
    )


def _strip(axis: mpl.axes.Axes, thumbnails: list[tuple[float, np.ndarray]], last: float) -> None:
    """The crops, each beginning at its time, as many as stand side by side without overlap."""
    axis.set(ylim=(0, 1), yticks=[])
    axis.grid(visible=False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    side = 0.105  # of the axis' width: a crop is about square there
    free = 0.0
    for time, picture in thumbnails:
        left = min(time / last, 1 - side)
        if left >= free:
            inset = axis.inset_axes((left, 0, side, 1))
            inset.imshow(picture)
            inset.set_axis_off()
            free = left + side
