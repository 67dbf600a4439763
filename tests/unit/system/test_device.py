"""Settings that decide a result's bits."""

import pytest
import torch

from emolib.encoders.clip import VisualEncoder
from emolib.encoders.folders import ASSETS
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.system.device import exact_float32, make_deterministic


@pytest.fixture
def tf32(monkeypatch):
    """The two switches, on, as a caller may have left them;
    convolutions are so by torch's default.
    """
    switches = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [each.allow_tf32 for each in switches]
    for each in switches:
        each.allow_tf32 = True
    yield lambda: [each.allow_tf32 for each in switches]
    for each, value in zip(switches, before, strict=True):
        each.allow_tf32 = value


@pytest.mark.parametrize(
    "call",
    [
        exact_float32,
        lambda: make_deterministic(1),
        lambda: VisualEncoder(ASSETS / "visual"),
        lambda: AudioEncoder(ASSETS / "audio"),
    ],
    ids=["switch", "training", "faces", "sound"],
)
def test_float32_on_a_gpu_is_float32(tf32, call):
    assert tf32() == [True, True]
    call()
    assert tf32() == [False, False]
