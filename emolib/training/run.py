"""One run, from its experiment to metrics.json: data, training, evaluation (paper section 4)."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.errors import EmolibError
from emolib.evaluation import predictions as evaluation
from emolib.evaluation.identity import (
    LOADED,
    Identity,
    identity_of,
    noted_in,
    warn_of_difference,
    with_weights_at_hand,
)
from emolib.features.origin import origin
from emolib.features.prepare import Data, prepare
from emolib.features.window_sets import WindowSet
from emolib.model import EmotionModel
from emolib.system.device import device as default_device
from emolib.system.device import training_arithmetic
from emolib.system.files import hash_file, remove_leftovers, write_json
from emolib.system.provenance import provenance
from emolib.system.runs import writing
from emolib.training.claim import check_experiment, claim
from emolib.training.fit import Fitted, fit
from emolib.training.state import read_weights


def load_model(
    folder: Path,
    device: str | None = None,
    *,
    today: Callable[[Experiment], Identity] = with_weights_at_hand,
) -> tuple[EmotionModel, Experiment]:
    """The trained model (eval mode, its standardisation inside) and the Experiment of a run folder.

    Warns where the run differs from what ``today`` gives: by default where it was made by other
    code or with other weights of the encoders, without a look at its data. Raises EmolibError
    naming the file that is missing or of another shape.
    """
    experiment = Experiment.load(folder / "experiment.json")
    warn_of_difference(folder, today)
    path = folder / "model.safetensors"
    if not path.exists():
        raise EmolibError(f"{path}: no such file; finish this run first (emolib train)")
    try:
        state = read_weights(path)
        model = EmotionModel(experiment, len(state["visual_mean"]), len(state["audio_mean"]))
        model.load_state_dict(state)
    except (KeyError, RuntimeError, SafetensorError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EmolibError(
            f"{path}: damaged, or of another shape than experiment.json says ({reason}); "
            "train again"
        ) from error
    return model.to(device or default_device()).eval(), experiment


def run(experiment: Experiment, folder: Path, *, progress: bool = True) -> dict[str, Any]:
    """The whole of one run; returns metrics.json's content, at once when the run is complete.

    A run of the same experiment that was made by other code, from other data or with other weights
    is put aside and made anew (:func:`claim`). Raises WrongCall when ``folder`` holds another
    experiment, EmolibError when data or training fail or another process writes there.
    """
    folder = Path(folder)
    with writing(folder):
        check_experiment(experiment, folder)  # before data are read, or generated
        finished = claim(experiment, folder, identity_of(experiment, progress=progress))
        if finished is not None:
            _check_history(folder, finished)
            return finished
        data = prepare(experiment, progress=progress)
        return train_and_evaluate(experiment, data, folder, progress=progress)


def _check_history(folder: Path, finished: dict[str, Any]) -> None:
    """Raise EmolibError where history.csv is not what metrics.json was written beside."""
    path = folder / "history.csv"
    if not path.is_file() or hash_file(path) != finished.get("history", hash_file(path)):
        raise EmolibError(
            f"{path}: missing, or holds something else than was written; "
            "delete this run and train again"
        )


def train_and_evaluate(
    experiment: Experiment, data: Data, folder: Path, *, progress: bool = True
) -> dict[str, Any]:
    """:func:`run` on data at hand.

    Writes every file of a run (CONTRIBUTING.md, Contracts), metrics.json last.
    """
    started = time.monotonic()
    remove_leftovers(folder)
    fitted = fit(
        experiment,
        data.train,
        data.validation,
        data.prompts,
        data.logit_scale,
        folder,
        progress=progress,
    )
    seconds = time.monotonic() - started
    clips, rows = predict_frames([fitted], [folder], data.frames, progress=progress)
    return finish(experiment, data, folder, fitted, clips, rows[0], seconds=seconds)


def predict_frames(
    runs: Sequence[Fitted],
    folders: Sequence[Path],
    frames: Iterable[WindowSet],
    *,
    progress: bool = False,
) -> tuple[list[Clip], list[list[np.ndarray]]]:
    """Write the predictions of every run in one pass over ``frames``.

    One pass, because their sound may have to be encoded in each. Returns (clips, for each run
    [n, 8] of every clip).
    """
    clips: list[Clip] = []
    rows: list[list[np.ndarray]] = [[] for _ in runs]
    for folder in folders:
        remove_leftovers(folder / "predictions")  # each file there is read as a clip's
    name = f"{folders[0].name}: every frame"
    with tqdm(desc=name, unit=" clips", disable=not progress) as bar:
        for clip, predicted in evaluation.frame_rows([each.model for each in runs], frames):
            clips.append(clip)
            for folder, own, by_run in zip(folders, rows, predicted, strict=True):
                evaluation.write_clip(folder / "predictions" / f"{clip.id}.parquet", clip, by_run)
                own.append(by_run)
            bar.update()
    return clips, rows


def finish(
    experiment: Experiment,
    data: Data,
    folder: Path,
    fitted: Fitted,
    clips: list[Clip],
    rows: list[np.ndarray],
    *,
    seconds: float,
) -> dict[str, Any]:
    """Score a trained run under both protocols and write its remaining files.

    ``clips`` and ``rows``: what :func:`predict_frames` gave; ``seconds``: it took in this process.
    """
    result = {
        "window": evaluation.window_score(fitted.model, data.validation),
        "frame": evaluation.score_of_clips(clips, rows, **evaluation.scored_classes(experiment)),
        "best_epoch": fitted.best_epoch,
        "selection": experiment.selection,
        "history": hash_file(folder / "history.csv"),
        "parameters": fitted.model.parameter_count(),
        "experiment": experiment.fingerprint("train"),
        **asdict(noted_in(folder)),
        "origin": origin(experiment),
        "face_shares": data.face_shares,
        "by_frame": experiment.by_frame(),
    }
    device = str(fitted.model.get_buffer("class_prior").device)
    write_json(
        folder / "provenance.json",
        provenance(
            device,
            code=LOADED,
            seed=experiment.seed,
            arithmetic=training_arithmetic(device, experiment.amp),
            wall_seconds=round(seconds, 2),
        ),
        sealed=True,
    )
    write_json(folder / "metrics.json", result, sealed=True)
    return result
