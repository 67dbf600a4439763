"""Emotions of a user's own videos: one row a frame with time, face, eight probabilities and what they rest on.

The way of the benchmark, from the film instead of the tree: faces found and cut out as the training crops are, the
run's frozen encoders, windows of ``Experiment.window`` frames over true times, and the run's frame rule. Nothing is
invented: a frame without a face has no probabilities (unless the run only hears), and empty is not zero.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from emolib import __version__, figures
from emolib import timeline as timelines
from emolib.data.affwild2 import Clip
from emolib.data.faces import FaceFinder, detector_file
from emolib.determinism import device
from emolib.encoders import HOP, AudioEncoder, VisualEncoder, load_audio, load_visual
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation import predict_windows
from emolib.extract_sound import SoundEncoder, samples_of
from emolib.features import WindowSet
from emolib.files import atomic_path, hash_file, printable, write_json, write_text
from emolib.footage import WHICH_FACES, FaceChoice, Footage, Spool, audible, listen, watch
from emolib.labels import EXPRESSIONS, NOT_ANNOTATED, NUM_CLASSES
from emolib.model import EmotionModel
from emolib.origin import origin
from emolib.timeline import PROBABILITIES
from emolib.training import load_model
from emolib.windows import frame_predictions, frame_windows, smooth

VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".m4v", ".wmv", ".flv", ".ts", ".3gp",
    ".mts", ".m2ts", ".vob", ".asf", ".3g2", ".mxf", ".ogv",
)  # fmt: skip
NAMED = 5  # files that a line names; it counts the others
RESULTS = ("predictions.csv", "predictions.parquet", "timeline.png", "timeline.svg", "annotated.mp4", "summary.json")
CHUNK = 128  # windows whose features are in memory at once
SOUNDS = 16  # waveforms encoded at once
FACE_COLUMNS = ("x", "y", "w", "h")
FAILURES = (  # of one video: foreseen, or of whatever decodes, computes, draws or writes it
    EmolibError, av.FFmpegError, cv2.error, OSError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RuntimeError,
)  # fmt: skip
MEANINGLESS = "weights are {}: the emotions are meaningless on real people, only the path is real"


class SomeFailed(EmolibError):
    """Some videos failed; ``summaries`` are those of the others."""

    def __init__(self, message: str, summaries: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.summaries = summaries


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained run with its encoders, ready for any number of videos."""

    model: EmotionModel
    visual: VisualEncoder | None  # None: the run does not see
    audio: AudioEncoder | None  # None: the run does not hear
    finder: FaceFinder | None  # None: nothing is detected
    faces: str  # one of footage.WHICH_FACES
    origin: str  # of the run's data and weights; empty: real
    name: str

    @classmethod
    def load(cls, run: Path, detector: Path | str | None = None, faces: str = "tracked") -> "Predictor":
        """The run in folder ``run``; ``faces``: one of ``footage.WHICH_FACES``.

        Raises EmolibError when it, its encoders' weights or the face detector are missing, WrongCall for unknown ``faces``.
        """
        if faces not in WHICH_FACES:
            raise WrongCall(f"faces={faces!r}: choose one of {', '.join(WHICH_FACES)}")
        where = device()
        model, experiment = load_model(Path(run), where)
        detects = faces != "whole" and bool(model.sees or detector)
        return cls(
            model=model,
            finder=FaceFinder(detector_file(detector)) if detects else None,  # the quickest to fail comes first
            visual=load_visual(experiment, where) if model.sees else None,
            audio=load_audio(experiment, where) if model.hears else None,
            faces=faces,
            origin=origin(experiment),
            name=Path(run).resolve().name,
        )

    def observe(self, video: Path, *, progress: bool = True) -> Footage:
        """Faces, their features and the sound of ``video``. Raises EmolibError when it cannot be decoded."""
        footage = watch(video, FaceChoice(self.faces, self.finder), self.visual, self.model.experiment.crops, progress=progress)
        if self.audio is not None:
            listen(footage)
            if self.model.experiment.audio_context == "track" and footage.sound:
                footage.steps = Spool(np.float16, AudioEncoder.width)
                footage.steps.append(SoundEncoder(self.audio).track(footage.sound.mapped()[:, 0]))
        return footage

    def probabilities(self, footage: Footage, *, progress: bool = True) -> "Predicted":
        """For the R faces of ``footage``; for each of its n frames when the run does not see."""
        if self.model.sees:
            result = np.full((len(footage.frame), NUM_CLASSES + 1), np.nan)
            for track in np.unique(footage.track):
                rows = np.flatnonzero(footage.track == track)
                result[rows] = self._track(footage, footage.frame[rows], rows, progress=progress)
        else:
            result = self._track(footage, np.arange(1, len(footage.times) + 1), None, progress=progress)
        values, heard = result[:, :NUM_CLASSES], result[:, NUM_CLASSES]
        if not self.model.sees:  # its windows without sound were given no weight; where there are no others, nothing is known
            values = np.divide(values, heard[:, None], out=np.full_like(values, np.nan), where=heard[:, None] > 0)
        return Predicted(values, heard > 0)

    def _track(self, footage: Footage, frames: np.ndarray, rows: np.ndarray | None, *, progress: bool) -> np.ndarray:
        """``[len(frames), 9]`` for one person, seen in ``frames`` (1-based, rising) with features in ``rows``: eight
        probabilities and the share of windows with sound in them, all by the frame rule."""
        e = self.model.experiment
        before = int(frames[0]) - 1
        present = np.zeros(int(frames[-1]) - before, bool)
        present[frames - 1 - before] = True
        index = frame_windows(present, length=e.window, stride=e.frame_stride)
        row_of = np.zeros(len(present) + 1, np.int64)
        row_of[frames - before] = 0 if rows is None else rows
        clip = _clip(footage)
        parts = []
        for first in tqdm(range(0, len(index), CHUNK), desc="windows", unit="chunk", disable=not progress, leave=False):
            chunk = slice(first, first + CHUNK)
            start, end = index.start[chunk] + before, index.end[chunk] + before
            windows = self._window_set(footage, clip, row_of[index.frames[chunk]], start, end)
            heard = windows.audio_length[:, None] > 0
            parts.append(np.hstack([predict_windows(self.model, windows) * (self.model.sees | heard), heard]))
        by_frame = frame_predictions(
            np.concatenate(parts), index.end, len(present), length=e.window, rule=e.frame_rule, fallback=np.full(NUM_CLASSES + 1, np.nan)
        )  # fmt: skip
        return smooth(by_frame, e.smoothing, e.smoothing_half_width)[frames - 1 - before]

    def _window_set(self, footage: Footage, clip: Clip, rows: np.ndarray, start: np.ndarray, end: np.ndarray) -> WindowSet:
        """The windows that show the feature ``rows`` ``[N, T]`` from frame ``start`` to ``end`` ``[N]``, with their sound."""
        lowest, n = int(rows.min()), len(rows)
        audio, audio_start, audio_length = self._sound(footage, *samples_of(clip, np.stack([start, end], axis=1)))
        return WindowSet(
            clips=[clip], visual=footage.visual.read(lowest, int(rows.max()) + 1), frames=rows - lowest, audio=audio,
            audio_start=audio_start, audio_length=audio_length.astype(np.int32), label=np.full(n, NOT_ANNOTATED, np.int64),
            clip=np.zeros(n, np.int32), end=end.astype(np.int32),
        )  # fmt: skip

    def _sound(self, footage: Footage, begin: np.ndarray, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(features float16 ``[S, 768]``, first row and number of steps int64 ``[N]``) of spans of the sound.

        A span that is digital silence throughout has no steps, as one without a sound track: both are the same to hear.
        """
        spans = zip(begin, samples, strict=True)
        waves = [] if footage.sound is None else [footage.sound.read(a, a + n)[:, 0] for a, n in spans]
        waves = [wave if audible(wave).any() else wave[:0] for wave in waves]
        if footage.steps is not None:  # the whole track is encoded: as many steps as the span alone would give
            first = np.minimum(np.rint(begin / HOP).astype(np.int64), footage.steps.rows)
            steps = [AudioEncoder.steps(n) if len(wave) else 0 for n, wave in zip(samples.tolist(), waves, strict=True)]
            length = np.minimum(steps, footage.steps.rows - first)
            return footage.steps.read(int(first.min()), int((first + length).max())), first - first.min(), length
        return self._segments(waves, len(begin))

    def _segments(self, waves: list[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`_sound`, of ``n`` segments int16 encoded each alone; none at all without sound."""
        steps = [np.zeros((0, AudioEncoder.width), np.float16)] * n
        by_length: dict[int, list[int]] = {}
        for i, wave in enumerate(waves):
            by_length.setdefault(len(wave), []).append(i)
        for size, same in by_length.items():  # only equal lengths: padding would change every output
            for first in range(0, len(same) if AudioEncoder.steps(size) else 0, SOUNDS):
                group = same[first : first + SOUNDS]
                assert self.audio is not None
                encoded = self.audio.waveforms(torch.from_numpy(np.stack([waves[i] for i in group]).astype(np.float32) / 32767))
                for i, feature in zip(group, encoded.cpu().numpy().astype(np.float16), strict=True):
                    steps[i] = feature
        length = np.array([len(part) for part in steps], np.int64)
        return np.concatenate(steps), np.cumsum(length) - length, length


class Predicted(NamedTuple):
    """What a run says of the faces or frames of one video."""

    probabilities: np.ndarray  # float64 [R, 8]; NaN where nothing is known
    heard: np.ndarray  # bool [R]; whether a window they rest on holds more than digital silence


def _clip(footage: Footage) -> Clip:
    n = len(footage.times)
    present = np.zeros(n, bool)
    present[footage.frame - 1] = True
    return Clip(
        id=footage.video.name, split="test", labels=np.full(n, NOT_ANNOTATED, np.int8), face_present=present,
        frame_times=footage.times, fps=1 / footage.frame_seconds, time_source="video", images=None, video=footage.video,
    )  # fmt: skip


def table(predictor: Predictor, footage: Footage, predicted: Predicted) -> pd.DataFrame:
    """One row a frame (one a face where several are analysed), in order of frames.

    frame (from 1), time (seconds), face (whether any was found in the frame, be it the followed one or not), track and x, y,
    w, h (pixels) of the followed one, p_<Class> x 8, class, modality (what the probabilities rest on: ``face+voice`` where a
    window behind them holds more than digital silence), weights. What is missing is null.
    """
    frames = np.arange(1, len(footage.times) + 1, dtype=np.int32)
    searched = predictor.model.sees or predictor.finder is not None
    faces = pd.DataFrame(footage.box.round(1), columns=list(FACE_COLUMNS)).assign(frame=footage.frame, track=footage.track)
    rows = pd.DataFrame({"frame": frames, "time": footage.times.round(6)}).merge(faces, on="frame", how="left")
    found = footage.found[rows["frame"] - 1] > 0
    rows["face"] = pd.array(found if searched else [None] * len(rows), dtype="boolean")
    rows["track"] = rows["track"].astype("Int32")
    place = rows["track"].notna().to_numpy() if predictor.model.sees else np.ones(len(rows), bool)
    source = np.arange(len(predicted.heard)) if predictor.model.sees else rows["frame"].to_numpy() - 1
    values, voice = np.full((len(rows), NUM_CLASSES), np.nan), np.zeros(len(rows), bool)
    values[place], voice[place] = predicted.probabilities[source], predicted.heard[source]
    rows[PROBABILITIES] = values.round(6)
    known = ~np.isnan(values).any(axis=1)
    best = np.array([*EXPRESSIONS, None], dtype=object)[np.where(known, np.nan_to_num(values).argmax(axis=1), NUM_CLASSES)]
    rows["class"] = pd.array(best, dtype="string")
    modality = np.where(voice, "face+voice", "face") if predictor.model.sees else np.full(len(rows), "voice")
    rows["modality"] = pd.array(pd.Series(modality).where(known, None), dtype="string")
    rows["weights"] = pd.array([weights_kind(predictor)] * len(rows), dtype="string")
    return rows[["frame", "time", "face", "track", *FACE_COLUMNS, *PROBABILITIES, "class", "modality", "weights"]]


def weights_kind(predictor: Predictor) -> str:
    """What the run learned from: ``synthetic``, ``random weights``, both, or ``pre-trained``."""
    return predictor.origin or "pre-trained"


def summarise(predictor: Predictor, footage: Footage, rows: pd.DataFrame) -> dict[str, Any]:
    """What summary.json holds: counts, sound, the run and its rules, share of each class; equal inputs give equal bytes.

    frames_with_face: any face was found in them; frames_followed: a face that was analysed (they have a track); rows_predicted:
    the rows with a class, of which ``share`` is, one a face, so more than frames_predicted where several are analysed.
    """
    e = predictor.model.experiment
    counts = rows["class"].value_counts()
    return {
        "video": printable(footage.video.name), "frames": len(footage.times), "seconds": round(footage.end, 3),
        "frames_per_second": round(footage.fps, 3), "constant_rate": footage.constant_rate, "size": list(footage.size),
        "faces": predictor.faces, "frames_with_face": int(rows.loc[rows["face"].fillna(False), "frame"].nunique()),
        "frames_followed": len(np.unique(footage.frame)), "tracks": len(np.unique(footage.track)),
        "sound": sound_kind(predictor, footage), "sound_seconds": round(footage.sound_seconds, 3),
        "frames_predicted": int(rows.loc[rows["class"].notna(), "frame"].nunique()), "rows_predicted": int(counts.sum()),
        "share": {name: round(float(counts.get(name, 0) / counts.sum()), 4) for name in EXPRESSIONS} if len(counts) else None,
        "run": predictor.name, "experiment": e.fingerprint("train"), "modalities": e.modalities, "window": e.window,
        "frame_rule": e.frame_rule, "frame_stride": e.frame_stride, "smoothing": e.smoothing,
        "smoothing_half_width": e.smoothing_half_width, "detector": hash_file(predictor.finder.model) if predictor.finder else None,
        "weights": weights_kind(predictor), "warning": MEANINGLESS.format(predictor.origin) if predictor.origin else None, "emolib": __version__,
    }  # fmt: skip


def sound_kind(predictor: Predictor, footage: Footage) -> str:
    """``not used`` by this run, ``absent`` (no audio track), ``silent`` (digital silence) or ``present``."""
    if predictor.audio is None:
        return "not used"
    if footage.sound is None:
        return "absent"
    return "present" if footage.heard else "silent"


def describe(summary: dict[str, Any]) -> str:
    """One line for the console."""
    line = f"{summary['video']}: {summary['frames']} frames, {summary['seconds']:.2f} s, a face in {summary['frames_with_face']}"
    if summary["frames_followed"] < summary["frames_with_face"]:
        line += f", the followed one in {summary['frames_followed']}"
    if summary["tracks"] > 1:
        line += f" ({summary['tracks']} tracks)"
    line += {"absent": ", no sound", "silent": ", silent sound", "present": ", sound", "not used": ""}[summary["sound"]]
    if not summary["share"]:
        why = "no face found" if summary["modalities"] != "audio" else "no sound"
        return line + f"; {why}: all probabilities are empty"
    name, share = max(summary["share"].items(), key=lambda item: item[1])
    kind = "frames" if summary["rows_predicted"] == summary["frames_predicted"] else "faces"
    return line + f"; mostly {name} ({share:.0%} of {summary['rows_predicted']} {kind})"


def failure(video: Path, error: BaseException) -> str:
    """One line that names ``video`` and what went wrong with it."""
    if isinstance(error, EmolibError):
        return printable(str(error))
    what = " ".join(str(error).split())[:200]
    return printable(
        f"{video}: failed unexpectedly ({type(error).__name__}{what and f': {what}'}); leave it out, or convert it and try again"
    )


def collect(videos: Sequence[Path], say: Callable[[str], None] = print) -> list[Path]:
    """The videos named, folders replaced by the videos in them (not deeper), each once.

    ``say`` gets a line about a folder's files that are not taken for videos. Raises WrongCall when nothing is named,
    EmolibError for a folder without videos.
    """
    found: list[Path] = []
    for path in map(Path, videos):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
            taken = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
            others = [p.name for p in inside if p not in taken and p.is_file()]
            if not taken:
                raise EmolibError(f"{path}: no video in this folder; looked for {', '.join(VIDEO_SUFFIXES)}; name other files to try them")
            if others:
                more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
                say(printable(f"{path}: not taken: {', '.join(others[:NAMED])}{more}; name them to try them"))
            found += taken
        else:
            found.append(path)
    if not found:
        raise WrongCall("no video given: name files or a folder")
    return list(dict.fromkeys(found))


def folders_for(videos: Sequence[Path], out: Path, *, overwrite: bool) -> dict[Path, Path]:
    """A result folder in ``out`` for each video, named by its stem; by its whole name where stems are equal.

    Raises WrongCall for two videos of one name and for results that are there already, EmolibError when ``out`` cannot be
    written or something else is in a result's place; all before any work.
    """
    stems = [video.stem for video in videos]
    names = {video: video.stem if stems.count(video.stem) == 1 else video.name.replace(".", "_") for video in videos}
    for video, name in names.items():
        if list(names.values()).count(name) > 1:
            raise WrongCall(f"{video}: another video has the same name; give them in two calls with two --out folders")
        if not overwrite and any((out / name / file).exists() for file in RESULTS):
            raise WrongCall(f"{out / name}: holds results already; choose another --out or say --overwrite")
        if (out / name).exists() and not (out / name).is_dir():
            raise EmolibError(f"{out / name}: a file where the folder of results belongs; move it or choose another --out")
        for path in (out / name / file for file in RESULTS):
            if path.is_dir():
                raise EmolibError(f"{path}: a folder where a result belongs; move it or choose another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise EmolibError(f"{out}: cannot be written: {error.strerror}; choose another --out folder") from error
    return {video: out / name for video, name in names.items()}


def write(folder: Path, rows: pd.DataFrame, summary: dict[str, Any]) -> None:
    """predictions.csv, predictions.parquet and summary.json into ``folder``."""
    write_text(folder / "predictions.csv", rows.to_csv(index=False, lineterminator="\n"))
    with atomic_path(folder / "predictions.parquet") as temporary:
        temporary.write_bytes(rows.to_parquet(index=False))  # given a path, pyarrow refuses one that is no UTF-8
    write_json(folder / "summary.json", summary)


@contextmanager
def whole_results(folder: Path) -> Iterator[Path]:
    """A temporary folder for all RESULTS of a video, which replace those in ``folder`` when the block ends without an error.

    Before that nothing in ``folder`` changes, and what else it holds stays. summary.json goes first and comes last: where it
    is, the results are whole, even when the machine stops in between. Raises EmolibError when ``folder`` cannot be changed.
    """
    folder = folder.resolve()  # a link may lead to another disk, onto which nothing can be renamed
    with tempfile.TemporaryDirectory(prefix=".emolib-", dir=folder.parent) as name:
        yield Path(name)
        try:
            folder.mkdir(exist_ok=True)
            (folder / "summary.json").unlink(missing_ok=True)
            for file in RESULTS:
                if (Path(name) / file).exists():
                    (Path(name) / file).replace(folder / file)
                else:
                    (folder / file).unlink(missing_ok=True)
        except OSError as error:
            raise EmolibError(f"{folder}: results cannot be replaced: {error.strerror}; choose another --out folder") from error


def predict(
    videos: Sequence[Path], run: Path, out: Path, *, detector: Path | None = None, faces: str = "tracked",
    timeline: bool = True, annotate: bool = False, overwrite: bool = False, progress: bool = True,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:  # fmt: skip
    """Predict ``videos`` (files or folders) with the run in folder ``run``; results go to ``out``/<video's name>/.

    ``detector``: YuNet model file, None for the hub's cache; ``faces``: one of ``footage.WHICH_FACES``; ``timeline``: draw
    timeline.png and .svg; ``annotate``: write annotated.mp4; ``say`` takes the lines for the console. Returns the
    summaries. A video that fails does not stop the others: after the last one SomeFailed names those that did. WrongCall and a missing run, weights or detector stop before any work.
    """
    found = collect(videos, say)
    folders = folders_for(found, Path(out), overwrite=overwrite)
    predictor = Predictor.load(run, detector, faces)
    if predictor.origin:
        say(f"{predictor.name}: {MEANINGLESS.format(predictor.origin)}")
    summaries, failures = [], []
    for video in found:
        try:
            footage = predictor.observe(video, progress=progress)
            rows = table(predictor, footage, predictor.probabilities(footage, progress=progress))
            summary = summarise(predictor, footage, rows)
            with whole_results(folders[video]) as folder:
                if timeline:
                    figures.save(timelines.timeline(rows, footage, origin=predictor.origin), "timeline", folder)
                if annotate:
                    timelines.write_annotated(folder / "annotated.mp4", rows, footage, origin=predictor.origin)
                write(folder, rows, summary)
        except FAILURES as error:
            failures.append(failure(video, error))
            say(f"failed: {failures[-1]}")
        else:
            summaries.append(summary)
            say(describe(summary))
    if failures:
        raise SomeFailed(
            failures[0] if len(found) == 1 else f"{len(failures)} of {len(found)} videos failed: {'; '.join(failures)}", summaries
        )
    return summaries
