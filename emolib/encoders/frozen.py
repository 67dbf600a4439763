"""What both encoders share: they stay frozen, and what their features depend on has a name."""

from pathlib import Path

import torch
from torch import nn

from emolib.system.device import exact_float32
from emolib.system.files import hash_file, hash_of

# raised when the same weights and precision give other bits than before, so that stores never mix
ARITHMETIC = 5

CONFIGS = ("open_clip_config.json", "config.json", "preprocessor_config.json")


def hash_of_configs(folder: Path) -> str:
    """A hash of the files that say how the folder's weights are to be used:
    activation, epsilon, mean and so on.
    """
    present = [name for name in CONFIGS if (folder / name).is_file()]
    return hash_of({name: hash_file(folder / name) for name in present})


class Frozen(nn.Module):
    """A module that stays in eval mode and takes no gradient,
    whatever a training loop asks of it.
    """

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
