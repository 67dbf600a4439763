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

from emolib.dropout import dropout


def autocast_dtype(x: Tensor) -> torch.dtype:
    """The type autocast would compute in at this place, else that of ``x``."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class CausalTaps(torch.autograd.Function):
    """Causal convolution of time-first rows, then optionally ReLU and dropout.

    x [R, C_in] with R = T*B, taps [k, C_in, C_out], bias [C_out]; tap j looks back ``shifts[j]`` rows. For M models
    at once x is [M, R, C_in], taps [k, M, C_in, C_out] and bias [M, C_out]. After ReLU and dropout an output is
    positive exactly where the gradient passes, so neither the sum nor the mask is kept.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor, bias: Tensor, shifts: tuple[int, ...], activate: bool, rate: float) -> Tensor:
        rows = x.shape[-2]
        y = torch.addmm(bias, x, taps[-1]) if x.dim() == 2 else torch.baddbmm(bias[:, None], x, taps[-1])  # the present step
        for tap, shift in zip(taps[:-1], shifts[:-1], strict=True):
            if shift < rows:
                _add_product(y[..., shift:, :], x[..., : rows - shift, :], tap)
        if activate:
            y = dropout(y.relu_(), rate, training=True)
        ctx.save_for_backward(x, taps, y if activate else x.new_empty(0))
        ctx.shifts, ctx.activate, ctx.scale = shifts, activate, 1 / (1 - rate)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, taps, y = ctx.saved_tensors
        rows = x.shape[-2]
        gradient = gradient.contiguous()
        if ctx.activate:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
            if ctx.scale != 1:
                gradient = gradient * ctx.scale
        of_x = gradient @ taps[-1].transpose(-1, -2) if ctx.needs_input_grad[0] else None
        of_taps = torch.zeros_like(taps)
        torch.matmul(x.transpose(-1, -2), gradient, out=of_taps[-1])
        for j, shift in enumerate(ctx.shifts[:-1]):
            if shift < rows:
                late, early = gradient[..., shift:, :], x[..., : rows - shift, :]
                torch.matmul(early.transpose(-1, -2), late, out=of_taps[j])
                if of_x is not None:
                    _add_product(of_x[..., : rows - shift, :], late, taps[j].transpose(-1, -2))
        return of_x, of_taps, gradient.sum(-2), None, None, None


def _add_product(to: Tensor, a: Tensor, b: Tensor) -> None:
    """to += a @ b in place, for matrices or stacks of them."""
    if to.dim() == 2:
        to.addmm_(a, b)
    else:
        to.baddbmm_(a, b)


class CausalConv(nn.Module):
    """Dilated causal convolution over time-first rows, equal to ``F.conv1d`` with left padding (k - 1) * dilation.

    ``weight`` [C_out, C_in, k] and ``bias`` [C_out] have ``nn.Conv1d``'s layout and initialisation.
    """

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, kernel))
        self.bias = nn.Parameter(torch.empty(channels_out))
        bound = 1 / math.sqrt(channels_in * kernel)
        nn.init.uniform_(self.weight, -bound, bound)  # what kaiming_uniform_(a=sqrt(5)) of nn.Conv1d comes to
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, batch: int, activate: bool = False, rate: float = 0.0) -> Tensor:
        """Rows [T*batch, C_in] to [T*batch, C_out]; with ``activate`` ReLU, then dropout at ``rate`` (0: none)."""
        kernel = self.weight.shape[2]
        shifts = tuple((kernel - 1 - j) * self.dilation * batch for j in range(kernel))
        needed = sum(shift < x.shape[0] for shift in shifts)  # taps that reach into the window: the last ones
        dtype = autocast_dtype(x)
        taps = self.weight[:, :, kernel - needed :].permute(2, 1, 0).to(dtype).contiguous()  # [needed, C_in, C_out]
        return CausalTaps.apply(x.to(dtype), taps, self.bias.to(dtype), shifts[kernel - needed :], activate, rate)


class TemporalBlock(nn.Module):
    """relu(x + drop(relu(conv(drop(relu(conv(x))))))), with a 1x1 projection of x where the widths differ."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, dilation: int, rate: float) -> None:
        super().__init__()
        self.first = CausalConv(channels_in, channels_out, kernel, dilation)
        self.second = CausalConv(channels_out, channels_out, kernel, dilation)
        self.project = nn.Linear(channels_in, channels_out) if channels_in != channels_out else nn.Identity()
        self.rate = rate

    def forward(self, x: Tensor, batch: int) -> Tensor:
        """Rows [T*batch, C_in] to [T*batch, C_out]."""
        rate = self.rate if self.training else 0.0
        y = self.second(self.first(x, batch, True, rate), batch, True, rate)
        return torch.relu(self.project(x) + y)


class TCN(nn.Module):
    """``blocks`` temporal blocks with dilations 1, 2, 4, ...; 6 blocks of kernel 3 see 253 frames."""

    def __init__(self, channels_in: int, width: int, *, blocks: int, kernel: int, rate: float) -> None:
        super().__init__()
        widths = [channels_in] + [width] * blocks
        self.blocks = nn.ModuleList(TemporalBlock(widths[i], width, kernel, 2**i, rate) for i in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, C_in] to [B, T, width]; step t depends on steps up to t only. Fast when x is a view of [T, B, C_in]."""
        batch, steps, _ = x.shape
        rows = x.to(autocast_dtype(x)).transpose(0, 1).reshape(steps * batch, -1)  # [T*B, C_in]
        for block in self.blocks:
            rows = block(rows, batch)
        return rows.view(steps, batch, -1).transpose(0, 1).contiguous()  # [B, T, width]
