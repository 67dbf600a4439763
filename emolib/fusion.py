"""Bidirectional cross-attention between the visual and the audio sequence (paper section 3.3).

Both directions, separate weights: H = LN(F + MHA(F, other, other)). Written out as two matrix products and a
softmax: with dropout or a key mask, torch's fused attention is slower than this on a CPU (39 ms against 12 ms a
training step at T = 60) and not deterministic on every GPU.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from emolib.dropout import keep_mask, keep_scale, random_source

CHUNK = (
    2**18
)  # attention weights handled at a time on a CPU, so that they stay in a core's cache between operations


class ChunkedAttention(torch.autograd.Function):
    """Softmax attention with dropout on a CPU, some batch rows at a time.

    query [B, T, C] already scaled, key_value [B, S, 2C] (keys, then values), bias float32 [B, S] added to the scores or
    None, to [B, T, C]. The softmax is computed in float32: torch's bfloat16 one is three times slower when S is no
    multiple of 32. With weights P, their dropped and scaled form Q, and g the gradient of the output O = Q V, the
    gradient of the scores is Q * (g V') - P * rowsum(g * O): two passes over [T, S] instead of four.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key_value: Tensor, bias: Tensor | None, heads: int, rate: float
    ) -> Tensor:
        out = torch.empty_like(query)
        ctx.kept = []
        source = random_source() if rate else None
        for rows in _chunks(query, key_value, heads):
            q, k, v = (
                _by_head(query[rows], heads),
                *(_by_head(part, heads) for part in key_value[rows].chunk(2, dim=-1)),
            )
            scores = torch.bmm(q, k.transpose(1, 2)).float()  # [b*H, T, S]
            if bias is not None:
                scores.view(-1, heads, *scores.shape[1:]).add_(bias[rows, None, None])
            weights = scores.softmax(dim=-1).to(v.dtype)
            dropped = keep_mask(weights, rate, source).mul_(weights) if rate else weights
            attended = torch.bmm(dropped, v * keep_scale(rate))
            out[rows] = _by_step(attended, heads)
            ctx.kept.append((weights, dropped, attended))
        ctx.save_for_backward(query, key_value)
        ctx.heads, ctx.scale = heads, keep_scale(rate)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key_value = ctx.saved_tensors
        heads, width = ctx.heads, query.shape[2]
        of_query, of_both = torch.empty_like(query), torch.empty_like(key_value)
        for rows, (weights, dropped, attended) in zip(
            _chunks(query, key_value, heads), ctx.kept, strict=True
        ):
            q, k, v = (
                _by_head(query[rows], heads),
                *(_by_head(part, heads) for part in key_value[rows].chunk(2, dim=-1)),
            )
            g = _by_head(gradient[rows], heads)
            mean = (g * attended).sum(dim=-1, keepdim=True)  # [b*H, T, 1]
            g = g * ctx.scale
            of_scores = (
                torch.bmm(g, v.transpose(1, 2)).mul_(dropped).addcmul_(weights, mean, value=-1)
            )
            of_query[rows] = _by_step(torch.bmm(of_scores, k), heads)
            of_both[rows, :, :width] = _by_step(torch.bmm(of_scores.transpose(1, 2), q), heads)
            of_both[rows, :, width:] = _by_step(torch.bmm(dropped.transpose(1, 2), g), heads)
        del ctx.kept
        return of_query, of_both, None, None, None


def _chunks(query: Tensor, key_value: Tensor, heads: int) -> list[slice]:
    """Slices of batch rows with CHUNK attention weights at most."""
    size = max(1, CHUNK // (heads * query.shape[1] * key_value.shape[1]))
    return [slice(first, first + size) for first in range(0, len(query), size)]


def _by_head(x: Tensor, heads: int) -> Tensor:
    """[b, T, H*D] to [b*H, T, D]."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2).flatten(0, 1)


def _by_step(x: Tensor, heads: int) -> Tensor:
    """[b*H, T, D] to [b, T, H*D]."""
    return x.unflatten(0, (-1, heads)).transpose(1, 2).flatten(2)


def attention(
    query: Tensor, key_value: Tensor, bias: Tensor | None, heads: int, rate: float
) -> Tensor:
    """:class:`ChunkedAttention` on a CPU; elsewhere the same in a few large operations."""
    if query.device.type == "cpu":
        return ChunkedAttention.apply(query, key_value, bias, heads, rate)
    q, k, v = (
        part.unflatten(2, (heads, -1)).transpose(1, 2)
        for part in (query, *key_value.chunk(2, dim=-1))
    )
    scores = (q @ k.transpose(2, 3)).float()  # [B, H, T, S]
    if bias is not None:
        scores = scores + bias[:, None, None]
    weights = functional.dropout(scores.softmax(dim=-1).to(v.dtype), rate)
    return (weights @ v).transpose(1, 2).flatten(2)


def key_bias(length: Tensor, steps: int) -> Tensor:
    """float32 [B, steps]: 0 for the first ``length[b]`` keys, else -inf; one key always stays, or softmax would give NaN."""
    return torch.zeros(len(length), steps, device=length.device).masked_fill_(
        ~step_mask(length.clamp(min=1), steps), -math.inf
    )


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
        query = self.query(x) * math.sqrt(self.heads / x.shape[2])
        bias = None if other_length is None else key_bias(other_length, other.shape[1])
        attended = self.out(
            attention(
                query, self.key_value(other), bias, self.heads, self.rate if self.training else 0.0
            )
        )
        if other_length is not None:
            attended = attended * (other_length > 0)[:, None, None]
        return self.norm(x + attended)


class Fusion(nn.Module):
    """The four ways of Experiment.fusion; a stream that does not ask passes as it is."""

    def __init__(self, kind: str, width: int, heads: int, rate: float) -> None:
        super().__init__()
        self.visual = (
            CrossAttention(width, heads, rate)
            if kind in ("bidirectional", "visual_queries")
            else None
        )
        self.audio = (
            CrossAttention(width, heads, rate)
            if kind in ("bidirectional", "audio_queries")
            else None
        )

    def forward(
        self, visual: Tensor, audio: Tensor, audio_length: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
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
