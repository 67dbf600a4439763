"""Ours: a window's sound as one step, the mean and deviation of its steps (statistics pooling,
Snyder et al., 2018; docs/method.md, Pooling and classifier). To the model it is a step like others.
"""

import numpy as np
import torch
from torch import Tensor

from emolib.config import Experiment
from emolib.errors import chosen
from emolib.features.window_sets import WindowSet
from emolib.fusion import masked_mean


def pools_sound(experiment: Experiment) -> bool:
    """Whether the model gets a window's sound as one step."""
    return chosen("audio_pooling", experiment.audio_pooling, {"mean": False, "statistics": True})


def audio_width(experiment: Experiment, windows: WindowSet) -> int:
    """Numbers of a step of sound as the model gets it."""
    encoded = windows.audio.shape[1]
    return 2 * encoded if pools_sound(experiment) else encoded


def masked_statistics(x: Tensor, length: Tensor | None = None) -> Tensor:
    """Mean and standard deviation over the valid steps of x [B, S, C] to [B, 2 C]; the deviation is
    0.001 at least, so that a constant is no division by zero.
    """
    mean = masked_mean(x, length)
    variance = masked_mean((x - mean[:, None]).square(), length)
    return torch.cat([mean, variance.clamp(min=1e-6).sqrt()], dim=1)


def as_one_step(audio: Tensor, length: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A batch's sound [B, S, D_a] as float32 [B, 1, 2 D_a], and its length: 0 stays 0, else 1."""
    step = masked_statistics(audio.float(), length)[:, None]
    return step, None if length is None else length.clamp(max=1)


def sound_statistics(windows: WindowSet) -> np.ndarray:
    """That step of every window that has sound: float32 [N, 2 D_a]."""
    ends = windows.audio_start + windows.audio_length
    rows = [np.zeros((0, 2 * windows.audio.shape[1]), np.float32)]
    for start, end in zip(windows.audio_start.tolist(), ends.tolist(), strict=True):
        if end > start:
            steps = torch.from_numpy(windows.audio[start:end]).float()
            rows.append(masked_statistics(steps[None]).numpy())
    return np.concatenate(rows)
