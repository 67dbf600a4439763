"""One run: the loop, exact resuming, evaluation (paper section 4.1, FACTS section 1).

An epoch's order and dropout follow from (seed, epoch) alone, and the learning rate from the step, so the state after
an epoch (weights, optimiser, history, best) is all that a resumed run needs to reach the same bits.
"""

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation import metrics
from emolib.evaluation import predictions as evaluation
from emolib.features.batches import DeviceWindows
from emolib.features.origin import origin
from emolib.features.prepare import Data, prepare
from emolib.features.window_sets import WindowSet
from emolib.model import EmotionModel
from emolib.system.arithmetic import training_dtype
from emolib.system.device import device as default_device
from emolib.system.device import run_threads
from emolib.system.files import (
    atomic_path,
    read_json,
    remove_leftovers,
    write_json,
    write_text,
)
from emolib.system.provenance import provenance
from emolib.training.state import load_state, save_state
from emolib.training.trainer import Trainer


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained run: the chosen model, its epoch (from 1) and the history, one dict an epoch."""

    model: EmotionModel
    best_epoch: int
    history: list[dict[str, Any]]


def fit(
    experiment: Experiment,
    train: WindowSet,
    validation: WindowSet,
    prompts: np.ndarray,
    logit_scale: float,
    folder: Path,
    *,
    progress: bool = True,
    device: str | None = None,
) -> Fitted:
    """Train, resuming from ``folder``/state.pt; writes state.pt, history.csv and, at the end, model.safetensors.

    prompts [8, 512] float32, logit_scale CLIP's (100 at most). Raises EmolibError for data that cannot be trained on, a state of
    another shape and a loss that is not finite (state.pt then keeps the epoch before); WrongCall when the state is of another
    experiment.
    """
    trainer = Trainer(experiment, train, prompts, logit_scale, device or default_device())
    checks = DeviceWindows(validation, trainer.model)
    state = load_state(folder / "state.pt", experiment, trainer.parts)
    trainer.weights.changed()
    with run_threads():
        for epoch in tqdm(
            range(len(state["history"]), experiment.epochs),
            desc=folder.name,
            unit="epoch",
            disable=not progress,
        ):
            row = {"epoch": epoch + 1, **trainer.epoch(epoch)}
            if not math.isfinite(row["train_loss"]):
                raise EmolibError(
                    f"{folder}: {diverged(epoch)}; state.pt keeps epoch {epoch}; lower learning_rate"
                )
            record(state, trainer.model, checks, row)
            save_state(folder / "state.pt", trainer.parts, state)
            write_history(folder, state)
    return fitted(folder, trainer.model, state)


def diverged(epoch: int) -> str:
    """What went wrong in ``epoch``, counted from 0."""
    return f"the loss of epoch {epoch + 1} is not finite"


def record(
    state: dict[str, Any], model: EmotionModel, checks: DeviceWindows, row: dict[str, Any]
) -> None:
    """Score ``model`` after an epoch on ``checks``; into ``state`` goes its ``row`` of history, and the model if it is the chosen one."""
    predicted = evaluation.probabilities(model, checks).argmax(axis=1)
    row["validation_macro_f1"] = float(metrics.macro_f1(checks.windows.label, predicted))
    state["history"].append(row)
    if model.experiment.selection == "last" or row["validation_macro_f1"] > state["best_score"]:
        best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.update(best_score=row["validation_macro_f1"], best_epoch=row["epoch"], best=best)


def fitted(folder: Path, model: EmotionModel, state: dict[str, Any]) -> Fitted:
    """Write history.csv and model.safetensors of a run that has had its epochs; ``model`` becomes the chosen one."""
    write_history(
        folder, state
    )  # again, in case the last epoch's process was killed between its two files
    model.load_state_dict(state["best"])
    with atomic_path(folder / "model.safetensors") as temporary:
        temporary.write_bytes(
            save({name: value.contiguous() for name, value in state["best"].items()})
        )
    return Fitted(model.eval(), state["best_epoch"], state["history"])


def write_history(folder: Path, state: dict[str, Any]) -> None:
    """history.csv: one row an epoch."""
    write_text(folder / "history.csv", pd.DataFrame(state["history"]).to_csv(index=False))


def load_model(folder: Path, device: str | None = None) -> tuple[EmotionModel, Experiment]:
    """The trained model (eval mode, its standardisation inside) and the Experiment of a run folder.

    Raises EmolibError naming the file that is missing or of another shape.
    """
    experiment = Experiment.load(folder / "experiment.json")
    model, path = EmotionModel(experiment), folder / "model.safetensors"
    if not path.exists():
        raise EmolibError(f"{path}: no such file; finish this run first (emolib train)")
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EmolibError(
            f"{path}: damaged, or of another shape than experiment.json says ({reason}); train again"
        ) from error
    return model.to(device or default_device()).eval(), experiment


def run(experiment: Experiment, folder: Path, *, progress: bool = True) -> dict[str, Any]:
    """The whole of one run; returns metrics.json's content, at once when the run is complete.

    Raises WrongCall when ``folder`` holds another experiment, EmolibError when data or training fail.
    """
    folder = Path(folder)
    finished = claim(experiment, folder)
    return (
        finished
        if finished is not None
        else train_and_evaluate(
            experiment, prepare(experiment, progress=progress), folder, progress=progress
        )
    )


def claim(experiment: Experiment, folder: Path) -> dict[str, Any] | None:
    """Write experiment.json into ``folder``, or check that it is there already; metrics.json's content when complete."""
    path = folder / "experiment.json"
    if not path.exists():
        experiment.save(path)
    elif Experiment.load(path).fingerprint("train") != experiment.fingerprint("train"):
        raise WrongCall(
            f"{folder}: holds another experiment; use another run name, or delete that folder"
        )
    metrics_path = folder / "metrics.json"
    return read_json(metrics_path) if metrics_path.exists() else None


