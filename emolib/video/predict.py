"""Emotions of a user's own videos: one row a frame with time, face,
eight probabilities and what they rest on.

Nothing is invented: a frame without a face has no probabilities (unless the run only hears),
and empty is not zero.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import pandas as pd

from emolib.errors import EmolibError, WrongCall
from emolib.results import figures
from emolib.system.files import atomic_path, printable, write_json, write_text
from emolib.video import annotation
from emolib.video import timeline as timelines
from emolib.video.detection import THOROUGH
from emolib.video.options import ROTATIONS
from emolib.video.outputs import (
    check_folders,
    collect,
    has_results,
    results_in,
    whole_results,
)
from emolib.video.predictor import Predictor
from emolib.video.resources import checked_device, torch_threads
from emolib.video.rows import MEANINGLESS, describe, summarise, table
from emolib.video.sampling import RATE
from emolib.video.searching import NEAR
from emolib.video.seconds import by_second, webvtt
from emolib.video.zero_shot import LIMITS, ZeroShot

Videos = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]

FAILURES = (  # of one video: foreseen, or of whatever decodes, computes, draws or writes it
    EmolibError,
    av.FFmpegError,
    cv2.error,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
)


class SomeFailed(EmolibError):
    """Some videos failed; ``summaries`` are those of the others."""

    def __init__(self, message: str, summaries: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.summaries = summaries


def failure(video: Path, error: BaseException) -> str:
    """One line that names ``video`` and what went wrong with it."""
    if isinstance(error, EmolibError):
        return printable(str(error))
    what = " ".join(str(error).split())[:200]
    return printable(
        f"{video}: failed unexpectedly ({type(error).__name__}{what and f': {what}'}); "
        "leave it out, or convert it and try again"
    )


def write(folder: Path, rows: pd.DataFrame, summary: dict[str, Any]) -> None:
    """predictions.csv, .parquet and .vtt, seconds.csv and summary.json into ``folder``."""
    seconds = by_second(rows)
    write_text(folder / "seconds.csv", seconds.to_csv(index=False, lineterminator="\n"))
    subtitles = webvtt(seconds, summary["seconds"], summary["warning"] or "")
    write_text(folder / "predictions.vtt", subtitles)
    write_text(folder / "predictions.csv", rows.to_csv(index=False, lineterminator="\n"))
    with atomic_path(folder / "predictions.parquet") as temporary:
        # Given a path, pyarrow refuses one that is no UTF-8.
        temporary.write_bytes(rows.to_parquet(index=False))
    write_json(folder / "summary.json", summary)


@dataclass(frozen=True)
class Options:
    """Choices of ``emolib predict``, on the command line as in Python."""

    detector: Path | str | None = None  # YuNet model file; None: Hugging Face's cache
    faces: str = "tracked"  # one of options.WHICH_FACES
    zero_shot: bool = False  # CLIP's prompts alone, without a run
    weights: str = ""  # zero-shot: folder of CLIP's weights; empty: Hugging Face's cache
    prompts: str = "paper"  # zero-shot: one of options.PROMPT_SETS
    smooth: float = 0.0  # zero-shot: seconds either side of a frame that are averaged
    rotate: int = 0  # degrees clockwise by which the pictures are turned
    fps: float = RATE  # pictures a second that are looked at, at most
    detector_size: int = THOROUGH  # pixels of the longer side that a thorough search sees
    device: str = ""  # such as cpu or cuda; empty: the one that there is
    threads: int = 0  # of this process, beside the one that decodes; 0: a core less than there are
    timeline: bool = True  # draw timeline.png and .svg
    annotate: bool = False  # write annotated.mp4
    overwrite: bool = False  # replace results that are there
    skip_existing: bool = False  # leave out videos whose results are there
    recursive: bool = True  # also the videos in folders below those that are named
    progress: bool = True  # bars

    def load(self, run: Path) -> Predictor | ZeroShot:
        """What predicts: the run in folder ``run``, or CLIP alone.

        Raises EmolibError when the run, weights or the detector are missing,
        WrongCall for a choice that there is not.
        """
        if self.rotate not in ROTATIONS:
            raise WrongCall(
                f"rotate={self.rotate}: choose one of {', '.join(map(str, ROTATIONS))} degrees"
            )
        if not 1 <= self.fps <= RATE:
            raise WrongCall(f"fps={self.fps}: choose 1 to {RATE:.0f} pictures a second")
        if self.detector_size < NEAR:
            raise WrongCall(f"detector_size={self.detector_size}: choose {NEAR} pixels or more")
        if self.threads < 0:
            raise WrongCall(f"threads={self.threads}: choose 1 or more, or 0 for a default")
        where = checked_device(self.device)
        if not self.zero_shot:
            return Predictor.load(run, self.detector, self.faces, where=where)
        return ZeroShot.load(
            self.weights,
            self.detector,
            self.faces,
            prompt_set=self.prompts,
            smooth_seconds=self.smooth,
            where=where,
        )


@dataclass(frozen=True)
class Result:
    """One video, predicted or failed."""

    video: Path
    rows: pd.DataFrame | None = None
    summary: dict[str, Any] | None = None
    failure: str = ""  # one line; empty: none


def results(
    videos: Videos,
    run: Path,
    out: Path | None,
    options: Options,
    say: Callable[[str], None] = print,
) -> Iterator[Result]:
    """Each of ``videos`` (files or folders) in turn;
    with ``out``, files go to ``out``/<video's path below the folder that was named>/.

    ``say`` takes the lines for the console. A video that fails does not stop the others. WrongCall
    and a missing run, weights or detector stop before any work.
    """
    chosen = collect(as_paths(videos), say, recursive=options.recursive)
    folders = results_in(chosen, out) if out else {}
    if options.skip_existing:
        there = [video for video, folder in folders.items() if has_results(folder)]
        for video in there:
            say(printable(f"{video}: skipped, {folders.pop(video)} holds its results"))
            del chosen[video]
    if out:
        check_folders(folders, out, overwrite=options.overwrite)
    predictor = options.load(run)
    if predictor.origin:
        say(f"{predictor.name}: {MEANINGLESS.format(predictor.origin)}")
    if isinstance(predictor, ZeroShot):
        say(LIMITS)
    with predictor:
        for video in chosen:
            try:
                with torch_threads(options.threads):
                    result = _result(predictor, video, folders.get(video), options)
                yield result
            except FAILURES as error:
                yield Result(video, failure=failure(video, error))


def _result(
    predictor: Predictor | ZeroShot, video: Path, folder: Path | None, options: Options
) -> Result:
    """Predict one video and write its files into ``folder``, all or none."""
    observation = predictor.observe(
        video,
        rotate=options.rotate,
        fps=options.fps,
        detector_size=options.detector_size,
        progress=options.progress,
    )
    predicted = predictor.probabilities(observation, progress=options.progress)
    rows = table(predictor, observation, predicted)
    summary = summarise(predictor, observation, rows)
    if folder is None:
        return Result(video, rows, summary)
    with whole_results(folder) as temporary:
        if options.timeline:
            figure = timelines.timeline(rows, observation, origin=predictor.origin)
            figures.save(figure, "timeline", temporary)
        if options.annotate:
            annotation.write_annotated(
                temporary / "annotated.mp4", rows, observation, origin=predictor.origin
            )
        write(temporary, rows, summary)
    return Result(video, rows, summary)


def as_paths(videos: Videos) -> list[Path]:
    """Paths of one or several: a string is one path, not a list of characters."""
    if isinstance(videos, (str, os.PathLike)):
        return [Path(videos)]
    return [Path(video) for video in videos]


def predict(
    videos: Videos,
    run: Path,
    out: Path,
    *,
    say: Callable[[str], None] = print,
    **options: Any,
) -> list[dict[str, Any]]:
    """Predict ``videos`` (files or folders) with the run in folder ``run``;
    results go to ``out``/<video's name>/.

    ``options`` as in :class:`Options`. Returns the summaries. Raises as :func:`results`, and
    SomeFailed after the last video, naming those that failed.
    """
    summaries, failures = [], []
    for result in results(videos, run, Path(out), Options(**options), say):
        if result.summary is None:
            failures.append(result.failure)
            say(f"failed: {result.failure}")
        else:
            summaries.append(result.summary)
            say(describe(result.summary))
    if failures:
        total = len(failures) + len(summaries)
        several = f"{len(failures)} of {total} videos failed: {'; '.join(failures)}"
        raise SomeFailed(failures[0] if total == 1 else several, summaries)
    return summaries
