"""What both encoders share: they stay frozen."""

import torch
from torch import nn

from emolib.system.device import exact_float32

ARITHMETIC = 4  # raised when the same weights and precision give other bits than before, so that stores never mix


class Frozen(nn.Module):
    """A module that stays in eval mode and takes no gradient, whatever a training loop asks of it."""

    def freeze(self) -> None:
        exact_float32()
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Frozen":
        super().train(False)
        return self

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device
