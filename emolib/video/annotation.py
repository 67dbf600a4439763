"""The video itself with boxes, classes and probabilities drawn in."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from emolib.data import media
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.results.figures import CLASS_COLOURS, ink_on
from emolib.video import reading
from emolib.video.observation import LONGEST_FRAME, Observation
from emolib.video.timeline import PROBABILITIES, warning
from emolib.video.watching import listen


def annotated(rows: pd.DataFrame, observation: Observation, *, origin: str) -> Iterator[np.ndarray]:
    """Each frame of the video, RGB, with the boxes and probabilities that ``rows`` have for it,
    and the warning.
    """
    several = rows["track"].nunique() > 1
    first, last = (
        np.searchsorted(rows["frame"], np.arange(1, len(observation.times) + 1), side)
        for side in ("left", "right")
    )
    for number, _, image in reading.read_frames(observation.video, rotate=observation.rotate):
        image = image.copy()
        # The rows of one frame at a time: a table for each would not fit for long videos.
        for _, row in rows[first[number - 1] : last[number - 1]].iterrows():
            _draw(image, row, str(row["track"]) if several and pd.notna(row["track"]) else "")
        if origin:
            write_on(image, warning(origin), (4, len(image) - 8), max(0.35, len(image) / 1200))
        yield image


def _draw(image: np.ndarray, row: pd.Series, track: str) -> None:
    """A box in the colour of the class, the ``track`` and the class's name;
    beside it a bar for each class with its first letters.
    """
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
    """``text`` into an RGB uint8 image, black or white on the colour ``fill``;
    ``place``: left end of its base line, pixels.

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


def shown_times(observation: Observation) -> np.ndarray:
    """When each frame begins to show in the annotated video:
    no frame shows longer than LONGEST_FRAME.
    """
    steps = np.minimum(np.diff(observation.times), LONGEST_FRAME)
    return np.concatenate([[0.0], steps.cumsum()])


def shown_sound(observation: Observation) -> Iterator[np.ndarray]:
    """The sound to :func:`shown_times`, float32 blocks:
    of a gap in time, as much as its frame shows.
    """
    sound = observation.sound
    if sound is None:
        return
    times = np.append(observation.times, observation.end)
    shown = np.append(shown_times(observation), 0.0)
    shown[-1] = shown[-2] + observation.frame_seconds
    edges = np.rint(shown * media.SAMPLE_RATE).astype(int)
    for begin, first, last in zip(times[:-1], edges[:-1], edges[1:], strict=True):
        start = round(begin * media.SAMPLE_RATE)
        block = np.zeros(last - first, np.float32)
        heard = sound.read(start, start + last - first)[:, 0]
        block[: len(heard)] = heard / np.float32(32767)
        yield block


def write_annotated(
    path: Path, rows: pd.DataFrame, observation: Observation, *, origin: str
) -> None:
    """The video with boxes and bars as MP4, on its own times,
    with its sound as far as its pictures go; streamed.
    """
    if observation.sound is None:
        listen(observation)
    media.write_video(
        path,
        annotated(rows, observation, origin=origin),
        shown_times(observation),
        shown_sound(observation) if observation.sound else None,
        size=observation.size,
    )
