"""Cross-attention: its equation, its weights, sound of unequal length and no sound."""

import pytest
import torch
from torch import nn

from emolib.fusion import CrossAttention, Fusion, masked_mean


def by_formula(module: CrossAttention, x, other, length=None):
    """LN(x + MHA(x, other, other)) and the weights, written out for one row at a time."""
    attention, heads = module.attention, module.attention.num_heads
    width = x.shape[2] // heads
    rows, weights = [], []
    for b in range(len(x)):
        keys = other[b] if length is None else other[b, : int(length[b])]
        q, k, v = (
            (values @ matrix.T + bias).view(-1, heads, width).transpose(0, 1)
            for values, matrix, bias in zip(
                (x[b], keys, keys),
                attention.in_proj_weight.chunk(3),
                attention.in_proj_bias.chunk(3),
                strict=True,
            )
        )
        weight = torch.softmax(q @ k.mT / width**0.5, dim=-1)  # [heads, T, S]
        attended = attention.out_proj((weight @ v).transpose(0, 1).flatten(1))
        rows.append(module.norm(x[b] + attended))
        weights.append(nn.functional.pad(weight, (0, other.shape[1] - len(keys))))
    return torch.stack(rows), torch.stack(weights)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    module = CrossAttention(24, 4, 0.0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


@pytest.mark.parametrize("length", [None, torch.tensor([9, 3, 1])])
def test_equals_the_paper_s_formula(attention, length):
    x, other = torch.randn(3, 6, 24), torch.randn(3, 9, 24)
    fused, weights = attention(x, other, length)
    expected, expected_weights = by_formula(attention, x, other, length)
    torch.testing.assert_close(fused, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(3, 4, 6))


def test_no_sound_gives_no_attention_and_padding_is_never_read(attention):
    x, other, length = torch.randn(2, 6, 24), torch.randn(2, 9, 24), torch.tensor([0, 4])
    fused, weights = attention(x, other, length)
    torch.testing.assert_close(fused[0], attention.norm(x[0]))
    assert not weights[0].any() and weights[1].sum() > 0
    other[0], other[1, 4:] = 1e4, -1e4
    torch.testing.assert_close(attention(x, other, length)[0], fused)
    assert not torch.equal(fused[1], attention.norm(x[1]))


def test_gradients_stay_finite_without_sound(attention):
    x, other = torch.randn(2, 6, 24), torch.randn(2, 9, 24)
    attention(x, other, torch.tensor([0, 0]))[0].square().sum().backward()
    gradients = [parameter.grad for parameter in attention.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not attention.attention.in_proj_weight.grad.any()


def test_masked_mean():
    x = torch.randn(3, 5, 4)
    mean = masked_mean(x, torch.tensor([5, 2, 0]))
    torch.testing.assert_close(mean, torch.stack([x[0].mean(0), x[1, :2].mean(0), torch.zeros(4)]))
    torch.testing.assert_close(masked_mean(x), x.mean(1))


@pytest.mark.parametrize(
    ("kind", "visual_changes", "audio_changes"),
    [
        ("bidirectional", True, True),
        ("visual_queries", True, False),
        ("audio_queries", False, True),
        ("concat", False, False),
    ],
)
def test_a_stream_without_a_direction_is_handed_on_unchanged(kind, visual_changes, audio_changes):
    visual, audio = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    fused = Fusion(kind, 8, 2, 0.0)(visual, audio)
    assert (fused.visual is visual) != visual_changes and (fused.audio is audio) != audio_changes
    assert (fused.visual_weights is not None) == visual_changes
    assert (fused.audio_weights is not None) == audio_changes
    if kind == "bidirectional":
        assert fused.visual_weights.shape == (2, 2, 3, 5)
        assert fused.audio_weights.shape == (2, 2, 5, 3)
