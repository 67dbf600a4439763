"""Temporal convolutional network: stacked residual blocks of dilated causal convolutions (paper section 3.2).

FACTS section 1: per block two convolutions, kernel 3, dilation 2^i in block i, ReLU and dropout after each,
residual, ReLU; no weight normalisation. Inside, rows run time first ([T*B, C]), so that a tap's shift by s steps
is the contiguous slice of rows from s*B on, and adds into the output by one matrix product: nothing is padded,
chomped or copied, and taps that reach before the window's start are not computed.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from emolib.dropout import drop_, keep_scale


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The type autocast would compute in at this place, else that of ``x``."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class CausalTaps(torch.autograd.Function):
    """Causal convolution of time-first rows, then optionally ReLU and dropout.

    x [R, C_in] with R = T*B, taps [k, C_in, C_out], bias [C_out]; tap j looks back ``shifts[j]`` rows. For M models
    at once x is [M, R, C_in], taps [k, M, C_in, C_out] and bias [M, C_out]. After ReLU and dropout an output is
    positive exactly where the gradient passes, so neither the sum nor the mask is kept. What dropout keeps is
    positive, so its scale goes into the matrix products, where it costs nothing.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        taps: Tensor,
        bias: Tensor,
        shifts: tuple[int, ...],
        activate: bool,
        rate: float,
    ) -> Tensor:
        rows, scale = x.shape[-2], keep_scale(rate)
        y = _product(x, taps[-1], scale, bias)  # the present step
        for tap, shift in zip(taps[:-1], shifts[:-1], strict=True):
            if shift < rows:
                _add_product(y[..., shift:, :], x[..., : rows - shift, :], tap, scale)
        if activate:
            y = drop_(y.relu_(), rate)
        ctx.save_for_backward(x, taps, y if activate else x.new_empty(0))
        ctx.shifts, ctx.activate, ctx.scale = shifts, activate, scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, taps, y = ctx.saved_tensors
        rows, scale = x.shape[-2], ctx.scale
        gradient = gradient.contiguous()
        if ctx.activate:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        of_x = (
            _product(gradient, taps[-1].transpose(-1, -2), scale)
            if ctx.needs_input_grad[0]
            else None
        )
        of_taps = torch.empty_like(taps)
        for j, shift in enumerate(ctx.shifts):
            if shift >= rows:
                of_taps[j] = 0
                continue
            late, early = gradient[..., shift:, :], x[..., : rows - shift, :]
            _product(early.transpose(-1, -2), late, scale, out=of_taps[j])
            if of_x is not None and shift:
                _add_product(of_x[..., : rows - shift, :], late, taps[j].transpose(-1, -2), scale)
        return of_x, of_taps, gradient.sum(-2) * scale, None, None, None


def _product(
    a: Tensor, b: Tensor, scale: float, bias: Tensor | None = None, out: Tensor | None = None
) -> Tensor:
    """scale * (a @ b + bias), for matrices [R, C] or stacks of them [M, R, C]; bias [C] or [M, C]."""
    if a.dim() == 2:
        start, beta = (a.new_zeros(1), 0.0) if bias is None else (bias, scale)
        return torch.addmm(start, a, b, beta=beta, alpha=scale, out=out)
    start, beta = (a.new_zeros(1, 1, 1), 0.0) if bias is None else (bias[:, None], scale)
    return torch.baddbmm(start, a, b, beta=beta, alpha=scale, out=out)


def _add_product(to: Tensor, a: Tensor, b: Tensor, scale: float) -> None:
    """to += scale * a @ b in place, for matrices or stacks of them."""
    if to.dim() == 2:
        to.addmm_(a, b, alpha=scale)
    else:
        to.baddbmm_(a, b, alpha=scale)


class CausalConv(nn.Module):
    """Dilated causal convolution over time-first rows, equal to ``F.conv1d`` with left padding (k - 1) * dilation.

    ``weight`` [C_out, C_in, k] and ``bias`` [C_out] have ``nn.Conv1d``'s shapes and initialisation; in memory the taps
    come first, so that a step need not reorder them.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(kernel, channels_in, channels_out).permute(2, 1, 0))
        self.bias = nn.Parameter(torch.empty(channels_out))
        bound = 1 / math.sqrt(channels_in * kernel)
        nn.init.uniform_(
            self.weight, -bound, bound
        )  # what kaiming_uniform_(a=sqrt(5)) of nn.Conv1d comes to
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, batch: int, activate: bool = False, rate: float = 0.0) -> Tensor:
        """Rows [T*batch, C_in] to [T*batch, C_out]; with ``activate`` ReLU, then dropout at ``rate`` (0: none)."""
        kernel = self.weight.shape[2]
        shifts = tuple((kernel - 1 - j) * self.dilation * batch for j in range(kernel))
        dtype = autocast_dtype(x)
        taps = self.weight.permute(2, 1, 0).to(dtype)  # [k, C_in, C_out]
        return CausalTaps.apply(x.to(dtype), taps, self.bias.to(dtype), shifts, activate, rate)


class TemporalBlock(nn.Module):
    """relu(x + drop(relu(conv(drop(relu(conv(x))))))), with a 1x1 projection of x where the widths differ."""

    def __init__(
        self, channels_in: int, channels_out: int, kernel: int, dilation: int, rate: float
    ) -> None:
        super().__init__()
        self.first = CausalConv(channels_in, channels_out, kernel, dilation)
        self.second = CausalConv(channels_out, channels_out, kernel, dilation)
        self.project = (
            nn.Linear(channels_in, channels_out) if channels_in != channels_out else nn.Identity()
        )
        self.rate = rate

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """Rows [T*batch, C_in] to [T*batch, C_out]."""
        rate = self.rate if self.training else 0.0
        y = self.second(self.first(x, batch, True, rate), batch, True, rate)
        return torch.relu(self.project(x) + y)


class TCN(nn.Module):
    """``blocks`` temporal blocks with dilations 1, 2, 4, ...; 6 blocks of kernel 3 see 253 frames."""

    def __init__(
        self, channels_in: int, width: int, *, blocks: int, kernel: int, rate: float
    ) -> None:
        super().__init__()
        widths = [channels_in] + [width] * blocks
        self.blocks = nn.ModuleList(
            TemporalBlock(widths[i], width, kernel, 2**i, rate) for i in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C_in] to [B, T, width]; step t depends on steps up to t only. Fast when x is a view of [T, B, C_in]."""
        batch, steps, _ = x.shape
        rows = x.to(autocast_dtype(x)).transpose(0, 1).reshape(steps * batch, -1)  # [T*B, C_in]
        for block in self.blocks:
            rows = block(rows, batch)
        return rows.view(steps, batch, -1).transpose(0, 1).contiguous()  # [B, T, width]
