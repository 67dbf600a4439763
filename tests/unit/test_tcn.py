"""The TCN: left padding, causality, the receptive field."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from emolib.tcn import TCN, CausalConv1d


@settings(max_examples=30, deadline=None)
@given(
    steps=st.integers(1, 40),
    kernel=st.integers(1, 4),
    dilation=st.sampled_from([1, 2, 8, 32]),
    seed=st.integers(0, 99),
)
def test_equals_a_convolution_over_the_whole_left_padding(steps, kernel, dilation, seed):
    torch.manual_seed(seed)
    conv = CausalConv1d(5, 7, kernel, dilation=dilation).double()
    x = torch.randn(2, 5, steps, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(2, 7, steps, dtype=torch.float64)
    padded = functional.pad(x, ((kernel - 1) * dilation, 0))
    reference = functional.conv1d(padded, conv.weight, conv.bias, dilation=dilation)
    torch.testing.assert_close(conv(x), reference)
    variables = (x, conv.weight, conv.bias)
    torch.testing.assert_close(
        torch.autograd.grad((conv(x) * direction).sum(), variables),
        torch.autograd.grad((reference * direction).sum(), variables),
    )


@pytest.mark.parametrize("step", [0, 5, 19])
def test_step_t_sees_no_later_step(step):
    torch.manual_seed(1)
    tcn = TCN(6, 8, blocks=3, kernel=3, dropout=0.0)
    x = torch.randn(2, 20, 6)
    changed = x.clone()
    changed[:, step] += 1.0
    difference = (tcn(changed) - tcn(x)).abs().sum(dim=(0, 2))
    assert (difference[:step] == 0).all() and difference[step] > 0


def test_receptive_field_of_the_paper_is_253_frames():
    torch.manual_seed(2)
    tcn = TCN(1, 8, blocks=6, kernel=3, dropout=0.0).double()
    for name, parameter in tcn.named_parameters():
        if "weight" in name:
            parameter.data.abs_()  # nothing can cancel or be cut by a ReLU
    x = torch.zeros(1, 300, 1, dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(tcn(x + 1)[0, -1].sum(), x)[0][0, :, 0]
    assert (gradient != 0).sum() == 253 and gradient[-253:].all()


def test_dropout_follows_each_convolution():
    torch.manual_seed(3)
    block = TCN(16, 16, blocks=1, kernel=1, dropout=0.5).blocks[0]
    x = torch.zeros(8, 16, 50)
    for conv in (block.conv1, block.conv2):
        torch.nn.init.eye_(conv.weight[:, :, 0].data)
        torch.nn.init.ones_(conv.bias)
    dropped = block(x).flatten()  # 0 with 1/2, else 2 (1 + 0) or 2 (1 + 2 * 1), each with 1/4
    assert {0.0, 2.0, 6.0} == set(dropped.tolist())
    assert (dropped == 0).float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert (block.eval()(x) == 2).all()
