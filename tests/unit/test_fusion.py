"""Cross-attention against nn.MultiheadAttention; ragged sound."""

import pytest
import torch
from torch import nn

from emolib.dropout import dropped_product
from emolib.fusion import CrossAttention, Fusion, masked_mean


def reference(ours: CrossAttention, x, other, length=None):
    """LN(x + MHA(x, other, other)) by nn.MultiheadAttention with the same weights."""
    width = x.shape[2]
    theirs = nn.MultiheadAttention(width, ours.heads, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    padding = None if length is None else torch.arange(other.shape[1]) >= length[:, None]
    return ours.norm(x + theirs(x, other, other, key_padding_mask=padding, need_weights=False)[0])


@pytest.fixture
def attention():
    torch.manual_seed(0)
    ours = CrossAttention(24, 4, 0.0)
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.3)
    return ours


@pytest.mark.parametrize("length", [None, torch.tensor([9, 3, 1])])
def test_equals_multihead_attention(attention, length):
    x, other = torch.randn(3, 6, 24), torch.randn(3, 9, 24)
    torch.testing.assert_close(attention(x, other, length), reference(attention, x, other, length), rtol=1e-5, atol=1e-5)


def test_no_sound_gives_no_attention_and_padding_is_never_read(attention):
    x, other, length = torch.randn(2, 6, 24), torch.randn(2, 9, 24), torch.tensor([0, 4])
    result = attention(x, other, length)
    torch.testing.assert_close(result[0], attention.norm(x[0]))
    other[0], other[1, 4:] = 1e4, -1e4
    torch.testing.assert_close(attention(x, other, length), result)
    assert not torch.equal(result[1], attention.norm(x[1]))


def test_masked_mean():
    x = torch.randn(3, 5, 4)
    mean = masked_mean(x, torch.tensor([5, 2, 0]))
    torch.testing.assert_close(mean, torch.stack([x[0].mean(0), x[1, :2].mean(0), torch.zeros(4)]))
    torch.testing.assert_close(masked_mean(x, None), x.mean(1))


@pytest.mark.parametrize(
    ("kind", "visual_changes", "audio_changes"),
    [("bidirectional", True, True), ("visual_queries", True, False), ("audio_queries", False, True), ("concat", False, False)],
)
def test_streams_that_do_not_ask_pass_as_they_are(kind, visual_changes, audio_changes):
    visual, audio = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    fused_visual, fused_audio = Fusion(kind, 8, 2, 0.0)(visual, audio)
    assert (fused_visual is visual) != visual_changes and (fused_audio is audio) != audio_changes


def test_attention_dropout_keeps_the_mean_and_is_off_in_eval(attention):
    torch.manual_seed(1)
    a, b = torch.rand(2, 4, 50), torch.randn(2, 50, 3)
    drawn = torch.stack([dropped_product(a, b, 0.3, True) for _ in range(400)])
    error = 4 * drawn.std(dim=0) / 20
    assert ((drawn.mean(dim=0) - a @ b).abs() < error).all() and (drawn.std(dim=0) > 0).all()
    assert torch.equal(dropped_product(a, b, 0.3, False), a @ b)
