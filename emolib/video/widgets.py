"""Interactive views for notebook 08: a slider over a predicted video, and a button to upload one.

Both are ipywidgets of the ``notebooks`` extra;
headlessly they are inert, and the static figures say the same.
"""

import base64
import html
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from emolib.errors import EmolibError
from emolib.labels import EXPRESSIONS
from emolib.results.figures import CLASS_COLOURS
from emolib.system.files import atomic_path
from emolib.video import annotation, reading
from emolib.video.observation import Observation

MOMENTS = 60  # pictures behind the slider, evenly spaced, decoded once
HEIGHT = 240  # pixels of a picture


def upload() -> Any:
    """A button that takes one video file from the reader's own machine."""
    import ipywidgets

    return ipywidgets.FileUpload(accept="video/*", multiple=False, description="Upload a video")


def chosen(button: Any, video: str, folder: Path) -> Path | None:
    """The uploaded video, stored in ``folder``, else the path ``video``, else None.

    Raises EmolibError for an empty upload.
    """
    if not button.value:
        return Path(video) if video else None
    file = button.value[0]
    path = folder / Path(file["name"]).name
    if not len(file["content"]):
        raise EmolibError(
            f"{path.name}: the uploaded file is empty; upload it again or give its path"
        )
    with atomic_path(path) as temporary:
        temporary.write_bytes(file["content"])
    return path


def slider(rows: pd.DataFrame, observation: Observation) -> Any:
    """A slider over the video's time;
    below it the picture and the eight probabilities of each face at that moment.
    """
    import ipywidgets

    several = rows["track"].nunique() > 1
    wanted = np.unique(np.linspace(1, len(observation.times), MOMENTS).astype(int))
    pages = [
        page(image, rows[rows["frame"] == number], time, several=several)
        for number, time, image in reading.read_frames(observation.video, rotate=observation.rotate)
        if number in wanted
    ]
    times = [f"{observation.times[number - 1]:.2f} s" for number in wanted]
    control = ipywidgets.SelectionSlider(
        options=[(time, i) for i, time in enumerate(times)],
        value=0,
        description="Time",
        layout={"width": "95%"},
    )
    view = ipywidgets.HTML(value=pages[0])
    control.observe(lambda change: setattr(view, "value", pages[change["new"]]), names="value")
    return ipywidgets.VBox([control, view])


def page(image: np.ndarray, rows: pd.DataFrame, time: float, *, several: bool) -> str:
    """HTML of one moment: the picture (RGB) with its boxes, and a bar for each class of each face.

    ``several``: the video has more than one track,
    so each box and its bars carry the track's number.
    """
    image = image.copy()
    for row in rows.dropna(subset=["x"]).itertuples():
        corner = (round(row.x), round(row.y))
        cv2.rectangle(
            image,
            corner,
            (corner[0] + round(row.w), corner[1] + round(row.h)),
            (255, 255, 255),
            max(1, image.shape[0] // 200),
        )
        if several:
            size = image.shape[0] / 300  # 17 pixels of HEIGHT
            annotation.write_on(
                image,
                str(row.track),
                (corner[0], max(corner[1], round(24 * size))),
                size,
                "#FFFFFF",
            )
    small = cv2.resize(
        image,
        (max(1, round(image.shape[1] * HEIGHT / image.shape[0])), HEIGHT),
        interpolation=cv2.INTER_AREA,
    )
    data = base64.b64encode(
        cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()
    ).decode()
    names = [
        (f"track {row['track']}: " if several and pd.notna(row["track"]) else "", row)
        for _, row in rows.iterrows()
    ]
    classes = (
        ", ".join(f"{name}{row['class']}" for name, row in names if pd.notna(row["class"]))
        or "nothing predicted"
    )
    text = html.escape(f"The video at {time:.2f} s: {classes}", quote=True)
    picture = f'<img src="data:image/jpeg;base64,{data}" alt="{text}" title="{text}">'
    bars = "".join(_bars(row, name.rstrip(": ")) for name, row in names)
    return (
        f'<div style="display: flex; gap: 1em; flex-wrap: wrap">{picture}{bars}</div><p>{text}</p>'
    )


def _bars(row: pd.Series, caption: str) -> str:
    """A bar for each class of one face, under ``caption``; nothing where there is no prediction."""
    if pd.isna(row["class"]):
        return ""
    lines = []
    for name, colour in zip(EXPRESSIONS, CLASS_COLOURS, strict=True):
        share = float(row[f"p_{name}"])
        bar = (
            f'<span style="display: inline-block; width: {8 * share:.2f}em; height: 0.8em; '
            f'background: {colour}"></span>'
        )
        lines.append(f"<tr><td>{name}</td><td>{bar} {share:.2f}</td></tr>")
    return f"<table>{caption and f'<caption>{caption}</caption>'}{''.join(lines)}</table>"
