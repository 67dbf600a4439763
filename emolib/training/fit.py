"""Training a run, or a stack of runs, to its end:
the loop over epochs, what it records, and resuming bit for bit.

An epoch's order and dropout follow from (seed, epoch) alone, and the learning rate from the step.
So the state after an epoch (weights, optimiser, history, best model) is all that a resumed run
needs to reach the same bits.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.errors import EmolibError, chosen
from emolib.evaluation import metrics
from emolib.evaluation.predictions import probabilities, scored_classes
from emolib.features.batches import DeviceWindows
from emolib.features.window_sets import WindowSet
from emolib.labels import NUM_CLASSES
from emolib.model import EmotionModel
from emolib.system.device import device as default_device
from emolib.system.device import products, run_threads
from emolib.system.files import write_text
from emolib.training.stacked import Stack
from emolib.training.state import (
    damage_named,
    load_state,
    load_whole,
    new_state,
    save_file,
    save_state,
    write_weights,
)
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
    """Train, resuming from ``folder``/state.pt;
    writes state.pt, history.csv and, at the end, model.safetensors.

    prompts [8, D_v] float32, logit_scale CLIP's (100 at most). Raises EmolibError for data that
    cannot be trained on, a state of another shape and a loss that is not finite (state.pt then
    keeps the epoch before); WrongCall when the state is of another experiment.
    """
    trainer = Trainer(experiment, train, prompts, logit_scale, device or default_device())
    checks = DeviceWindows(validation, trainer.model)
    state = load_state(folder / "state.pt", experiment, trainer.parts)
    epochs = range(len(state["history"]), experiment.epochs)
    bar = tqdm(epochs, desc=f"{folder.name}: training", unit="epoch", disable=not progress)
    with run_threads(), products(trainer.windows.device, experiment.amp), bar:
        for epoch in bar:
            row = {"epoch": epoch + 1, **_trained(trainer, epoch)}
            if not math.isfinite(row["train_loss"]):
                raise EmolibError(
                    f"{folder}: {diverged(epoch)}; state.pt keeps epoch {epoch}; "
                    "lower learning_rate"
                )
            record(state, trainer.model, checks, row)
            save_state(folder / "state.pt", trainer.parts, state)
            write_history(folder, state)
            bar.set_postfix(loss=f"{row['train_loss']:.3f}", F1=f"{row['validation_macro_f1']:.3f}")
    return fitted(folder, trainer.model, state)


def fit_stack(
    experiments: Sequence[Experiment],
    train: WindowSet,
    validation: WindowSet,
    prompts: np.ndarray,
    logit_scale: float,
    folders: Sequence[Path],
    state: Path,
    device: str,
    *,
    progress: bool = True,
) -> list[Fitted | str]:
    """:func:`fit` for all of ``experiments`` at once, each with its own best epoch and files.

    ``state``: a file with the complete state after every epoch, from which the same stack resumes
    bit for bit. A run whose loss is not finite is given up, what went wrong is its result,
    and the others go on.
    """
    stack = Stack(experiments, train, prompts, logit_scale, device)
    models = [trainer.model for trainer in stack.trainers]
    checks = DeviceWindows(validation, models[0])
    done = _load_stack(state, stack)
    epochs = range(done["epoch"], experiments[0].epochs)
    name = f"{len(experiments)} runs"
    with run_threads(), products(device, experiments[0].amp):
        for epoch in tqdm(epochs, desc=name, unit="epoch", disable=not progress):
            for m, row in enumerate(stack.epoch(epoch)):
                if done["errors"][m]:
                    continue
                if math.isfinite(row["train_loss"]):
                    record(done["runs"][m], models[m], checks, {"epoch": epoch + 1, **row})
                else:
                    done["errors"][m] = f"{folders[m]}: {diverged(epoch)}; lower learning_rate"
            done["epoch"] = epoch + 1
            save_file(state, {**done, "stack": stack.state()})
    return [
        error or fitted(folders[m], models[m], done["runs"][m])
        for m, error in enumerate(done["errors"])
    ]


def _trained(trainer: Trainer, epoch: int) -> dict[str, float]:
    """``Trainer.epoch``; where a batch does not fit in the memory, what may be done about it."""
    try:
        return trainer.epoch(epoch)
    except torch.OutOfMemoryError as error:
        e = trainer.experiment
        raise EmolibError(
            f"{trainer.windows.device}: out of memory with batch_size={e.batch_size} at "
            f"window={e.window}; end other programs on it, set amp=bf16, or halve batch_size and "
            "double accumulation (the same steps, but contrastive pairs within smaller batches)"
        ) from error


def _load_stack(path: Path, stack: Stack) -> dict[str, Any]:
    """Put the file's state back into ``stack``;
    returns the epochs done, and each run's state and error.
    """
    if not path.exists():
        runs = [new_state(trainer.experiment) for trainer in stack.trainers]
        return {"epoch": 0, "runs": runs, "errors": [""] * len(runs)}
    with damage_named(path):
        done = load_whole(path)
        stack.load(done.pop("stack"))
    return done


def diverged(epoch: int) -> str:
    """What went wrong in ``epoch``, counted from 0."""
    return f"the loss of epoch {epoch + 1} is not finite"


def record(
    state: dict[str, Any], model: EmotionModel, checks: DeviceWindows, row: dict[str, Any]
) -> None:
    """Score ``model`` after an epoch on ``checks``;
    ``state`` gets ``row``, and the model if it is the best so far.
    """
    scores, labels, e = probabilities(model, checks), checks.windows.label, model.experiment
    predicted = scores.argmax(axis=1)
    row["validation_loss"] = validation_loss(model, labels, scores)
    row["validation_macro_f1"] = metrics.macro_f1(labels, predicted, **scored_classes(e))
    state["history"].append(row)
    chooses_last = chosen("selection", e.selection, {"best": False, "last": True})
    if chooses_last or row["validation_macro_f1"] > state["best_score"]:
        best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.update(best_score=row["validation_macro_f1"], best_epoch=row["epoch"], best=best)


def validation_loss(model: EmotionModel, labels: np.ndarray, scores: np.ndarray) -> float:
    """L_cls of validation windows: cross-entropy of probabilities ``scores`` [N, 8], weighted as in
    training but without its logit adjustment. NaN where there is no window.
    """
    if not len(labels):
        return math.nan
    prior = model.get_buffer("class_prior").cpu().double().numpy()
    inverse = 1 / (NUM_CLASSES * np.maximum(prior, np.finfo(np.float64).tiny))  # N / (8 n_c)
    kinds = {"inverse": inverse, "none": np.ones(NUM_CLASSES)}
    weights = chosen("class_weights", model.experiment.class_weights, kinds)
    right = np.take_along_axis(scores, labels[:, None].astype(int), axis=1)[:, 0]
    loss = -np.log(np.maximum(right, np.finfo(np.float32).tiny), dtype=np.float64)
    return float(np.average(loss, weights=weights[labels]))


def fitted(folder: Path, model: EmotionModel, state: dict[str, Any]) -> Fitted:
    """Write history.csv and model.safetensors of a run that has had its epochs;
    ``model`` becomes the chosen one.
    """
    write_history(folder, state)  # again: the last epoch's process may have died between its files
    model.load_state_dict(state["best"])
    write_weights(folder / "model.safetensors", state["best"])
    return Fitted(model.eval(), state["best_epoch"], state["history"])


def write_history(folder: Path, state: dict[str, Any]) -> None:
    """history.csv: one row an epoch."""
    write_text(folder / "history.csv", pd.DataFrame(state["history"]).to_csv(index=False))
