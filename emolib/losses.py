"""Class-weighted cross-entropy, prompt supervision, and their sum (paper section 3.5)."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emolib.errors import EmolibError, chosen
from emolib.labels import EXPRESSIONS, NUM_CLASSES, class_counts

MAX_SCALE = 100.0  # CLIP's bound on its logit scale


def class_weights(
    labels: np.ndarray, kind: str, classes: Sequence[int] = range(NUM_CLASSES)
) -> Tensor:
    """float32 [8]: N / (8 n_c) of the training windows' labels [N]; ones for kind ``none``.

    The paper (section 4.1) says "class-weighted"; the formula is the released code's. ``classes``:
    those that the data set can show, in the place of all 8; the others get no weight. Raises
    EmolibError naming classes without a window under ``inverse``, WrongCall for another kind.
    """
    if not chosen("class_weights", kind, {"inverse": True, "none": False}):
        return torch.ones(NUM_CLASSES)
    shown = list(classes)
    counts = class_counts(labels)[shown]
    if not counts.all():
        absent = ", ".join(EXPRESSIONS[shown[k]] for k in np.flatnonzero(counts == 0))
        raise EmolibError(
            f"no training window of class {absent}: add clips of it, or set class_weights=none"
        )
    weights = torch.zeros(NUM_CLASSES)
    weights[shown] = torch.from_numpy(counts.sum() / (len(shown) * counts)).float()
    return weights


class Classification(nn.Module):
    """L_cls: cross-entropy, each class by its weight.

    0 in the paper: ``adjustment`` tau, tau * log(class share) added to the logits in training
    (arXiv 2007.07314); ``focal_gamma``, each loss times (1 - p)^gamma (arXiv 1708.02002).
    """

    def __init__(
        self, weights: Tensor, prior: Tensor, adjustment: float = 0.0, focal_gamma: float = 0.0
    ) -> None:
        super().__init__()
        self.focal_gamma = focal_gamma
        self.weights: Tensor
        self.shift: Tensor
        self.register_buffer("weights", weights)  # [8]
        tiny = torch.finfo(prior.dtype).tiny  # an absent class: far below every other, yet finite
        self.register_buffer("shift", adjustment * prior.clamp(min=tiny).log())  # [8]

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """logits [B, 8] and labels int64 [B] to the weighted mean, a scalar."""
        logits = logits + self.shift
        if not self.focal_gamma:
            return functional.cross_entropy(logits, labels, weight=self.weights)
        losses = functional.cross_entropy(logits, labels, reduction="none")  # -log p, (B,)
        weights = self.weights[labels]
        return (weights * (1 - (-losses).exp()) ** self.focal_gamma * losses).sum() / weights.sum()


# Of each ``Experiment.contrastive_targets``: labels [B] to [B, B], 1 where prompt j is of window i.
POSITIVES: dict[str, Callable[[Tensor], Tensor]] = {
    "pairs": lambda labels: torch.eye(len(labels), device=labels.device),
    "classes": lambda labels: (labels[:, None] == labels[None, :]).float(),
}


class Contrastive(nn.Module):
    """L_con: a window's embedding v_i belongs to the prompt t_i of its label, in both directions.

    S_ij = s v_i . t_j, both l2-normalised; L_con is the mean of the cross-entropies along rows
    (video to text) and columns (text to video). Positives: as published j = i only (``pairs``), or
    all j of i's class (``classes``), which with one prompt a class is the same loss.
    The scale s starts at CLIP's, at most 100 (:meth:`clamp`), and is learned if ``learnable``.
    """

    def __init__(
        self, prompts: Tensor, scale: float, *, targets: str = "pairs", learnable: bool = True
    ) -> None:
        super().__init__()
        self.prompts: Tensor
        self.register_buffer("prompts", functional.normalize(prompts.float(), dim=1))  # [8, D_v]
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learnable)
        self.positives = chosen("contrastive_targets", targets, POSITIVES)

    def forward(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """l2-normalised embedding [B, D_v] and labels int64 [B] to a scalar."""
        text = self.prompts[labels]  # (B, D_v)
        similarity = self.log_scale.exp() * (embedding @ text.t())  # (B, B): video by text
        positives = self.positives(labels)
        positives = positives / positives.sum(dim=1, keepdim=True)  # symmetric, rows add up to 1
        video_to_text = functional.cross_entropy(similarity, positives)
        text_to_video = functional.cross_entropy(similarity.t(), positives)
        return (video_to_text + text_to_video) / 2

    @torch.no_grad()
    def clamp(self) -> None:
        """Hold s at 100 or less, as CLIP does; call after an optimiser step."""
        self.log_scale.clamp_(max=math.log(MAX_SCALE))


class Losses(NamedTuple):
    """What a batch costs, scalars: ``total`` = ``classification`` + lambda * ``contrastive``."""

    total: Tensor
    classification: Tensor  # the weighted mean over the batch
    weight: Tensor  # sum of the class weights that this mean is divided by
    contrastive: Tensor  # 0 where it has no weight


class Objective(nn.Module):
    """L = L_cls + lambda L_con (equation 3); lambda is 0.1 in the paper."""

    def __init__(
        self, classification: Classification, contrastive: Contrastive, contrastive_weight: float
    ) -> None:
        super().__init__()
        self.classification, self.contrastive = classification, contrastive
        self.contrastive_weight = contrastive_weight

    def forward(self, logits: Tensor, embedding: Tensor | None, labels: Tensor) -> Losses:
        """logits [B, 8], embedding [B, D_v] (None: a model without faces), labels int64 [B]."""
        classification = self.classification(logits, labels)
        contrastive = torch.zeros_like(classification)
        if self.contrastive_weight and embedding is not None:
            contrastive = self.contrastive(embedding, labels)
        total = classification + self.contrastive_weight * contrastive
        weight = self.classification.weights[labels].sum()
        return Losses(total, classification, weight, contrastive)
