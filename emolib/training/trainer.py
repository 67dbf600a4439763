"""Model, losses and optimiser of one run, trained an epoch at a time (paper section 4.1)."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emolib.config import Experiment
from emolib.data.datasets import can_show
from emolib.errors import EmolibError, chosen
from emolib.features.batches import Batch, DeviceWindows, drop_streams, fit_statistics
from emolib.features.pooled_sound import audio_width
from emolib.features.train_mode import redrawn
from emolib.features.window_sets import WindowSet
from emolib.losses import Classification, Contrastive, Losses, Objective, class_weights
from emolib.model import EmotionModel
from emolib.system.device import autocast, make_deterministic, training_dtype
from emolib.system.files import hash_of
from emolib.training.cuda_graph import Replays

# What is summed over an epoch: each window's classification loss times its class weight, these
# weights, each batch's contrastive loss times its windows, and the hits.
TOTALS = ("classification", "weight", "contrastive", "hits")


class Learner(nn.Module):
    """The model and what it is trained for: a batch in, its losses out.

    A step differentiates this, alone or stacked. A batch comes in groups of windows with like
    lengths of sound: each window goes through the model by itself, and the losses are of all.
    """

    def __init__(self, model: EmotionModel, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, groups: Sequence[Batch], labels: Tensor) -> tuple[Losses, Tensor]:
        """Windows and their labels int64 [B] to the losses and the number of
        windows classified rightly.
        """
        experiment = self.model.experiment
        if self.training and experiment.modality_dropout:
            faceless = self.model.get_buffer("visual_mean")
            rate = experiment.modality_dropout
            groups = [drop_streams(batch, rate, faceless) for batch in groups]
        dtype = training_dtype(labels.device, experiment.amp)
        with autocast(labels.device, dtype):
            outputs = [self.model(*batch) for batch in groups]
        logits = torch.cat([each for each, _ in outputs])
        embeddings = [each for _, each in outputs if each is not None]
        embedding = torch.cat(embeddings) if embeddings else None
        losses = self.objective(logits, embedding, labels)
        return losses, (logits.argmax(dim=1) == labels).sum()


def make_learner(
    experiment: Experiment, train: WindowSet, prompts: np.ndarray, logit_scale: float
) -> Learner:
    """A new model with its training set's statistics, and its objective; prompts [8, D_v].

    On the CPU.

    Raises EmolibError when a class has no training window.
    """
    e = experiment
    model = EmotionModel(e, train.visual.shape[1], audio_width(e, train))
    fit_statistics(model, train)
    prior = model.get_buffer("class_prior")
    classification = Classification(
        class_weights(train.label, e.class_weights, can_show(e)),
        prior.clone(),
        e.logit_adjustment,
        e.focal_gamma,
    )
    scales = {"learnable": True, "frozen": False}
    learnable = chosen("contrastive_scale", e.contrastive_scale, scales)
    contrastive = Contrastive(
        torch.from_numpy(prompts),
        logit_scale,
        targets=e.contrastive_targets,
        learnable=learnable,
    )
    return Learner(model, Objective(classification, contrastive, e.contrastive_weight))


def make_optimiser(experiment: Experiment, learner: Learner) -> torch.optim.Optimizer:
    """AdamW (paper section 4.1); the contrastive scale does not decay, as in CLIP.

    Steps set the learning rate.
    """
    scale = list(learner.objective.contrastive.parameters())
    groups = [
        {"params": list(learner.model.parameters()), "weight_decay": experiment.weight_decay},
        {"params": [each for each in scale if each.requires_grad], "weight_decay": 0.0},
    ]
    on = next(learner.parameters()).device.type
    return torch.optim.AdamW(groups, experiment.learning_rate, fused=on in ("cpu", "cuda") or None)


class Trainer:
    """One run's learner and optimiser on its training windows;
    ``run.fit`` and the stack drive it.
    """

    def __init__(
        self,
        experiment: Experiment,
        train: WindowSet,
        prompts: np.ndarray,
        logit_scale: float,
        device: str,
        windows: DeviceWindows | None = None,
    ) -> None:
        """``windows``: ``train`` on the device already, from another trainer of the same stack.

        Raises EmolibError when there are too few training windows for a batch,
        or none of some class.
        """
        e = experiment
        if len(train.label) == 0:
            raise EmolibError(
                "no training window: every clip is shorter than "
                f"window={e.window} or has no labelled "
                "faces; use a shorter one"
            )
        if e.batch_size > len(train.label):
            raise EmolibError(
                f"batch_size={e.batch_size} is larger than the "
                f"{len(train.label)} training windows; "
                "use a smaller one"
            )
        make_deterministic(e.seed)
        self.experiment = e
        self.learner = make_learner(e, train, prompts, logit_scale).to(device)
        self.model = self.learner.model
        self.optimiser = make_optimiser(e, self.learner)
        # The parts of state.pt.
        self.parts: dict[str, Any] = {"learner": self.learner, "optimiser": self.optimiser}
        self.train = train
        self.windows = windows or DeviceWindows(train, self.model)
        self.label = torch.from_numpy(train.label)
        batches = math.ceil(len(train.label) / e.batch_size)
        self.steps = math.ceil(batches / e.accumulation)  # of the optimiser, an epoch
        self.totals = torch.zeros(len(TOTALS), device=device)
        # A graph is of the features that it was recorded with.
        eager = e.redraws_sound or not self.windows.on_gpu
        self.replays = None if eager else Replays(self.windows.device)

    def learning_rate(self, epoch: int, step: int) -> float:
        """Cosine from learning_rate to min_learning_rate;
        ``epoch`` and ``step`` within it count from 0.
        """
        e = self.experiment
        done = epoch / e.epochs
        if chosen("schedule", e.schedule, {"epoch": False, "step": True}):
            done += step / (e.epochs * self.steps)
        above = (e.learning_rate - e.min_learning_rate) * (1 + math.cos(math.pi * done)) / 2
        return e.min_learning_rate + above

    def order(self, epoch: int) -> Tensor:
        """int64 [N], the windows of an epoch in their order; depends on seed and epoch only."""
        generator = torch.Generator().manual_seed(epoch_seed(self.experiment.seed, epoch, "order"))
        sampling = self.experiment.sampling
        if chosen("sampling", sampling, {"shuffle": False, "balanced": True}):
            share = 1 / torch.bincount(self.label, minlength=8)[self.label]
            return torch.multinomial(
                share.double(), len(self.label), replacement=True, generator=generator
            )
        return torch.randperm(len(self.label), generator=generator)

    def epoch(self, epoch: int) -> dict[str, float]:
        """Train one epoch, counted from 0, and return its row of history.

        The host waits for the device before the first step and after the last, never between. Steps
        are replayed as a CUDA graph where the features lie on a GPU, and computed eagerly
        elsewhere. With ``encoder_mode=train`` the sound is encoded anew first.
        """
        if self.experiment.redraws_sound:
            drawn = redrawn(
                self.experiment, self.train, epoch_seed(self.experiment.seed, epoch, "encoders")
            )
            self.windows = DeviceWindows(drawn, self.model)
        torch.manual_seed(epoch_seed(self.experiment.seed, epoch, "dropout"))
        self.learner.train()
        self.totals.zero_()
        order = self.order(epoch)
        rates = [self.learning_rate(epoch, step) for step in range(self.steps)]
        steps = grouped(order, self.experiment, self.windows)
        if self.replays:
            on_device = torch.tensor(rates, device=self.windows.device)
            for rows, rate in zip(sent(steps, self.windows.device), on_device, strict=True):
                self.replays.run(self.advance, rate, *rows)
        else:
            for rows, number in zip(steps, rates, strict=True):
                self.advance(number, *rows)
        return self.history(self.totals, len(order), rates[-1])

    def history(self, totals: Tensor, windows: int, learning_rate: float) -> dict[str, float]:
        """A row of history from the epoch's ``totals`` [4] over so many ``windows``.

        The classification loss is the weighted mean over the epoch's windows, however they were
        batched. The contrastive loss is a mean of batches: it compares the windows within each.
        """
        classification, weight, contrastive, hits = totals.tolist()
        classification, contrastive = classification / weight, contrastive / windows
        return {
            "learning_rate": learning_rate,
            "train_loss": classification + self.experiment.contrastive_weight * contrastive,
            "classification_loss": classification,
            "contrastive_loss": contrastive,
            "train_accuracy": hits / windows,
        }

    def advance(self, learning_rate: float | Tensor, *groups: Tensor) -> None:
        """One optimiser step on batches of window numbers, each in its groups;
        their losses and hits are added to ``totals``.
        """
        batches = self.windows.by_batch(groups)
        for rows in batches:
            losses, hits = self.losses(*rows)
            (losses.total / len(batches)).backward()
            self.totals += batch_totals(losses, hits, sum(map(len, rows)))
        self.step(learning_rate)

    def losses(self, *groups: Tensor) -> tuple[Losses, Tensor]:
        """The losses of a batch of windows, and how many are classified rightly.

        ``groups``: their numbers as ``DeviceWindows.groups`` gives them; one group [B] will do.
        """
        return self.learner(self.windows.batches(groups), self.windows.labels(torch.cat(groups)))

    def step(self, learning_rate: float | Tensor) -> None:
        """Clip the collected gradients, update, and empty them.

        On a GPU the rate is a tensor on the device, which a replayed graph reads anew each time.
        """
        nn.utils.clip_grad_norm_(self.model.parameters(), self.experiment.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
            if "capturable" in group:  # here, since a state from a CPU says that it is not
                group["capturable"] = isinstance(learning_rate, Tensor)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.learner.objective.contrastive.clamp()


def batch_totals(losses: Losses, hits: Tensor, windows: int) -> Tensor:
    """A batch's part of the epoch's TOTALS: [4], or [4, M] for M models."""
    sums = (
        losses.classification.detach() * losses.weight,
        losses.weight,
        losses.contrastive.detach() * windows,
        hits,
    )
    return torch.stack(sums)


Step = tuple[Tensor, ...]  # the groups of an optimiser step's batches, batch after batch


def grouped(order: Tensor, experiment: Experiment, windows: DeviceWindows) -> list[Step]:
    """The groups of each optimiser step, from an epoch's window numbers [N], or [M, N] for
    M models.
    """
    batches, size = order.split(experiment.batch_size, dim=-1), experiment.accumulation
    parts = [windows.groups(rows) for rows in batches]
    steps = [parts[first : first + size] for first in range(0, len(parts), size)]
    return [tuple(itertools.chain.from_iterable(step)) for step in steps]


def sent(steps: list[Step], device: torch.device) -> Iterator[Step]:
    """The same on the device, to which all are sent at once."""
    flat = [rows for step in steps for rows in step]
    there = torch.cat([rows.flatten() for rows in flat]).to(device)
    pieces = iter(there.split([rows.numel() for rows in flat]))
    for step in steps:
        yield tuple(next(pieces).view(rows.shape) for rows in step)


def epoch_seed(seed: int, epoch: int, purpose: str) -> int:
    """A seed of 63 bits for one purpose in one epoch."""
    return int(hash_of([seed, epoch, purpose]), 16) >> 1
