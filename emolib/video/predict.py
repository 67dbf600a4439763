"""Emotions of a user's own videos: one row a frame with time, face, eight probabilities and what they rest on.

Nothing is invented: a frame without a face has no probabilities (unless the run only hears), and empty is not zero.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import pandas as pd

from emolib.errors import EmolibError
from emolib.results import figures
from emolib.system.files import atomic_path, printable, write_json, write_text
from emolib.video import timeline as timelines
from emolib.video.outputs import collect, folders_for, whole_results
from emolib.video.predictor import Predictor
from emolib.video.rows import MEANINGLESS, describe, summarise, table

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
        f"{video}: failed unexpectedly ({type(error).__name__}{what and f': {what}'}); leave it out, or convert it and try again"
    )


def write(folder: Path, rows: pd.DataFrame, summary: dict[str, Any]) -> None:
    """predictions.csv, predictions.parquet and summary.json into ``folder``."""
    write_text(folder / "predictions.csv", rows.to_csv(index=False, lineterminator="\n"))
    with atomic_path(folder / "predictions.parquet") as temporary:
        temporary.write_bytes(
            rows.to_parquet(index=False)
        )  # given a path, pyarrow refuses one that is no UTF-8
    write_json(folder / "summary.json", summary)


def predict(
    videos: Sequence[Path],
    run: Path,
    out: Path,
    *,
    detector: Path | None = None,
    faces: str = "tracked",
    timeline: bool = True,
    annotate: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:
    """Predict ``videos`` (files or folders) with the run in folder ``run``; results go to ``out``/<video's name>/.

    ``detector``: YuNet model file, None for the hub's cache; ``faces``: one of ``options.WHICH_FACES``; ``timeline``: draw
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
            observation = predictor.observe(video, progress=progress)
            rows = table(
                predictor, observation, predictor.probabilities(observation, progress=progress)
            )
            summary = summarise(predictor, observation, rows)
            with whole_results(folders[video]) as folder:
                if timeline:
                    figures.save(
                        timelines.timeline(rows, observation, origin=predictor.origin),
                        "timeline",
                        folder,
                    )
                if annotate:
                    timelines.write_annotated(
                        folder / "annotated.mp4", rows, observation, origin=predictor.origin
                    )
                write(folder, rows, summary)
        except FAILURES as error:
            failures.append(failure(video, error))
            say(f"failed: {failures[-1]}")
        else:
            summaries.append(summary)
            say(describe(summary))
    if failures:
        raise SomeFailed(
            failures[0]
            if len(found) == 1
            else f"{len(failures)} of {len(found)} videos failed: {'; '.join(failures)}",
            summaries,
        )
    return summaries
