"""The benchmark's own claims that need no clock: the plain loop computes the same,
operations are counted right.
"""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from emolib.bench.train import (
    AUDIO_STEPS,
    counted_encoding,
    equal_losses,
    flops_a_window,
    plain_loop,
    windows_of_noise,
)
from emolib.config import preset
from emolib.model import EmotionModel


def test_plain_loop_gives_our_losses():
    difference, losses = equal_losses(plain_loop(), steps=4)
    assert difference < 1e-5 and np.ptp(losses) > 1e-3


def test_operations_are_counted_right():
    experiment = preset("demo", window=10)
    model = EmotionModel(experiment)
    with FlopCounterMode(display=False) as counter:
        sum(
            part.sum()
            for part in model(torch.randn(1, 10, 512), torch.randn(1, AUDIO_STEPS[10], 768))
        ).backward()
    assert flops_a_window(experiment) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_noise_has_the_shapes_of_the_demo():
    windows = windows_of_noise(60, clips=4)
    assert windows.frames.shape == (4 * 17, 60) and windows.frames.max() < len(windows.visual)
    assert len(windows.audio) == windows.audio_length.sum() and set(windows.label) == set(range(8))
    assert np.ptp(windows.visual.astype(np.float32)) > 1


def test_released_code_encodes_a_frame_230_times():
    assert counted_encoding() == pytest.approx(230, rel=0.01)
