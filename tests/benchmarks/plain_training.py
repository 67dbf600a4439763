"""The same model in the loop one would write first; what ``emolib bench train`` compares with.

A DataLoader over windows, float32 features sliced per item, plain AdamW, ``loss.item()`` in every
step.
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from emolib.system.device import training_dtype


class PlainWindows(Dataset):
    """A window as (visual [T, 512], audio [S, 768], label); float32 features, sliced per item."""

    def __init__(self, windows: Any) -> None:
        self.windows = windows
        self.visual = torch.from_numpy(windows.visual).float()
        self.audio = torch.from_numpy(windows.audio).float()

    def __len__(self) -> int:
        return len(self.windows.label)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, int]:
        w = self.windows
        start = int(w.audio_start[i])
        return (
            self.visual[torch.from_numpy(w.frames[i])],
            self.audio[start : start + int(w.audio_length[i])],
            int(w.label[i]),
        )


class PlainLoop:
    """The eager loop; the weights and the order come from a Trainer of emolib."""

    def __init__(self, trainer: Any, windows: Any) -> None:
        e = trainer.experiment
        self.e, self.device = e, trainer.windows.device
        self.low = training_dtype(self.device, e.amp) is torch.bfloat16
        self.model = copy.deepcopy(trainer.model).train()
        objective = trainer.learner.objective
        self.data = PlainWindows(windows)
        self.weights = objective.classification.weights
        self.prompts = objective.contrastive.prompts
        self.log_scale = nn.Parameter(objective.contrastive.log_scale.detach().clone())
        parameters = [
            {"params": list(self.model.parameters())},
            {"params": [self.log_scale], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            parameters, lr=e.learning_rate, weight_decay=e.weight_decay
        )

    def steps(self, order: Tensor, learning_rates: list[float]) -> Iterator[float]:
        """Train on the windows ``order`` [n] in their order; the loss of each step."""
        loader = DataLoader(self.data, batch_size=self.e.batch_size, sampler=order.tolist())
        for (visual, audio, label), rate in zip(loader, learning_rates, strict=False):
            visual, audio, label = (
                visual.to(self.device),
                audio.to(self.device),
                label.to(self.device),
            )
            with torch.autocast(
                torch.device(self.device).type, dtype=torch.bfloat16, enabled=self.low
            ):
                logits, embedding = self.model(visual, audio)
            loss = functional.cross_entropy(logits.float(), label, weight=self.weights)
            similarity = self.log_scale.exp() * embedding.float() @ self.prompts[label].T
            target = torch.arange(len(label), device=self.device)
            aligned = (
                functional.cross_entropy(similarity, target)
                + functional.cross_entropy(similarity.T, target)
            ) / 2
            loss = loss + self.e.contrastive_weight * aligned
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.e.clip_norm)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
            with torch.no_grad():
                self.log_scale.clamp_(max=float(np.log(100)))
            yield loss.item()
