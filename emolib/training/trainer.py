"""Model, losses and optimiser of one run, an epoch at a time (paper section 4.1)."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from emolib.config import Experiment
from emolib.errors import EmolibError
from emolib.features.batches import DeviceWindows, fit_statistics
from emolib.features.window_sets import WindowSet
from emolib.losses import Classification, Contrastive, class_weights
from emolib.model import EmotionModel
from emolib.parameter_vector import ParameterVector
from emolib.system.arithmetic import training_dtype
from emolib.system.device import make_deterministic
from emolib.system.files import (
    hash_of,
)
from emolib.training.cuda_graph import Replays


class Trainer:
    """Model, losses and optimiser of one run. ``fit`` drives it; the benchmark and the stacked runs use its parts."""

    def __init__(
        self,
        experiment: Experiment,
        train: WindowSet,
        prompts: np.ndarray,
        logit_scale: float,
        device: str,
        like: "Trainer | None" = None,
    ) -> None:
        """``like``: a Trainer on the same ``train`` whose experiment has equal feature settings; its windows and statistics serve again."""
        e = experiment
        if len(train.label) == 0:
            raise EmolibError(
                f"no training window: every clip is shorter than window={e.window} or has no labelled faces; use a shorter one"
            )
        if e.batch_size > len(train.label):
            raise EmolibError(
                f"batch_size={e.batch_size} is larger than the {len(train.label)} training windows; use a smaller one"
            )
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
        self.classification = Classification(
            weights, self.model.get_buffer("class_prior").cpu(), e.logit_adjustment
        ).to(device)
        learnable = e.contrastive_scale == "learnable"
        self.contrastive = Contrastive(
            torch.from_numpy(prompts),
            logit_scale,
            targets=e.contrastive_targets,
            learnable=learnable,
        ).to(device)
        self.windows: DeviceWindows = like.windows if like else DeviceWindows(train, self.model)
        self.label = torch.from_numpy(train.label)
        self.weights = ParameterVector(self.model, training_dtype(device, e.amp))
        groups: list[dict[str, Any]] = [
            {"params": [self.weights.vector], "weight_decay": e.weight_decay}
        ]
        if e.contrastive_weight and learnable:
            groups.append(
                {"params": [self.contrastive.log_scale], "weight_decay": 0.0}
            )  # CLIP does not decay it
        self.optimiser = torch.optim.AdamW(groups, lr=e.learning_rate, fused=True)
        self.parts = {
            "model": self.model,
            "contrastive": self.contrastive,
            "optimiser": self.optimiser,
        }  # of state.pt
        self.steps = math.ceil(
            math.ceil(len(train.label) / e.batch_size) / e.accumulation
        )  # of the optimiser, an epoch
        self.totals = torch.zeros(
            3, device=device
        )  # of an epoch: both losses and the hits, summed over windows
        self.replays = Replays(self.windows.device) if self.windows.on_gpu else None

    def learning_rate(self, epoch: int, step: int) -> float:
        """Cosine from learning_rate to min_learning_rate; ``epoch`` and ``step`` within it count from 0."""
        e = self.experiment
        done = (
            epoch / e.epochs
            if e.schedule == "epoch"
            else (epoch * self.steps + step) / (e.epochs * self.steps)
        )
        return (
            e.min_learning_rate
            + (e.learning_rate - e.min_learning_rate) * (1 + math.cos(math.pi * done)) / 2
        )

    def order(self, epoch: int) -> Tensor:
        """int64 [N], the windows of an epoch in their order; depends on seed and epoch only."""
        generator = torch.Generator().manual_seed(epoch_seed(self.experiment.seed, epoch, "order"))
        if self.experiment.sampling == "balanced":
            share = 1 / torch.bincount(self.label, minlength=8)[self.label]
            return torch.multinomial(
                share.double(), len(self.label), replacement=True, generator=generator
            )
        return torch.randperm(len(self.label), generator=generator)

    def losses(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Classification loss, contrastive loss (0 when it has no weight) and number of hits of windows ``rows`` [B]."""
        e, kind = self.experiment, self.windows.device.type
        with torch.autocast(
            kind, dtype=torch.bfloat16, enabled=training_dtype(kind, e.amp) is torch.bfloat16
        ):
            logits, embedding = self.weights.worker.decide(*self.windows.batch(rows))
        label = self.windows.label[rows.to(self.windows.device, non_blocking=True)]
        aligned = (
            self.contrastive(embedding, label)
            if e.contrastive_weight and embedding is not None
            else logits.new_zeros(())
        )
        return self.classification(logits, label), aligned, (logits.argmax(dim=1) == label).sum()

    def epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch, counted from 0; the host waits for the device before the first step and after the last, never between.

        Steps are replayed as a CUDA graph where the features lie on a GPU, and computed eagerly elsewhere.
        """
        e = self.experiment
        torch.manual_seed(epoch_seed(e.seed, epoch, "dropout"))
        self.weights.worker.train()
        self.totals.zero_()
        order, rates = (
            self.order(epoch),
            [self.learning_rate(epoch, step) for step in range(self.steps)],
        )
        if self.replays:
            on_device = torch.tensor(rates, device=self.device)
            for group, rate in zip(grouped(order.to(self.device), e), on_device, strict=True):
                self.replays.run(self.advance, rate, *group)
        else:
            for group, number in zip(grouped(order, e), rates, strict=True):
                self.advance(number, *group)
        classification, aligned, accuracy = (self.totals.double() / len(self.label)).tolist()
        return {
            "learning_rate": rates[-1],
            "train_loss": classification + e.contrastive_weight * aligned,
            "classification_loss": classification,
            "contrastive_loss": aligned,
            "train_accuracy": accuracy,
        }

    def advance(self, learning_rate: float | Tensor, *group: Tensor) -> None:
        """One optimiser step on the batches ``group`` of window numbers [B]; their scores are added to ``totals``."""
        for rows in group:
            classification, aligned, hits = self.losses(rows)
            (
                (classification + self.experiment.contrastive_weight * aligned) / len(group)
            ).backward()
            self.weights.collect(first=rows is group[0])
            self.totals += torch.stack(
                [classification.detach() * len(rows), aligned.detach() * len(rows), hits]
            )
        self.step(learning_rate)

    def step(self, learning_rate: float | Tensor) -> None:
        """Clip the collected gradient, update, and empty it. On a GPU a tensor on the device is the rate of every replay."""
        vector, gradient = self.weights.vector, self.weights.gradient
        with torch.no_grad():
            gradient *= (self.experiment.clip_norm / (gradient.norm() + 1e-6)).clamp(
                max=1
            )  # as clip_grad_norm_
        vector.grad = gradient
        for group in self.optimiser.param_groups:
            group.update(
                lr=learning_rate, capturable=vector.is_cuda
            )  # here, since a state from a CPU says that it is not
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.weights.changed()
        self.contrastive.clamp()


def grouped(order: Tensor, experiment: Experiment) -> list[tuple[Tensor, ...]]:
    """The batches of each optimiser step, from an epoch's window numbers [N], or [M, N] for M models."""
    batches, size = order.split(experiment.batch_size, dim=-1), experiment.accumulation
    return [batches[first : first + size] for first in range(0, len(batches), size)]


def epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose in one epoch."""
    return int(hash_of([seed, epoch, purpose]), 16) >> 1
