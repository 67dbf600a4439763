"""Bidirectional cross-attention between the visual and the audio sequence (paper section 3.3).

Both directions, separate weights: H = LN(F + MHA(F, other, other)). Written out as two matrix products and a
softmax: with dropout or a key mask, torch's fused attention is slower than this on a CPU (39 ms against 12 ms a
training step at T = 60) and not deterministic on every GPU.
"""

import math

import torch
from torch import Tensor, nn

from emolib.dropout import dropped_product


class CrossAttention(nn.Module):
    """LN(x + MHA(x, other, other)) with ``heads`` heads; widths of both sequences are equal."""

    def __init__(self, width: int, heads: int, rate: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.rate = rate
        for weight in (self.query.weight, *self.key_value.weight.chunk(2)):
            nn.init.xavier_uniform_(weight)  # as nn.MultiheadAttention
        for bias in (self.query.bias, self.key_value.bias, self.out.bias):
            nn.init.zeros_(bias)

    def forward(self, x: Tensor, other: Tensor, other_length: Tensor | None = None) -> Tensor:
        """x [B, T, C], other [B, S, C], other_length [B] valid steps of ``other`` (None: all) to [B, T, C].

        A row whose ``other_length`` is 0 has nothing to attend to: its attention output is zero, so it is LN(x).
        """
        batch, steps, width = x.shape
        split = (batch, -1, self.heads, width // self.heads)
        query = (self.query(x) * math.sqrt(self.heads / width)).view(split).transpose(1, 2)  # [B, H, T, D]
        key, value = (part.reshape(split).transpose(1, 2) for part in self.key_value(other).chunk(2, dim=-1))  # [B, H, S, D]
        scores = query @ key.transpose(-1, -2)  # [B, H, T, S]
        if other_length is not None:
            valid = step_mask(other_length.clamp(min=1), other.shape[1])  # one key stays, or softmax would give NaN
            scores = scores.masked_fill(~valid[:, None, None, :], -math.inf)
        attended = dropped_product(scores.softmax(dim=-1).to(value.dtype), value, self.rate, self.training)  # [B, H, T, D]
        attended = self.out(attended.transpose(1, 2).reshape(batch, steps, width))  # [B, T, C]
        if other_length is not None:
            attended = attended * (other_length > 0)[:, None, None]
        return self.norm(x + attended)


class Fusion(nn.Module):
    """The four ways of Experiment.fusion; a stream that does not ask passes as it is."""

    def __init__(self, kind: str, width: int, heads: int, rate: float) -> None:
        super().__init__()
        self.visual = CrossAttention(width, heads, rate) if kind in ("bidirectional", "visual_queries") else None
        self.audio = CrossAttention(width, heads, rate) if kind in ("bidirectional", "audio_queries") else None

    def forward(self, visual: Tensor, audio: Tensor, audio_length: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """visual [B, T, C], audio [B, S, C], audio_length [B] to the same two shapes; steps past a length mean nothing."""
        fused_visual = self.visual(visual, audio, audio_length) if self.visual else visual
        fused_audio = self.audio(audio, visual) if self.audio else audio
        return fused_visual, fused_audio


def step_mask(length: Tensor, steps: int) -> Tensor:
    """bool [B, steps]: true for the first ``length[b]`` steps of row b."""
    return torch.arange(steps, device=length.device) < length[:, None]


def masked_mean(x: Tensor, length: Tensor | None) -> Tensor:
    """Mean over the valid steps of x [B, S, C] to [B, C]; zero for a row of length 0; all steps are valid without ``length``."""
    if length is None:
        return x.mean(dim=1)
    valid = step_mask(length, x.shape[1])[:, :, None]
    return x.masked_fill(~valid, 0).sum(dim=1) / length.clamp(min=1)[:, None].to(x.dtype)
