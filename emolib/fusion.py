"""Bi-directional cross-attention of the two streams (paper section 3.3), and pooling (3.4)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from emolib.errors import chosen


class CrossAttention(nn.Module):
    """One direction: H = LN(F + MHA(F, G, G)); queries from stream F, keys and values from G."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Tensor, other: Tensor, other_length: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x [B, T, C], other [B, S, C] to H [B, T, C] and attention weights [B, heads, T, S].

        other_length: int64 [B], valid steps of ``other``; None: all. A row with none has nothing
        to attend to: its attention is zero and H = LN(x).
        """
        padding = None
        if other_length is not None:
            # The softmax over no key is NaN, so one always stays; its effect is removed below.
            padding = ~step_mask(other_length.clamp(min=1), other.shape[1])  # (B, S)
        attended, weights = self.attention(
            x, other, other, key_padding_mask=padding, average_attn_weights=False
        )
        if other_length is not None:
            heard = (other_length > 0)[:, None, None]
            attended, weights = attended * heard, weights * heard[:, None]
        return self.norm(x + attended), weights


class Fused(NamedTuple):
    """Both streams after fusion, and who attended to what; None where a direction is off."""

    visual: Tensor  # [B, T, C]
    audio: Tensor  # [B, S, C]
    visual_weights: Tensor | None  # [B, heads, T, S]: faces ask, sound answers
    audio_weights: Tensor | None  # [B, heads, S, T]


# Of each ``Experiment.fusion``: the modules in which faces ask sound, and sound asks faces.
KINDS: dict[str, tuple[type[CrossAttention] | None, type[CrossAttention] | None]] = {
    "bidirectional": (CrossAttention, CrossAttention),
    "visual_queries": (CrossAttention, None),
    "audio_queries": (None, CrossAttention),
    "concat": (None, None),
}


class Fusion(nn.Module):
    """Cross-attention in both directions, each with its weights, in one, or in none.

    ``kind`` is ``Experiment.fusion``, one of KINDS; another one raises WrongCall. A stream without
    a direction is handed on unchanged.
    """

    def __init__(self, kind: str, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        visual, audio = chosen("fusion", kind, KINDS)
        self.visual = visual(width, heads, dropout) if visual else None
        self.audio = audio(width, heads, dropout) if audio else None

    def forward(self, visual: Tensor, audio: Tensor, audio_length: Tensor | None = None) -> Fused:
        """visual [B, T, C], audio [B, S, C], audio_length [B] (None: all S steps are valid)."""
        visual_fused, visual_weights = visual, None
        audio_fused, audio_weights = audio, None
        if self.visual:
            visual_fused, visual_weights = self.visual(visual, audio, audio_length)
        if self.audio:
            audio_fused, audio_weights = self.audio(audio, visual)
        return Fused(visual_fused, audio_fused, visual_weights, audio_weights)


def step_mask(length: Tensor, steps: int) -> Tensor:
    """bool [B, steps]: true for the first ``length[b]`` steps of row b."""
    return torch.arange(steps, device=length.device) < length[:, None]


def masked_mean(x: Tensor, length: Tensor | None = None) -> Tensor:
    """Mean over the valid steps of x [B, S, C] to [B, C] (section 3.4); zero for none."""
    if length is None:
        return x.mean(dim=1)
    valid = step_mask(length, x.shape[1])[:, :, None]
    return x.masked_fill(~valid, 0).sum(dim=1) / length.clamp(min=1)[:, None].to(x.dtype)
