"""The table of a video, one row a frame, and its summary."""

from typing import Any

import numpy as np
import pandas as pd

from emolib import __version__
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.system.files import hash_file, printable
from emolib.video.observation import Observation
from emolib.video.options import COLUMNS
from emolib.video.predictor import Predicted, Predictor
from emolib.video.timeline import PROBABILITIES
from emolib.video.zero_shot import ZeroShot

FACE_COLUMNS = ("x", "y", "w", "h")
CHANCE = 1 / NUM_CLASSES  # 0.125
NEAR_CHANCE = 1.5  # times chance: a mean probability below that is told to be near it

MEANINGLESS = "weights are {}: the emotions are meaningless on real people, only the path is real"


def table(
    predictor: Predictor | ZeroShot, observation: Observation, predicted: Predicted
) -> pd.DataFrame:
    """One row a frame (one a face where several are analysed), in order of frames.

    The columns are those of ``options.COLUMNS``. What is missing is null.
    """
    frames = np.arange(1, len(observation.times) + 1, dtype=np.int32)
    searched = predictor.sees or predictor.finder is not None
    faces = pd.DataFrame(observation.box.round(1), columns=list(FACE_COLUMNS)).assign(
        picture=observation.frame,
        track=observation.track,
        score=observation.score.round(4),
        number=np.arange(len(observation.frame)),
    )
    times = observation.times.round(6)
    rows = pd.DataFrame({"frame": frames, "time": times, "picture": observation.picture}).merge(
        faces, on="picture", how="left"
    )
    found = observation.found[np.searchsorted(observation.looked_at, rows["picture"])] > 0
    rows["face"] = pd.array(found if searched else [None] * len(rows), dtype="boolean")
    rows["track"] = rows["track"].astype("Int32")
    place = rows["track"].notna().to_numpy() if predictor.sees else np.ones(len(rows), bool)
    source = (
        rows.loc[place, "number"].to_numpy(int) if predictor.sees else rows["frame"].to_numpy() - 1
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
        np.where(voice, "face+voice", "face") if predictor.sees else np.full(len(rows), "voice")
    )
    rows["modality"] = pd.array(pd.Series(modality).where(known, None), dtype="string")
    for name, behind, kind in (
        ("window_first", predicted.first, "Int32"),
        ("window_last", predicted.last, "Int32"),
        ("copied", predicted.copied, "boolean"),
    ):
        column = np.zeros(len(rows), behind.dtype)
        column[place] = behind[source]
        rows[name] = pd.array(pd.Series(column, dtype=kind).where(known, pd.NA), dtype=kind)
    rows["weights"] = pd.array([weights_kind(predictor)] * len(rows), dtype="string")
    return rows[list(COLUMNS)]


def weights_kind(predictor: Predictor | ZeroShot) -> str:
    """What the run learned from: ``synthetic``, ``random weights``, both, or ``pre-trained``."""
    return predictor.origin or "pre-trained"


def summarise(
    predictor: Predictor | ZeroShot, observation: Observation, rows: pd.DataFrame
) -> dict[str, Any]:
    """What summary.json holds; equal inputs give equal bytes.

    frames_with_face: frames in which any face was found; frames_followed: those with a face that
    was analysed (they have a track); rows_predicted: the rows with a class, of which ``share`` is,
    one a face, so more than frames_predicted where several are analysed; start_offset: seconds on
    the file's own clock at which the table's time is 0.
    """
    return {
        "video": printable(observation.video.name),
        "frames": len(observation.times),
        "seconds": round(observation.end, 3),
        "start_offset": round(observation.pictures_report.start, 3),
        "frames_per_second": round(observation.fps, 3),
        "constant_rate": observation.constant_rate,
        "gaps": int(observation.scene[-1]),
        "frames_looked_at": len(observation.looked_at),
        "size": list(observation.size),
        "rotated": observation.rotate,
        "damage": damage_of(observation),
        "faces": predictor.faces,
        "frames_with_face": int(rows.loc[rows["face"].fillna(False), "frame"].nunique()),
        "frames_followed": len(np.unique(observation.frame)),
        "tracks": len(np.unique(observation.track)),
        "hint": hint(observation),
        "sound": sound_kind(predictor, observation),
        "sound_seconds": round(observation.sound_seconds, 3),
        "frames_predicted": int(rows.loc[rows["class"].notna(), "frame"].nunique()),
        **shares(rows),
        **predictor.settings,
        "detector": hash_file(predictor.finder.model) if predictor.finder else None,
        "weights": weights_kind(predictor),
        "warning": warning_of(predictor),
        "emolib": __version__,
    }


