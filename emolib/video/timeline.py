"""A predicted video to look at: a timeline of probabilities, faces and sound, and the video itself with what was found."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emolib.data import media
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.results.figures import CLASS_COLOURS, COLUMN, STYLE, blank, ink_on
from emolib.video.observation import Observation, envelope
from emolib.video.watching import sound_of

POINTS = 1500  # along the time axis; more than the figure's pixels would only cost time
PROBABILITIES = [f"p_{name}" for name in EXPRESSIONS]


@mpl.rc_context(STYLE)
def timeline(rows: pd.DataFrame, observation: Observation, *, origin: str) -> Figure:
    """Faces, probabilities and loudness over time, of the track ``observation.shown``; gaps where nothing was predicted.

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
    values = np.nan_to_num(
        shown[PROBABILITIES].to_numpy(float)
    )  # an empty row has no height: a gap
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
            "silent" if observation.sound else "no sound",
            transform=sound.transAxes,
            ha="center",
            va="center",
        )
    sound.set(ylabel="sound", xlabel="time, s", ylim=(-1, 1), yticks=[])
    return figure


def warning(origin: str) -> str:
    """What a picture must say whose encoders are not the trained ones; nothing for those."""
    return f"{origin} weights, no meaning on real people" if origin else ""


def _shown(rows: pd.DataFrame, track: int | None) -> pd.DataFrame:
    """One row a frame, of ``track`` where there are several."""
    if track is None:
        return rows
    mine = rows[(rows["track"] == track) | rows["track"].isna()]
    return rows.drop_duplicates("frame")[["frame", "time"]].merge(
        mine.drop(columns="time"), on="frame", how="left"
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


def annotated(rows: pd.DataFrame, observation: Observation, *, origin: str) -> Iterator[np.ndarray]:
    """Each frame of the video, RGB, with the boxes and probabilities that ``rows`` have for it, and the warning."""
    several = rows["track"].nunique() > 1
    first, last = (
        np.searchsorted(rows["frame"], np.arange(1, len(observation.times) + 1), side)
        for side in ("left", "right")
    )
    for number, _, image in media.read_frames(observation.video):
        if image.shape[1::-1] != observation.size:
            image = cv2.resize(image, observation.size, interpolation=cv2.INTER_AREA)
        image = np.ascontiguousarray(image)
        for _, row in rows[
            first[number - 1] : last[number - 1]
        ].iterrows():  # a table a frame would not fit for long videos
            _draw(image, row, str(row["track"]) if several and pd.notna(row["track"]) else "")
        if origin:
            write_on(image, warning(origin), (4, len(image) - 8), max(0.35, len(image) / 1200))
        yield image


def _draw(image: np.ndarray, row: pd.Series, track: str) -> None:
    """A box in the colour of the class, the ``track`` and the class's name; beside it a bar for each class with its first letters."""
    if pd.isna(row["class"]) and pd.isna(row["x"]):
        return
    height, width = image.shape[:2]
    scale = max(0.4, height / 900)
    x, y, w, h = (
        (0, 0, 0, 0) if pd.isna(row["x"]) else (round(row[name]) for name in ("x", "y", "w", "h"))
    )
    best = None if pd.isna(row["class"]) else EXPRESSIONS.index(row["class"])
    colour = CLASS_COLOURS[best] if best is not None else "#FFFFFF"
    place = (x, max(y - round(6 * scale), round(24 * scale)))
    if w:
        cv2.rectangle(image, (x, y), (x + w, y + h), _rgb(colour), max(1, round(2 * scale)))
    named = f"{row['class']} {row[PROBABILITIES[best]]:.0%}" if best is not None else ""
    if track or named:
        write_on(image, ": ".join(filter(None, (track, named))), place, scale, colour)
    if best is None:
        return
    step = max(10, round(16 * scale))  # pixels; letters in less could not be read
    letters = round(1.3 * step)
    whole = letters + 6 * step
    left = x + w + 4 if x + w + 4 + whole < width else max(0, x - whole - 4)
    above = max(0, min(y, height - NUM_CLASSES * step))
    for i, name in enumerate(EXPRESSIONS):
        top = above + i * step
        write_on(image, name[:2], (left, top + round(0.75 * step)), step / 30)
        length = round(6 * step * float(row[PROBABILITIES[i]]))
        cv2.rectangle(
            image,
            (left + letters, top + 1),
            (left + letters + length, top + step - 2),
            _rgb(CLASS_COLOURS[i]),
            -1,
        )


def write_on(
    image: np.ndarray, text: str, place: tuple[int, int], scale: float, fill: str = "#000000"
) -> None:
    """``text`` into an RGB uint8 image, black or white on the colour ``fill``; ``place``: left end of its base line, pixels.

    A capital letter is 21 * ``scale`` pixels high.
    """
    thickness = max(1, round(2 * scale))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    cv2.rectangle(
        image,
        (place[0], place[1] - height - below),
        (place[0] + width, place[1] + below),
        _rgb(fill),
        -1,
    )
    cv2.putText(
        image,
        text,
        place,
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        _rgb(ink_on(fill)),
        thickness,
        cv2.LINE_AA,
    )


def _rgb(code: str) -> tuple[int, int, int]:
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def write_annotated(
    path: Path, rows: pd.DataFrame, observation: Observation, *, origin: str
) -> None:
    """The video with boxes and bars as MP4, on its own times, with its sound as far as its pictures go; streamed, whatever its length."""
    media.write_video(
        path,
        annotated(rows, observation, origin=origin),
        observation.times,
        sound_of(observation),
        size=observation.size,
    )
