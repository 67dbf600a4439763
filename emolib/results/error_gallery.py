"""The frames on which a model was surest and wrong: faces, probabilities, and sound to play."""

import base64
import html
import io
import wave
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.results.figures import CLASS_COLOURS, COLUMN, STYLE, blank

RATE = 8000  # samples a second in the page: every other one of 16 kHz


@mpl.rc_context(STYLE)
def gallery(
    mistakes: Sequence[Mapping[str, Any]], faces: Sequence[np.ndarray], *, origin: str
) -> Figure:
    """One row a mistake: the face, and the eight probabilities.

    ``mistakes``: of ``stored_predictions.surest_mistakes``.
    """
    figure, axes = blank(
        "Surest and wrong, by annotated class",
        origin=origin,
        rows=len(mistakes),
        columns=2,
        size=(2 * COLUMN, 0.4 + 0.75 * len(mistakes)),
        squeeze=False,
        gridspec_kw={"width_ratios": [1, 5]},
    )
    for (left, right), mistake, face in zip(axes, mistakes, faces, strict=True):
        left.imshow(face)
        left.set(xticks=[], yticks=[])
        left.grid(visible=False)
        right.bar(
            range(NUM_CLASSES),
            mistake["probabilities"],
            color=CLASS_COLOURS,
            edgecolor="black",
            lw=0.4,
        )
        annotated, predicted = EXPRESSIONS[mistake["label"]], EXPRESSIONS[mistake["prediction"]]
        right.set_title(
            f"annotated {annotated}, predicted {predicted} "
            f"(clip {mistake['clip']}, {mistake['time']:.1f} s)",
            fontweight="normal",
            fontsize=7,
        )
        right.set(ylim=(0, 1), yticks=[0, 1])
        right.set_xticks([])
    axes[-1][1].set_xticks(range(NUM_CLASSES), EXPRESSIONS)
    return figure


def players(mistakes: Sequence[Mapping[str, Any]], sounds: Sequence[np.ndarray]) -> str:
    """HTML with a player for the sound of each mistake's window: float [n] at 16 kHz."""
    rows = [
        f"<tr><td>{EXPRESSIONS[m['label']]}, taken for {EXPRESSIONS[m['prediction']]}</td>"
        f"<td>{_player(sound, m)}</td></tr>"
        for m, sound in zip(mistakes, sounds, strict=True)
    ]
    return (
        "<table><tr><th>annotated, predicted</th><th>sound of the window</th></tr>"
        f"{''.join(rows)}</table>"
    )


def _player(sound: np.ndarray, mistake: Mapping[str, Any]) -> str:
    if not len(sound):
        return "no sound"
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        pairs = sound[: len(sound) // 2 * 2].reshape(-1, 2).mean(axis=1)
        file.writeframes((pairs * 32767).astype("<i2").tobytes())
    data = base64.b64encode(buffer.getvalue()).decode()
    name = html.escape(f"sound of clip {mistake['clip']}", quote=True)
    return f'<audio controls aria-label="{name}" src="data:audio/wav;base64,{data}"></audio>'
