"""The TCN against PyTorch's own convolution, and causality."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from emolib.dropout import keep_mask, keep_scale
from emolib.tcn import TCN, CausalConv


def by_conv1d(conv: CausalConv, x: torch.Tensor) -> torch.Tensor:
    """x [T, B, C_in] through F.conv1d with left padding, to [T, B, C_out]."""
    left = (conv.weight.shape[2] - 1) * conv.dilation
    padded = functional.pad(x.permute(1, 2, 0), (left, 0))
    return functional.conv1d(padded, conv.weight, conv.bias, dilation=conv.dilation).permute(
        2, 0, 1
    )


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 40),
    batch=st.integers(1, 4),
    kernel=st.integers(1, 4),
    dilation=st.sampled_from([1, 2, 8, 32]),
    activate=st.booleans(),
    seed=st.integers(0, 99),
)
def test_convolution_and_gradients_equal_conv1d(steps, batch, kernel, dilation, activate, seed):
    torch.manual_seed(seed)
    conv = CausalConv(5, 7, kernel, dilation).double()
    x = torch.randn(steps, batch, 5, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(steps, batch, 7, dtype=torch.float64)
    ours = conv(x.reshape(steps * batch, 5), batch, activate).view(steps, batch, 7)
    reference = by_conv1d(conv, x)
    reference = reference.relu() if activate else reference
    torch.testing.assert_close(ours, reference)
    variables = (x, conv.weight, conv.bias)
    torch.testing.assert_close(
        torch.autograd.grad((ours * direction).sum(), variables),
        torch.autograd.grad((reference * direction).sum(), variables),
    )


def test_dropout_passes_gradient_only_where_it_kept():
    torch.manual_seed(0)
    conv = CausalConv(16, 32, 3, 2)
    x = torch.randn(200, 16, requires_grad=True)
    plain, dropped = conv(x, 4, True), conv(x, 4, True, 0.25)
    kept = dropped > 0
    torch.testing.assert_close(dropped[kept], plain[kept] / 0.75, rtol=1e-4, atol=1e-6)
    assert 0.72 < kept.sum() / (plain > 0).sum() < 0.78
    ours = torch.autograd.grad(dropped.sum(), conv.weight)[0]
    reference = torch.autograd.grad((plain * kept / 0.75).sum(), conv.weight)[0]
    torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-3)


def test_keep_mask_has_the_rate_and_is_repeatable():
    x = torch.empty(1001, 77, dtype=torch.bfloat16)
    torch.manual_seed(3)
    mask = keep_mask(x, 0.1)
    assert abs((mask == 0).double().mean().item() - 0.1) < 0.005
    assert set(mask.unique().tolist()) == {0.0, 1.0} and keep_scale(0.1) == pytest.approx(
        1 / 0.9, rel=1e-4
    )
    torch.manual_seed(3)
    assert torch.equal(mask, keep_mask(x, 0.1))
    assert not torch.equal(mask, keep_mask(x, 0.1))


@pytest.mark.parametrize("step", [0, 5, 19])
def test_step_t_sees_no_later_step(step):
    torch.manual_seed(1)
    tcn = TCN(6, 8, blocks=3, kernel=3, rate=0.0)
    x = torch.randn(2, 20, 6)
    changed = x.clone()
    changed[:, step] += 1.0
    difference = (tcn(changed) - tcn(x)).abs().sum(dim=(0, 2))
    assert (difference[:step] == 0).all() and difference[step] > 0


def test_receptive_field_of_the_paper_is_253_frames():
    torch.manual_seed(2)
    tcn = TCN(1, 8, blocks=6, kernel=3, rate=0.0).double()
    for name, parameter in tcn.named_parameters():
        if "weight" in name:
            parameter.data.abs_()  # nothing can cancel or be cut by a ReLU
    x = torch.zeros(1, 300, 1, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(tcn(x + 1)[0, -1].sum(), x)[0][0, :, 0]
    assert (gradient != 0).sum() == 253 and gradient[-253:].all()


def test_low_precision_is_close():
    torch.manual_seed(4)
    tcn = TCN(32, 32, blocks=3, kernel=3, rate=0.0)
    x = torch.randn(3, 15, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = tcn(x)
    assert low.dtype == torch.bfloat16
    exact = tcn(x)
    assert (low.float() - exact).norm() < 0.02 * exact.norm()
