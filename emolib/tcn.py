"""Temporal convolutional network: residual blocks of dilated causal convolutions (section 3.2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class CausalConv1d(nn.Conv1d):
    """A dilated convolution that looks back: output t sees inputs t, t - d, ... t - (k - 1) d only.

    (k - 1) d zeros are put on the left of the input, so that as many steps come out as went in.
    """

    def forward(self, x: Tensor) -> Tensor:  # (B, C_in, T) -> (B, C_out, T)
        """In a window shorter than the reach, taps that would see padding alone are left out."""
        (dilation,), steps = self.dilation, x.shape[-1]
        taps = min(self.kernel_size[0], 1 + (steps - 1) // dilation)
        padded = functional.pad(x, ((taps - 1) * dilation, 0))  # (B, C_in, T + reach)
        return functional.conv1d(padded, self.weight[..., -taps:], self.bias, dilation=dilation)


class TemporalBlock(nn.Module):
    """relu(x + dropout(relu(conv(dropout(relu(conv(x))))))); x is mapped where the widths differ.

    The paper gives "dilated causal convolutions" and "residual connections"; two convolutions a
    block, ReLU and dropout after each, no weight norm: the released code (docs/method.md, TCN).
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, kernel: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.conv1 = CausalConv1d(channels_in, channels_out, kernel, dilation=dilation)
        self.conv2 = CausalConv1d(channels_out, channels_out, kernel, dilation=dilation)
        same = channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv1d(channels_in, channels_out, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:  # (B, C_in, T) -> (B, C_out, T)
        y = self.dropout(torch.relu(self.conv1(x)))
        y = self.dropout(torch.relu(self.conv2(y)))
        return torch.relu(self.shortcut(x) + y)


class TCN(nn.Module):
    """``blocks`` temporal blocks with dilations 1, 2, 4, ...: V' = TCN(V).

    One output step depends on the 1 + 2 (k - 1) (2^blocks - 1) steps up to it:
    253 frames for the paper's six blocks of kernel 3.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, blocks: int, kernel: int, dropout: float
    ) -> None:
        super().__init__()
        widths = [channels_in] + [channels_out] * (blocks - 1)
        self.blocks = nn.Sequential(
            *(
                TemporalBlock(width, channels_out, kernel=kernel, dilation=2**i, dropout=dropout)
                for i, width in enumerate(widths)
            )
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, T, C_in) -> (B, T, C_out)
        """Features in time to features in time; step t of the output sees steps up to t only."""
        return self.blocks(x.transpose(1, 2)).transpose(1, 2)
