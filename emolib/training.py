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
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm.auto import tqdm

from emolib import evaluation, metrics
from emolib.arithmetic import training_dtype
from emolib.batches import DeviceWindows, fit_statistics
from emolib.config import Experiment
from emolib.cuda_graph import Replays
from emolib.data.affwild2 import Clip
from emolib.determinism import device as default_device
from emolib.determinism import make_deterministic, run_threads
from emolib.errors import EmolibError, WrongCall
from emolib.features import WindowSet
from emolib.files import atomic_path, hash_of, read_json, remove_leftovers, write_json, write_text
from emolib.inputs import Data, prepare
from emolib.losses import Classification, Contrastive, class_weights
from emolib.model import EmotionModel
from emolib.origin import origin
from emolib.parameter_vector import ParameterVector
from emolib.provenance import provenance
from emolib.run_state import load_state, save_state


class Trainer:
    """Model, losses and optimiser of one run. ``fit`` drives it; the benchmark and the stacked runs use its parts."""

    def __init__(
        self, experiment: Experiment, train: WindowSet, prompts: np.ndarray, logit_scale: float, device: str,
        like: "Trainer | None" = None,
    ) -> None:  # fmt: skip
        """``like``: a Trainer on the same ``train`` whose experiment has equal feature settings; its windows and statistics serve again."""
        e = experiment
        if len(train.label) == 0:
            raise EmolibError(
                f"no training window: every clip is shorter than window={e.window} or has no labelled faces; use a shorter one"
            )
        if e.batch_size > len(train.label):
            raise EmolibError(f"batch_size={e.batch_size} is larger than the {len(train.label)} training windows; use a smaller one")
        weights = class_weights(train.label, e.class_weights)
        make_deterministic(e.seed)
        self.experiment, self.device = e, device
        self.model = EmotionModel(e)
        if like:
            for name, buffer in self.model.named_buffers():
                buffer.copy_(like.model.get_buffer(name))
        else:
            fit_statistics(self.model, train)
        self.model.to(device)
        self.classification = Classification(weights, self.model.get_buffer("class_prior").cpu(), e.logit_adjustment).to(device)
        learnable = e.contrastive_scale == "learnable"
        self.contrastive = Contrastive(torch.from_numpy(prompts), logit_scale, targets=e.contrastive_targets, learnable=learnable).to(
            device
        )
        self.windows: DeviceWindows = like.windows if like else DeviceWindows(train, self.model)
        self.label = torch.from_numpy(train.label)
        self.weights = ParameterVector(self.model, training_dtype(device, e.amp))
        groups: list[dict[str, Any]] = [{"params": [self.weights.vector], "weight_decay": e.weight_decay}]
        if e.contrastive_weight and learnable:
            groups.append({"params": [self.contrastive.log_scale], "weight_decay": 0.0})  # CLIP does not decay it
        self.optimiser = torch.optim.AdamW(groups, lr=e.learning_rate, fused=True)
        self.parts = {"model": self.model, "contrastive": self.contrastive, "optimiser": self.optimiser}  # of state.pt
        self.steps = math.ceil(math.ceil(len(train.label) / e.batch_size) / e.accumulation)  # of the optimiser, an epoch
        self.totals = torch.zeros(3, device=device)  # of an epoch: both losses and the hits, summed over windows
        self.replays = Replays(self.windows.device) if self.windows.on_gpu else None

    def learning_rate(self, epoch: int, step: int) -> float:
        """Cosine from learning_rate to min_learning_rate; ``epoch`` and ``step`` within it count from 0."""
        e = self.experiment
        done = epoch / e.epochs if e.schedule == "epoch" else (epoch * self.steps + step) / (e.epochs * self.steps)
        return e.min_learning_rate + (e.learning_rate - e.min_learning_rate) * (1 + math.cos(math.pi * done)) / 2

    def order(self, epoch: int) -> Tensor:
        """int64 [N], the windows of an epoch in their order; depends on seed and epoch only."""
        generator = torch.Generator().manual_seed(epoch_seed(self.experiment.seed, epoch, "order"))
        if self.experiment.sampling == "balanced":
            share = 1 / torch.bincount(self.label, minlength=8)[self.label]
            return torch.multinomial(share.double(), len(self.label), replacement=True, generator=generator)
        return torch.randperm(len(self.label), generator=generator)

    def losses(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Classification loss, contrastive loss (0 when it has no weight) and number of hits of windows ``rows`` [B]."""
        e, kind = self.experiment, self.windows.device.type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=training_dtype(kind, e.amp) is torch.bfloat16):
            logits, embedding = self.weights.worker.decide(*self.windows.batch(rows))
        label = self.windows.label[rows.to(self.windows.device, non_blocking=True)]
        aligned = self.contrastive(embedding, label) if e.contrastive_weight and embedding is not None else logits.new_zeros(())
        return self.classification(logits, label), aligned, (logits.argmax(dim=1) == label).sum()

    def epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch, counted from 0; the host waits for the device before the first step and after the last, never between.

        Steps are replayed as a CUDA graph where the features lie on a GPU, and computed eagerly elsewhere.
        """
        e = self.experiment
        torch.manual_seed(epoch_seed(e.seed, epoch, "dropout"))
        self.weights.worker.train()
        self.totals.zero_()
        order, rates = self.order(epoch), [self.learning_rate(epoch, step) for step in range(self.steps)]
        if self.replays:
            on_device = torch.tensor(rates, device=self.device)
            for group, rate in zip(grouped(order.to(self.device), e), on_device, strict=True):
                self.replays.run(self.advance, rate, *group)
        else:
            for group, number in zip(grouped(order, e), rates, strict=True):
                self.advance(number, *group)
        classification, aligned, accuracy = (self.totals.double() / len(self.label)).tolist()
        return {
            "learning_rate": rates[-1], "train_loss": classification + e.contrastive_weight * aligned,
            "classification_loss": classification, "contrastive_loss": aligned, "train_accuracy": accuracy,
        }  # fmt: skip

    def advance(self, learning_rate: float | Tensor, *group: Tensor) -> None:
        """One optimiser step on the batches ``group`` of window numbers [B]; their scores are added to ``totals``."""
        for rows in group:
            classification, aligned, hits = self.losses(rows)
            ((classification + self.experiment.contrastive_weight * aligned) / len(group)).backward()
            self.weights.collect(first=rows is group[0])
            self.totals += torch.stack([classification.detach() * len(rows), aligned.detach() * len(rows), hits])
        self.step(learning_rate)

    def step(self, learning_rate: float | Tensor) -> None:
        """Clip the collected gradient, update, and empty it. On a GPU a tensor on the device is the rate of every replay."""
        vector, gradient = self.weights.vector, self.weights.gradient
        with torch.no_grad():
            gradient *= (self.experiment.clip_norm / (gradient.norm() + 1e-6)).clamp(max=1)  # as clip_grad_norm_
        vector.grad = gradient
        for group in self.optimiser.param_groups:
            group.update(lr=learning_rate, capturable=vector.is_cuda)  # here, since a state from a CPU says that it is not
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.weights.changed()
        self.contrastive.clamp()


def grouped(order: Tensor, experiment: Experiment) -> list[tuple[Tensor, ...]]:
    """The batches of each optimiser step, from an epoch's window numbers [N], or [M, N] for M models."""
    batches, size = order.split(experiment.batch_size, dim=-1), experiment.accumulation
    return [batches[first : first + size] for first in range(0, len(batches), size)]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained run: the chosen model, its epoch (from 1) and the history, one dict an epoch."""

    model: EmotionModel
    best_epoch: int
    history: list[dict[str, Any]]


def fit(
    experiment: Experiment, train: WindowSet, validation: WindowSet, prompts: np.ndarray, logit_scale: float, folder: Path,
    *, progress: bool = True, device: str | None = None,
) -> Fitted:  # fmt: skip
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
        for epoch in tqdm(range(len(state["history"]), experiment.epochs), desc=folder.name, unit="epoch", disable=not progress):
            row = {"epoch": epoch + 1, **trainer.epoch(epoch)}
            if not math.isfinite(row["train_loss"]):
                raise EmolibError(f"{folder}: {diverged(epoch)}; state.pt keeps epoch {epoch}; lower learning_rate")
            record(state, trainer.model, checks, row)
            save_state(folder / "state.pt", trainer.parts, state)
            write_history(folder, state)
    return fitted(folder, trainer.model, state)


def diverged(epoch: int) -> str:
    """What went wrong in ``epoch``, counted from 0."""
    return f"the loss of epoch {epoch + 1} is not finite"


def record(state: dict[str, Any], model: EmotionModel, checks: DeviceWindows, row: dict[str, Any]) -> None:
    """Score ``model`` after an epoch on ``checks``; into ``state`` goes its ``row`` of history, and the model if it is the chosen one."""
    predicted = evaluation.probabilities(model, checks).argmax(axis=1)
    row["validation_macro_f1"] = float(metrics.macro_f1(checks.windows.label, predicted))
    state["history"].append(row)
    if model.experiment.selection == "last" or row["validation_macro_f1"] > state["best_score"]:
        best = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        state.update(best_score=row["validation_macro_f1"], best_epoch=row["epoch"], best=best)


def fitted(folder: Path, model: EmotionModel, state: dict[str, Any]) -> Fitted:
    """Write history.csv and model.safetensors of a run that has had its epochs; ``model`` becomes the chosen one."""
    write_history(folder, state)  # again, in case the last epoch's process was killed between its two files
    model.load_state_dict(state["best"])
    with atomic_path(folder / "model.safetensors") as temporary:
        temporary.write_bytes(save({name: value.contiguous() for name, value in state["best"].items()}))
    return Fitted(model.eval(), state["best_epoch"], state["history"])


def write_history(folder: Path, state: dict[str, Any]) -> None:
    """history.csv: one row an epoch."""
    write_text(folder / "history.csv", pd.DataFrame(state["history"]).to_csv(index=False))


def epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose in one epoch."""
    return int(hash_of([seed, epoch, purpose]), 16) >> 1


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
        raise EmolibError(f"{path}: damaged, or of another shape than experiment.json says ({reason}); train again") from error
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
        else train_and_evaluate(experiment, prepare(experiment, progress=progress), folder, progress=progress)
    )


