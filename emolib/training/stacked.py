"""M runs at once: one batched computation over the very module that a single run trains.

``torch.func`` stacks the learners' parameters along a new first axis and maps the learner over it;
whatever the model and the losses compute is what the stack computes. Each run keeps its own
trainer: its parameters and buffers are views into the stack, and its own optimiser updates the
parameters. So each run has its own initial weights, batches, dropout, learning rate and best epoch,
and equals the run trained alone up to rounding (with dropout: in distribution).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from emolib.config import Experiment
from emolib.errors import WrongCall
from emolib.features.batches import Batch
from emolib.features.window_sets import WindowSet
from emolib.losses import Losses
from emolib.system.files import hash_of
from emolib.training.cuda_graph import Replays
from emolib.training.trainer import TOTALS, Trainer, batch_totals, epoch_seed, grouped, sent

# Settings in which the runs of a stack may differ.
FREE = ("preset", "seed", "learning_rate", "min_learning_rate", "weight_decay", "seeds", "windows")


def stack_key(experiment: Experiment) -> str:
    """Equal for experiments that can be trained as one stack: those that read the same features."""
    free = () if experiment.redraws_sound else FREE
    return hash_of({name: value for name, value in vars(experiment).items() if name not in free})


class Stack:
    """The runs of ``experiments`` on the same windows.

    Raises WrongCall when they differ in more than FREE.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        train: WindowSet,
        prompts: np.ndarray,
        logit_scale: float,
        device: str,
    ) -> None:
        if len({stack_key(experiment) for experiment in experiments}) != 1:
            raise WrongCall(f"a stack needs experiments that differ in {', '.join(FREE)} only")
        self.trainers: list[Trainer] = []
        for experiment in experiments:
            windows = self.trainers[0].windows if self.trainers else None
            self.trainers.append(Trainer(experiment, train, prompts, logit_scale, device, windows))
        self.lead = self.trainers[0]
        self.learner, self.windows = self.lead.learner, self.lead.windows
        learners = [trainer.learner for trainer in self.trainers]
        self.parameters, self.buffers = stack_module_state(learners)  # [M, ...] each
        stacked = {**self.parameters, **self.buffers}
        for m, learner in enumerate(learners):
            for name, tensor in (*learner.named_parameters(), *learner.named_buffers()):
                tensor.data = stacked[name].detach()[m]
        self.totals = torch.zeros(len(TOTALS), len(learners), device=device)
        self.replays = Replays(self.windows.device) if self.windows.on_gpu else None

    def epoch(self, epoch: int) -> list[dict[str, float]]:
        """Train one epoch, counted from 0; a row of history for each run."""
        seeds = [trainer.experiment.seed for trainer in self.trainers]
        torch.manual_seed(epoch_seed(int(hash_of(seeds), 16), epoch, "dropout"))
        self.learner.train()
        self.totals.zero_()
        orders = torch.stack([trainer.order(epoch) for trainer in self.trainers])  # [M, N]
        rates = [
            [trainer.learning_rate(epoch, step) for trainer in self.trainers]
            for step in range(self.lead.steps)
        ]
        steps = grouped(orders, self.lead.experiment, self.windows)
        if self.replays:
            on_device = torch.tensor(rates, device=self.windows.device)
            for rows, rate in zip(sent(steps, self.windows.device), on_device, strict=True):
                self.replays.run(self.advance, rate, *rows)
        else:
            for rows, numbers in zip(steps, rates, strict=True):
                self.advance(numbers, *rows)
        windows = orders.shape[1]
        return [
            trainer.history(totals, windows, rate)
            for trainer, totals, rate in zip(self.trainers, self.totals.T, rates[-1], strict=True)
        ]

    def advance(self, rates: Tensor | list[float], *groups: Tensor) -> None:
        """``Trainer.advance`` of every run: learning rates [M],
        batches of window numbers, each in its groups [M, b].
        """
        batches = self.windows.by_batch(groups)
        for rows in batches:
            losses, hits = self.losses(*rows)
            (losses.total.sum() / len(batches)).backward()
            self.totals += batch_totals(losses, hits, sum(part.shape[1] for part in rows))
        self.step(rates)

    def step(self, rates: Tensor | list[float]) -> None:
        """``Trainer.step`` of every run, with its part of the gradients, which are emptied."""
        for m, trainer in enumerate(self.trainers):
            for name, parameter in trainer.learner.named_parameters():
                gradient = self.parameters[name].grad
                parameter.grad = None if gradient is None else gradient[m]
            trainer.step(rates[m])
        for parameter in self.parameters.values():
            parameter.grad = None

    def losses(self, *groups: Tensor) -> tuple[Losses, Tensor]:
        """The losses of every run on its own batch, and its hits: [M] each.

        ``groups``: window numbers [M, b] as ``DeviceWindows.groups`` gives them.
        """

        def of_one(parameters: Any, buffers: Any, batches: list[Batch], labels: Tensor) -> Any:
            return functional_call(self.learner, (parameters, buffers), (batches, labels))

        models = len(self.trainers)
        together = self.windows.batches([rows.flatten() for rows in groups])  # M * b windows
        batches = [
            Batch(*(None if x is None else x.unflatten(0, (models, -1)) for x in batch))
            for batch in together
        ]
        axes: Any = [Batch(*(None if x is None else 0 for x in batch)) for batch in together]  # type: ignore[arg-type]
        labels = self.windows.labels(torch.cat(groups, dim=1))
        mapped = vmap(of_one, in_dims=(0, 0, axes, 0), randomness="different")
        return mapped(self.parameters, self.buffers, batches, labels)

    def state(self) -> list[dict[str, Any]]:
        """Everything that a step changes, run by run."""
        return [
            {name: part.state_dict() for name, part in trainer.parts.items()}
            for trainer in self.trainers
        ]

    def load(self, state: list[dict[str, Any]]) -> None:
        """Put back what :meth:`state` gave.

        Raises RuntimeError, ValueError or KeyError for another stack's.
        """
        for trainer, parts in zip(self.trainers, state, strict=True):
            for name, part in trainer.parts.items():
                part.load_state_dict(parts[name])
