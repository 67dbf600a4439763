"""Every parameter starts from the distribution that the released code's modules
start from (docs/method.md).

The reference is built here of torch's own modules, as the released code builds them,
and not of the package's.
"""

import pytest
import torch
from torch import nn

from emolib.config import preset
from emolib.model import EmotionModel

WIDTH = 512


def released() -> dict[str, nn.Module]:
    """The modules of the released code, by the place that they have in EmotionModel."""
    modules: dict[str, nn.Module] = {}
    for block in range(6):
        for conv in ("conv1", "conv2"):
            modules[f"tcn.blocks.{block}.{conv}"] = nn.Conv1d(
                WIDTH, WIDTH, 3, padding=2 * 2**block, dilation=2**block
            )
    for direction in ("visual", "audio"):
        modules[f"fusion.{direction}.attention"] = nn.MultiheadAttention(WIDTH, 8, 0.2)
        modules[f"fusion.{direction}.norm"] = nn.LayerNorm(WIDTH)
    modules |= {
        "adapter.0": nn.Linear(768, WIDTH),
        "adapter.1": nn.LayerNorm(WIDTH),
        "classifier.0": nn.Linear(2 * WIDTH, WIDTH),
        "classifier.1": nn.LayerNorm(WIDTH),
        "classifier.4": nn.Linear(WIDTH, WIDTH // 2),
        "classifier.7": nn.Linear(WIDTH // 2, 8),
        "contrastive": nn.Linear(WIDTH, 512),
    }
    return modules


@pytest.fixture(scope="module")
def models():
    result = []
    for seed in range(2):
        torch.manual_seed(seed)
        result.append(dict(EmotionModel(preset("paper")).named_parameters()))
    return result


def test_the_same_parameters_and_no_other(models):
    expected = {
        f"{place}.{name}": value.shape
        for place, module in released().items()
        for name, value in module.named_parameters()
    }
    assert {name: value.shape for name, value in models[0].items()} == expected


def test_every_parameter_has_the_released_distribution(models):
    torch.manual_seed(7)
    for place, module in released().items():
        for name, parameter in module.named_parameters():
            ours = torch.cat([model[f"{place}.{name}"].detach().flatten() for model in models])
            value = parameter.detach().flatten()
            if value.std() == 0:
                assert (ours == value[0]).all(), (place, name)
                continue
            # Uniform around 0: the deviation fixes it. Few numbers leave it less certain.
            tolerance = 4 / min(len(ours), len(value)) ** 0.5
            ratio = (ours.std() / value.std()).item()
            assert ratio == pytest.approx(1, abs=tolerance), (place, name, ratio)
            assert ours.abs().max() / value.abs().max() == pytest.approx(1, abs=tolerance + 0.01)


def test_attention_is_not_a_square_root_of_two_too_wide(models):
    deviation = models[0]["fusion.visual.attention.in_proj_weight"].std().item()
    assert deviation == pytest.approx((6 / (4 * WIDTH)) ** 0.5 / 3**0.5, rel=0.01)  # 0.0312