def train_and_evaluate(
    experiment: Experiment, data: Data, folder: Path, *, progress: bool = True
) -> dict[str, Any]:
    """:func:`run` on data at hand; writes every file of DESIGN's Run, metrics.json last."""
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
    clips, rows = predict_frames([fitted], [folder], data.frames)
    return finish(experiment, data, folder, fitted, clips, rows[0], seconds=seconds)


def predict_frames(
    runs: Sequence[Fitted], folders: Sequence[Path], frames: Iterable[WindowSet]
) -> tuple[list[Clip], list[list[np.ndarray]]]:
    """Write the predictions of every run in one pass over ``frames``, whose sound may have to be encoded in each.

    (clips, for each run [n, 8] of every clip).
    """
    clips: list[Clip] = []
    rows: list[list[np.ndarray]] = [[] for _ in runs]
    for folder in folders:
        remove_leftovers(folder / "predictions")  # each file there is read as a clip's
    for part in frames:
        clips += part.clips
        for each, folder, own in zip(runs, folders, rows, strict=True):
            predicted = evaluation.predict_clips(each.model, part)
            evaluation.write_predictions(folder / "predictions", part, predicted)
            own += predicted
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
    """Score a trained run under both protocols, by frame from what :func:`predict_frames` gave, and write its remaining
    files; ``seconds`` it took in this process."""
    result = {
        "window": evaluation.window_score(fitted.model, data.validation),
        "frame": evaluation.score_of_clips(clips, rows),
        "best_epoch": fitted.best_epoch,
        "selection": experiment.selection,
        "parameters": fitted.model.parameter_count(),
        "experiment": experiment.fingerprint("train"),
        "origin": origin(experiment),
        "by_frame": experiment.by_frame(),
    }
    device = str(fitted.model.get_buffer("class_prior").device)
    arithmetic = str(training_dtype(device, experiment.amp)).removeprefix("torch.")
    write_json(
        folder / "provenance.json",
        provenance(
            device, seed=experiment.seed, arithmetic=arithmetic, wall_seconds=round(seconds, 2)
        ),
    )
    write_json(folder / "metrics.json", result)
    return result
