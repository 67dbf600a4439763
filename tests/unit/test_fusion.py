"""Cross-attention against nn.MultiheadAttention; ragged sound."""

import pytest
import torch
from torch import nn

from emolib import fusion
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
    torch.testing.assert_close(
        attention(x, other, length), reference(attention, x, other, length), rtol=1e-5, atol=1e-5
    )


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
    [
        ("bidirectional", True, True),
        ("visual_queries", True, False),
        ("audio_queries", False, True),
        ("concat", False, False),
    ],
)
def test_streams_that_do_not_ask_pass_as_they_are(kind, visual_changes, audio_changes):
    visual, audio = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    fused_visual, fused_audio = Fusion(kind, 8, 2, 0.0)(visual, audio)
    assert (fused_visual is visual) != visual_changes and (fused_audio is audio) != audio_changes


@pytest.mark.parametrize("chunk", [1, 10**9])
@pytest.mark.parametrize("length", [None, torch.tensor([9, 3, 1])])
def test_gradients_equal_those_of_the_plain_formula(monkeypatch, chunk, length):
    monkeypatch.setattr(fusion, "CHUNK", chunk)
    torch.manual_seed(0)
    query, both, direction = (
        torch.randn(3, *shape, dtype=torch.float64) for shape in ((6, 24), (9, 48), (6, 24))
    )
    bias = None if length is None else fusion.key_bias(length, 9)

    def plain(query, both):
        q, k, v = (x.unflatten(2, (4, 6)).transpose(1, 2) for x in (query, *both.chunk(2, dim=2)))
        scores = (q @ k.mT if bias is None else q @ k.mT + bias[:, None, None]).float()
        return (scores.softmax(dim=3).double() @ v).transpose(1, 2).flatten(2)

    inputs = query.requires_grad_(), both.requires_grad_()
    ours, theirs = fusion.attention(*inputs, bias, 4, 0.0), plain(*inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    gradients = [
        torch.autograd.grad((result * direction).sum(), inputs) for result in (ours, theirs)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)
    assert gradients[0][0].abs().mean() > 0.01


def test_attention_dropout_keeps_the_mean_and_its_gradient_is_of_the_same_masks():
    torch.manual_seed(1)
    query, both, direction = torch.randn(2, 5, 8), torch.randn(2, 30, 16), torch.randn(2, 5, 8)

    def drawn(query, both, seed):
        torch.manual_seed(seed)
        return fusion.attention(query, both, None, 2, 0.3)

    many = torch.stack([drawn(query, both, seed) for seed in range(400)])
    error = 4 * many.std(dim=0) / 20
    assert (
        (many.mean(dim=0) - fusion.attention(query, both, None, 2, 0.0)).abs() < error
    ).all() and (many.std(dim=0) > 0).all()
    assert torch.equal(many[7], drawn(query, both, 7))
    for position, x in enumerate((query, both)):
        inputs = [query, both]
        inputs[position] = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad((drawn(*inputs, 7) * direction).sum(), inputs[position])
        step = 1e-3 * torch.randn(x.shape)
        moved = [
            (
                (
                    drawn(
                        *(
                            x + s * step if i == position else y
                            for i, y in enumerate((query, both))
                        ),
                        7,
                    )
                )
                * direction
            ).sum()
            for s in (1, -1)
        ]
        assert (moved[0] - moved[1]).item() / 2 == pytest.approx(
            (gradient * step).sum().item(), rel=2e-2, abs=1e-5
        )
