"""The losses: class-weighted cross-entropy and bidirectional contrastive alignment with the prompts (paper section 3.5)."""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emolib.errors import EmolibError
from emolib.labels import EXPRESSIONS, NUM_CLASSES, class_counts

MAX_SCALE = 100.0  # CLIP's bound on the logit scale


def class_weights(labels: np.ndarray, kind: str) -> Tensor:
    """float32 [8]: N / (8 n_c) over window labels [N] for ``inverse`` (released code), ones for ``none``.

    Raises EmolibError naming the classes without a window under ``inverse``.
    """
    counts = class_counts(labels)
    if kind == "none":
        return torch.ones(NUM_CLASSES)
    if not counts.all():
        absent = ", ".join(EXPRESSIONS[c] for c in np.flatnonzero(counts == 0))
        raise EmolibError(
            f"no training window of class {absent}: add clips that show it, or set class_weights=none"
        )
    return torch.from_numpy(counts.sum() / (NUM_CLASSES * counts)).float()


class Classification(nn.Module):
    """Cross-entropy weighted by class; with ``adjustment`` tau the logits of a training step get tau * log prior added."""

    def __init__(self, weights: Tensor, prior: Tensor, adjustment: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        tiny = torch.finfo(prior.dtype).tiny  # an absent class: far below every other, yet finite
        self.register_buffer("shift", adjustment * prior.clamp(min=tiny).log())

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits [B, 8] and labels [B] to the weighted mean, a scalar."""
        return functional.cross_entropy(
            logits + self.get_buffer("shift"), labels, weight=self.get_buffer("weights")
        )


class Contrastive(nn.Module):
    """Bidirectional contrastive loss between video embeddings and the prompts of their labels.

    ``pairs``: the target is the position in the batch, as published, so two samples of one class are each other's
    negatives. ``classes``: all same-class pairs are positives, equally likely (multi-positive cross-entropy).
    The scale starts at CLIP's and, when learnable, is held at 100 or less by :meth:`clamp` as in CLIP.
    """

    def __init__(
        self, prompts: Tensor, scale: float, *, targets: str = "pairs", learnable: bool = True
    ) -> None:
        super().__init__()
        self.register_buffer("prompts", functional.normalize(prompts.float(), dim=1))  # [8, 512]
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learnable)
        self.targets = targets

    def forward(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """l2-normalised embedding [B, 512] and labels [B] to the mean of both directions, a scalar."""
        similarity = self.log_scale.exp() * (
            embedding @ self.get_buffer("prompts")[labels].t()
        )  # [B, B]: video by text
        if self.targets == "pairs":
            target = torch.arange(len(labels), device=labels.device)
        else:
            target = (labels[:, None] == labels[None, :]).float()
            target = target / target.sum(
                dim=1, keepdim=True
            )  # symmetric: a class has equally many videos and texts
        by_video, by_text = (
            functional.cross_entropy(similarity, target),
            functional.cross_entropy(similarity.t(), target),
        )
        return (by_video + by_text) / 2

    @torch.no_grad()
    def clamp(self) -> None:
        """Hold the scale at 100 or less; call after an optimiser step."""
        self.log_scale.clamp_(max=math.log(MAX_SCALE))