def shares(rows: pd.DataFrame) -> dict[str, Any]:
    """How many rows have a class, which share of them each class has, and its mean probability
    over all of them; neither where there are none.
    """
    counts = rows["class"].value_counts()
    total = int(counts.sum())
    share = {name: round(float(counts.get(name, 0)) / max(total, 1), 4) for name in EXPRESSIONS}
    probabilities = rows.loc[rows["class"].notna(), PROBABILITIES].mean().round(4)
    mean = dict(zip(EXPRESSIONS, probabilities.tolist(), strict=True))
    return {
        "rows_predicted": total,
        "share": share if total else None,
        "mean_probability": mean if total else None,
    }


def damage_of(observation: Observation) -> dict[str, Any]:
    """What could not be decoded: packets of each stream, why reading stopped,
    and whether the file is cut.
    """
    pictures, sound = observation.pictures_report, observation.sound_report
    return {
        "pictures_packets_lost": pictures.packets_lost,
        "pictures_stopped": pictures.stopped or None,
        "sound_packets_lost": sound.packets_lost,
        "sound_stopped": sound.stopped or None,
        "cut": pictures.cut,
        "missing_seconds": round(pictures.missing_seconds, 1) if pictures.cut else 0.0,
    }


def hint(observation: Observation) -> str | None:
    """What to do where no face was found but the turned pictures have some."""
    if observation.upright_at is None:
        return None
    degrees = (observation.rotate + observation.upright_at) % 360
    return f"the pictures lie sideways or upside down: faces appear with --rotate {degrees}"


def warning_of(predictor: Predictor | ZeroShot) -> str | None:
    """What every reader of the result must know; None for a run on real data with real weights."""
    return MEANINGLESS.format(predictor.origin) if predictor.origin else None


def sound_kind(predictor: Predictor | ZeroShot, observation: Observation) -> str:
    """``not used`` by this run, ``absent`` (no audio track),
    ``silent`` (digital silence) or ``present``.
    """
    if predictor.audio is None:
        return "not used"
    if observation.sound is None:
        return "absent"
    return "present" if observation.heard else "silent"


def describe(summary: dict[str, Any]) -> str:
    """One line for the console."""
    line = (
        f"{summary['video']}: {summary['frames']} frames, {summary['seconds']:.2f} s, "
        f"a face in {summary['frames_with_face']}"
    )
    if summary["frames_looked_at"] < summary["frames"]:
        line += f" ({summary['frames_looked_at']} pictures looked at)"
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
    line += damage_text(summary["damage"])
    if not summary["share"]:
        why = "no face found" if summary["modalities"] != "audio" else "no sound"
        line += f"; {why}: all probabilities are empty"
        return line + (f"; {summary['hint']}" if summary["hint"] else "")
    return line + f"; {answer(summary)}"


def answer(summary: dict[str, Any]) -> str:
    """The commonest class, in how many rows it is, and how far its probability is from chance."""
    name, share = max(summary["share"].items(), key=lambda item: item[1])
    rows, mean = summary["rows_predicted"], summary["mean_probability"][name]
    kind = "frames" if rows == summary["frames_predicted"] else "faces"
    text = (
        f"mostly {name} ({share:.0%} of {rows} {kind}, "
        f"mean probability {mean:.2f}; chance {CHANCE})"
    )
    return text + (", so near chance that it says little" if mean < NEAR_CHANCE * CHANCE else "")


def damage_text(damage: dict[str, Any]) -> str:
    """The part of the line that tells what could not be decoded; empty where nothing is damaged."""
    text = ""
    if damage["cut"]:
        text += f"; the file is cut: {damage['missing_seconds']} s are missing at its end"
    for stream in ("pictures", "sound"):
        lost, stopped = damage[f"{stream}_packets_lost"], damage[f"{stream}_stopped"]
        if lost:
            text += f"; {lost} damaged packets of the {stream} were left out"
        if stopped:
            text += f"; the {stream} could not be read to the end ({stopped})"
    return printable(text)