def claim(experiment: Experiment, folder: Path) -> dict[str, Any] | None:
    """Write experiment.json into ``folder``, or check that it is there already; metrics.json's content when complete."""
    path = folder / "experiment.json"
    if not path.exists():
        experiment.save(path)
    elif Experiment.load(path).fingerprint("train") != experiment.fingerprint("train"):
        raise WrongCall(f"{folder}: holds another experiment; use another run name, or delete that folder")
    metrics_path = folder / "metrics.json"
    return read_json(metrics_path) if metrics_path.exists() else None


def train_and_evaluate(experiment: Experiment, data: Data, folder: Path, *, progress: bool = True) -> dict[str, Any]:
    """:func:`run` on data at hand; writes every file of DESIGN's Run, metrics.json last."""
    started = time.monotonic()
    remove_leftovers(folder)
    fitted = fit(experiment, data.train, data.validation, data.prompts, data.logit_scale, folder, progress=progress)
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
    experiment: Experiment, data: Data, folder: Path, fitted: Fitted, clips: list[Clip], rows: list[np.ndarray], *, seconds: float
) -> dict[str, Any]:
    """Score a trained run under both protocols, by frame from what :func:`predict_frames` gave, and write its remaining
    files; ``seconds`` it took in this process."""
    result = {
        "window": evaluation.window_score(fitted.model, data.validation), "frame": evaluation.score_of_clips(clips, rows),
        "best_epoch": fitted.best_epoch, "selection": experiment.selection, "parameters": fitted.model.parameter_count(),
        "experiment": experiment.fingerprint("train"), "origin": origin(experiment), "by_frame": experiment.by_frame(),
    }  # fmt: skip
    device = str(fitted.model.get_buffer("class_prior").device)
    arithmetic = str(training_dtype(device, experiment.amp)).removeprefix("torch.")
    write_json(folder / "provenance.json", provenance(device, seed=experiment.seed, arithmetic=arithmetic, wall_seconds=round(seconds, 2)))
    write_json(folder / "metrics.json", result)
    return result
