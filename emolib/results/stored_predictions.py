"""A run's stored predictions, clip by clip.

Which clip shows most, how late predictions follow, and what was surely wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib.errors import EmolibError
from emolib.evaluation.metrics import confusion
from emolib.evaluation.predictions import read_clip
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.system.files import form_checked, read_record

COLUMNS = [f"p_{name}" for name in EXPRESSIONS]


def by_clip(folder: Path, columns: list[str] | None = None) -> dict[str, pd.DataFrame]:
    """Clip -> its rows: ``frame``, ``time``, ``label``, ``prediction`` and eight probabilities.

    Clips in order; ``columns``: these alone. Raises EmolibError when the run has none or
    a damaged one, or lacks frames that it has scored.
    """
    files = sorted((folder / "predictions").glob("*.parquet"))
    if not files:
        raise EmolibError(f"{folder}/predictions: empty; finish this run first")
    clips = {path.stem: read_clip(path) for path in files}
    _check_all_there(folder, clips)
    return {clip: rows[columns] if columns else rows for clip, rows in clips.items()}


def _check_all_there(folder: Path, clips: Mapping[str, pd.DataFrame]) -> None:
    """Raise EmolibError where a finished run has scored other frames than ``clips`` hold, or other
    predictions.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        return
    remedy = f"delete {path} and run again, which predicts anew without training"
    with form_checked(path):
        score = read_record(path, "frame")["frame"]
        scored, counts = score["n"], score.get("confusion")
    rows = pd.concat([rows[["label", "prediction"]] for rows in clips.values()])
    annotated = rows[rows["label"] >= 0]
    if len(annotated) != scored:
        raise EmolibError(
            f"{folder}/predictions: {len(annotated)} annotated frames, and {scored} were scored; "
            f"{remedy}"
        )
    there = confusion(annotated["label"].to_numpy(), annotated["prediction"].to_numpy()).tolist()
    if counts not in (None, there):
        raise EmolibError(f"{folder}/predictions: other predictions than were scored; {remedy}")


def change_delays(rows: pd.DataFrame) -> tuple[list[float], int]:
    """Seconds from each change of the annotated class to the first right prediction after it.

    Only until the next change. Also the number of changes. A change that was predicted already when
    it came counts with 0 seconds.
    """
    known = rows[rows["label"] >= 0]
    label, prediction = known["label"].to_numpy(), known["prediction"].to_numpy()
    times = known["time"].to_numpy()
    starts = np.flatnonzero(np.diff(label)) + 1
    seconds = []
    ends = [*starts[1:], len(label)]
    for start, end in zip(starts, ends, strict=False):
        right = np.flatnonzero(prediction[start:end] == label[start])
        if len(right):
            seconds.append(float(times[start + right[0]] - times[start]))
    return seconds, len(starts)


def most_eventful(predictions: Mapping[str, pd.DataFrame]) -> str:
    """The clip in which predictions follow most changes of label; of those the one in which they
    follow latest, so that there is a delay to see.
    """

    def events(clip: str) -> tuple[int, int, float]:
        seconds, changes = change_delays(predictions[clip])
        return len(seconds), changes, sum(seconds)

    return max(predictions, key=events)


def surest_mistakes(
    predictions: Mapping[str, pd.DataFrame], face_present: Mapping[str, np.ndarray]
) -> list[dict[str, Any]]:
    """For each annotated class the wrong prediction with the largest probability.

    Only frames with a face count; ``face_present``: clip -> bool [n], by frame number. Each:
    ``clip``, ``frame`` (from 1), ``time``, ``label``, ``prediction`` and ``probabilities`` [8]. A
    class without a mistake is left out.
    """
    parts = []
    for clip, rows in predictions.items():
        seen = face_present[clip][rows["frame"].to_numpy() - 1]
        wrong = (
            (rows["label"] >= 0) & (rows["prediction"] >= 0) & (rows["label"] != rows["prediction"])
        )
        parts.append(rows[wrong & seen].assign(clip=clip))
    mistakes = pd.concat(parts, ignore_index=True)
    mistakes["sure"] = mistakes[COLUMNS].max(axis=1)
    result = []
    for label in range(NUM_CLASSES):
        of_class = mistakes[mistakes["label"] == label]
        if len(of_class):
            worst = of_class.loc[of_class["sure"].idxmax()]
            result.append(
                {
                    "clip": str(worst["clip"]),
                    "frame": int(worst["frame"]),
                    "time": float(worst["time"]),
                    "label": label,
                    "prediction": int(worst["prediction"]),
                    "probabilities": worst[COLUMNS].to_numpy(float),
                }
            )
    return result
