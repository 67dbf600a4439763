"""The table of a video, one row a frame, and its summary."""

from typing import Any

import numpy as np
import pandas as pd

from emolib import __version__
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.system.files import hash_file, printable
from emolib.video.observation import Observation
from emolib.video.predictor import Predicted, Predictor
from emolib.video.timeline import PROBABILITIES

FACE_COLUMNS = ("x", "y", "w", "h")


MEANINGLESS = "weights are {}: the emotions are meaningless on real people, only the path is real"


def table(predictor: Predictor, observation: Observation, predicted: Predicted) -> pd.DataFrame:
    """One row a frame (one a face where several are analysed), in order of frames.

    frame (from 1), time (seconds), face (whether any was found in the frame, be it the followed one or not), track and x, y,
    w, h (pixels) of the followed one, p_<Class> x 8, class, modality (what the probabilities rest on: ``face+voice`` where a
    window behind them holds more than digital silence), weights. What is missing is null.
    """
    frames = np.arange(1, len(observation.times) + 1, dtype=np.int32)
    searched = predictor.model.sees or predictor.finder is not None
    faces = pd.DataFrame(observation.box.round(1), columns=list(FACE_COLUMNS)).assign(
        frame=observation.frame, track=observation.track
    )
    rows = pd.DataFrame({"frame": frames, "time": observation.times.round(6)}).merge(
        faces, on="frame", how="left"
    )
    found = observation.found[rows["frame"] - 1] > 0
    rows["face"] = pd.array(found if searched else [None] * len(rows), dtype="boolean")
    rows["track"] = rows["track"].astype("Int32")
    place = rows["track"].notna().to_numpy() if predictor.model.sees else np.ones(len(rows), bool)
    source = (
        np.arange(len(predicted.heard)) if predictor.model.sees else rows["frame"].to_numpy() - 1
    )
    values, voice = np.full((len(rows), NUM_CLASSES), np.nan), np.zeros(len(rows), bool)
    values[place], voice[place] = predicted.probabilities[source], predicted.heard[source]
    rows[PROBABILITIES] = values.round(6)
    known = ~np.isnan(values).any(axis=1)
    best = np.array([*EXPRESSIONS, None], dtype=object)[
        np.where(known, np.nan_to_num(values).argmax(axis=1), NUM_CLASSES)
    ]
    rows["class"] = pd.array(best, dtype="string")
    modality = (
        np.where(voice, "face+voice", "face")
        if predictor.model.sees
        else np.full(len(rows), "voice")
    )
    rows["modality"] = pd.array(pd.Series(modality).where(known, None), dtype="string")
    rows["weights"] = pd.array([weights_kind(predictor)] * len(rows), dtype="string")
    return rows[
        [
            "frame",
            "time",
            "face",
            "track",
            *FACE_COLUMNS,
            *PROBABILITIES,
            "class",
            "modality",
            "weights",
        ]
    ]


def weights_kind(predictor: Predictor) -> str:
    """What the run learned from: ``synthetic``, ``random weights``, both, or ``pre-trained``."""
    return predictor.origin or "pre-trained"


def summarise(predictor: Predictor, observation: Observation, rows: pd.DataFrame) -> dict[str, Any]:
    """What summary.json holds: counts, sound, the run and its rules, share of each class; equal inputs give equal bytes.

    frames_with_face: any face was found in them; frames_followed: a face that was analysed (they have a track); rows_predicted:
    the rows with a class, of which ``share`` is, one a face, so more than frames_predicted where several are analysed.
    """
    e = predictor.model.experiment
    counts = rows["class"].value_counts()
    return {
        "video": printable(observation.video.name),
        "frames": len(observation.times),
        "seconds": round(observation.end, 3),
        "frames_per_second": round(observation.fps, 3),
        "constant_rate": observation.constant_rate,
        "size": list(observation.size),
        "faces": predictor.faces,
        "frames_with_face": int(rows.loc[rows["face"].fillna(False), "frame"].nunique()),
        "frames_followed": len(np.unique(observation.frame)),
        "tracks": len(np.unique(observation.track)),
        "sound": sound_kind(predictor, observation),
        "sound_seconds": round(observation.sound_seconds, 3),
        "frames_predicted": int(rows.loc[rows["class"].notna(), "frame"].nunique()),
        "rows_predicted": int(counts.sum()),
        "share": {name: round(float(counts.get(name, 0) / counts.sum()), 4) for name in EXPRESSIONS}
        if len(counts)
        else None,
        "run": predictor.name,
        "experiment": e.fingerprint("train"),
        "modalities": e.modalities,
        "window": e.window,
        "frame_rule": e.frame_rule,
        "frame_stride": e.frame_stride,
        "smoothing": e.smoothing,
        "smoothing_half_width": e.smoothing_half_width,
        "detector": hash_file(predictor.finder.model) if predictor.finder else None,
        "weights": weights_kind(predictor),
        "warning": MEANINGLESS.format(predictor.origin) if predictor.origin else None,
        "emolib": __version__,
    }


def sound_kind(predictor: Predictor, observation: Observation) -> str:
    """``not used`` by this run, ``absent`` (no audio track), ``silent`` (digital silence) or ``present``."""
    if predictor.audio is None:
        return "not used"
    if observation.sound is None:
        return "absent"
    return "present" if observation.heard else "silent"


def describe(summary: dict[str, Any]) -> str:
    """One line for the console."""
    line = f"{summary['video']}: {summary['frames']} frames, {summary['seconds']:.2f} s, a face in {summary['frames_with_face']}"
    if summary["frames_followed"] < summary["frames_with_face"]:
        line += f", the followed one in {summary['frames_followed']}"
    if summary["tracks"] > 1:
        line += f" ({summary['tracks']} tracks)"
    line += {
        "absent": ", no sound",
        "silent": ", silent sound",
        "present": ", sound",
        "not used": "",
    }[summary["sound"]]
    if not summary["share"]:
        why = "no face found" if summary["modalities"] != "audio" else "no sound"
        return line + f"; {why}: all probabilities are empty"
    name, share = max(summary["share"].items(), key=lambda item: item[1])
    kind = "frames" if summary["rows_predicted"] == summary["frames_predicted"] else "faces"
    return line + f"; mostly {name} ({share:.0%} of {summary['rows_predicted']} {kind})"
