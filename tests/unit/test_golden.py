"""For fixed weights the model gives what the hand-written model of commit be9df30 gave."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from emolib.config import preset
from emolib.model import EmotionModel

GOLDEN = json.loads((Path(__file__).parent / "golden" / "outputs.json").read_text())
STEPS = {10: 16, 15: 24, 30: 49, 60: 99}  # of sound in a window of T frames at 30 fps


def drawn(name: str, shape: tuple[int, ...], scale: float) -> torch.Tensor:
    """Normal numbers that follow from the name alone."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    return torch.from_numpy(generator.standard_normal(shape) * scale).float()


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A parameter by the name that it had in be9df30."""
    of_norm = "norm" in name or name in ("adapter.1.weight", "classifier.1.weight")
    values = drawn(name, shape, 0.05 if len(shape) > 1 else 0.2)
    return values + 1 if of_norm and name.endswith("weight") else values


def parameter(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A parameter of today, put together from those of be9df30."""
    block, _, rest = name.rpartition(".conv")
    if block:
        return weight(f"{block}.{'first' if rest[0] == '1' else 'second'}{rest[1:]}", shape)
    if ".shortcut." in name:  # a linear map then, a convolution of kernel 1 now
        old = name.replace("shortcut", "project")
        return weight(old, shape[:2]).reshape(shape)
    if "in_proj" in name:
        direction, end = name.split(".attention.")[0], name.rpartition("_")[2]
        rows = shape[0] // 3
        query = weight(f"{direction}.query.{end}", (rows, *shape[1:]))
        return torch.cat([query, weight(f"{direction}.key_value.{end}", (2 * rows, *shape[1:]))])
    return weight(name.replace("attention.out_proj", "out"), shape)


@pytest.fixture(scope="module")
def model() -> EmotionModel:
    model = EmotionModel(preset("paper", width=32, attention_heads=4)).eval()
    with torch.no_grad():
        for name, values in model.named_parameters():
            values.copy_(parameter(name, tuple(values.shape)))
        for name, values in model.named_buffers():
            if name.endswith("_mean"):
                values.copy_(drawn(name, tuple(values.shape), 0.1))
            if name.endswith("_std"):
                values.copy_(1 + drawn(name, tuple(values.shape), 0.1).abs())
    return model


@pytest.mark.parametrize("key", GOLDEN)
@torch.no_grad()
def test_outputs_equal_those_of_the_hand_written_model(model, key):
    window, sound = key.removeprefix("T=").split()
    steps = STEPS[int(window)]
    lengths = {"sound": None, "mixed": [steps, 0, steps // 2], "silent": [0, 0, 0]}[sound]
    logits, embedding = model(
        drawn(f"visual{window}", (3, int(window), 512), 1.0),
        drawn(f"audio{window}", (3, steps, 768), 1.0),
        None if lengths is None else torch.tensor(lengths),
    )
    expected = GOLDEN[key]
    torch.testing.assert_close(
        logits, torch.tensor(expected["logits"], dtype=torch.float32), atol=1e-6, rtol=1e-6
    )
    torch.testing.assert_close(
        embedding[:, ::64],
        torch.tensor(expected["embedding"], dtype=torch.float32),
        atol=1e-6,
        rtol=1e-6,
    )
    assert logits.std() > 0.01 and not torch.allclose(logits[0], logits[2], atol=1e-4)
