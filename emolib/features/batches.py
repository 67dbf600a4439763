"""Windows on the device: a batch is a gather of feature rows by index;
nothing is loaded inside the training loop.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emolib.errors import EmolibError
from emolib.features.pooled_sound import as_one_step, pools_sound, sound_statistics
from emolib.features.rows import Features, Rows, as_rows
from emolib.features.window_sets import WindowSet
from emolib.model import EmotionModel

# Feature rows looked at or summed at a time, so that what lies between stays in the cache.
CHUNK = 4096
# Of a GPU's free memory that features may take; above it they stay with the host.
SHARE_OF_MEMORY = 0.6
# Windows of like length of sound go through the model together, the rest of a batch in other
# groups: a group's shortest has more than this share of the steps of its longest.
LIKE = 0.75
# A group of long windows is filled up to a multiple of this many with the next shorter ones: a few
# odd windows make no group of their own, and a GPU has few shapes to make graphs of.
GROUP = 8


class Batch(NamedTuple):
    """What ``EmotionModel`` takes, on the device; None for a stream that the model does not use."""

    visual: Tensor | None  # float16 [B, T, D_v]
    audio: Tensor | None  # float16 [B, S, D_a]; S: as long as the longest
    audio_length: Tensor | None  # int64 [B]; None where every row has S steps


class DeviceWindows:
    """A WindowSet's features and index, raw and in float16 as they are stored.

    On a GPU they are tensors there if they fit; else, and on a CPU, they stay where they are,
    mapped from the store, and each batch is gathered from there. Raises EmolibError naming the clip
    when a feature is NaN or infinite.
    """

    def __init__(self, windows: WindowSet, model: EmotionModel) -> None:
        self.windows = windows
        self.device = model.get_buffer("class_prior").device
        self.on_gpu = self._fits()
        self.home = self.device if self.on_gpu else torch.device("cpu")
        self.pools = pools_sound(model.experiment)
        self.visual = self.audio = None
        self.label = torch.from_numpy(windows.label).to(self.device)
        self.limits = limits_of(windows.audio_length if model.hears else np.zeros(1, np.int32))
        if model.sees:
            self.visual = self._features("visual")
            self.frames = torch.from_numpy(windows.frames).to(self.home)  # [N, T]
        if model.hears:
            self.audio = self._features("audio")
            self.audio_start = torch.from_numpy(windows.audio_start).to(self.home)
            self.audio_length = torch.from_numpy(windows.audio_length.astype(np.int64))
            self.audio_length = self.audio_length.to(self.home)

    def __len__(self) -> int:
        return len(self.windows.label)

    def labels(self, rows: Tensor) -> Tensor:
        """Classes int64, of the shape of ``rows``, on the device."""
        return self.label[rows.to(self.device, non_blocking=True)]

    def groups(self, rows: Tensor) -> list[Tensor]:
        """Window numbers [.., B], of the host, by like length of sound: one [.., b] for each of
        ``limits``, the longest windows first; b is one number for all leading dimensions.

        Together they are ``rows`` again: which windows make a batch does not depend on their
        lengths. In one group they keep the order of ``rows``.
        """
        if len(self.limits) == 1:
            return [rows]
        length, size = torch.from_numpy(self.windows.audio_length)[rows], rows.shape[-1]
        group_of = torch.stack([length <= limit for limit in self.limits[1:]]).sum(dim=0)
        ends = []
        for group in range(len(self.limits) - 1):
            most = int((group_of <= group).sum(dim=-1).max())
            ends.append(min(GROUP * math.ceil(most / GROUP), size))
        if any(0 < end < size for end in ends):  # more than one group has windows
            rows = rows.gather(-1, group_of.argsort(dim=-1, stable=True))
        return list(rows.tensor_split(ends, dim=-1))

    def by_batch(self, groups: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """The groups of several batches, batch after batch, as one list for each batch."""
        size = len(self.limits)
        return [groups[first : first + size] for first in range(0, len(groups), size)]

    def batches(self, groups: Sequence[Tensor]) -> list[Batch]:
        """One Batch for each of a batch's groups [b] that has windows."""
        return [self.batch(rows, group) for group, rows in enumerate(groups) if rows.numel()]

    def batch(self, rows: Tensor, group: int | None = None) -> Batch:
        """The windows ``rows``: int64 [B], of the host, or of the device where the features lie.

        Sound is as long as the batch's longest. Of a ``group`` of :meth:`groups` on a GPU it is as
        long as the longest of all windows that may be in it: a CUDA graph needs one shape, and
        nothing waits for the device.
        """
        visual = audio = length = None
        here = rows.to(self.home, non_blocking=True)
        if self.visual is not None:
            visual = self._gathered(self.visual, self.frames[here])
        if self.audio is not None:
            longest, ragged = self._lengths(rows, group)
            steps = self.audio_start[here][:, None] + torch.arange(longest, device=self.home)
            # Past a window's end any row will do, because it is masked.
            audio = self._gathered(self.audio, steps.clamp_(max=len(self.audio) - 1))
            if ragged:
                length = self.audio_length[here].to(self.device, non_blocking=True)
            if self.pools:
                audio, length = as_one_step(audio, length)
        return Batch(visual, audio, length)

    def in_order(self, size: int) -> Iterator[Batch]:
        """All windows in their order, ``size`` at a time; no batch where there is no window."""
        for first in range(0, len(self), size):
            yield self.batch(torch.arange(first, min(first + size, len(self))))

    def _lengths(self, rows: Tensor, group: int | None) -> tuple[int, bool]:
        """(steps of a batch's sound, whether a window may have fewer)."""
        lengths = self.windows.audio_length
        if group is None or not self.on_gpu:
            lengths = lengths[rows.cpu().numpy()]
            longest = max(int(lengths.max(initial=0)), 1)
        else:
            longest = self.limits[group]
        return longest, int(lengths.min(initial=longest)) < longest

    def _gathered(self, features: Tensor | Rows, index: Tensor) -> Tensor:
        """``features[index]`` on the device;
        whole rows at a time, which indexing with a matrix does not do on a CPU.
        """
        if isinstance(features, Rows):
            rows = torch.from_numpy(features[index.numpy()])
        else:
            rows = features.index_select(0, index.flatten()).view(*index.shape, -1)
        return rows.to(self.device, non_blocking=True)

    def _fits(self) -> bool:
        """Whether the features are to lie on the device: a GPU with room for them."""
        if self.device.type != "cuda":
            return False
        features = (self.windows.visual, self.windows.audio)
        needed = sum(2 * math.prod(rows.shape) for rows in features) + self.windows.frames.nbytes
        return needed < SHARE_OF_MEMORY * torch.cuda.mem_get_info(self.device)[0]

    def _features(self, stream: str) -> Tensor | Rows:
        """float16 [rows, D] of ``stream`` at home, checked;
        one row of zeros where there is none to gather.
        """
        rows = as_rows(getattr(self.windows, stream))
        if not len(rows):
            rows = Rows([np.zeros((1, rows.width), np.float16)], rows.width)
        for first, block in rows.blocks(CHUNK):
            # A sum finds NaN and infinities in a tenth of the time of looking at every number.
            if not torch.from_numpy(block).sum(dtype=torch.float32).isfinite():
                broken = first + int(np.argmin(np.isfinite(block).all(axis=1)))
                raise EmolibError(
                    f"{clip_of_row(self.windows, stream, broken)}: "
                    f"NaN or infinite {stream} features; "
                    "extract this clip again"
                )
        if not self.on_gpu:
            return rows
        resident = torch.empty(rows.shape, dtype=torch.float16, device=self.home)
        for first, block in rows.blocks(CHUNK):
            resident[first : first + len(block)] = torch.from_numpy(block)
        return resident


def limits_of(lengths: np.ndarray) -> list[int]:
    """The most steps of sound in each group of like lengths, the longest group first.

    ``lengths`` [N]; windows without sound belong to the last group. One group at least, one step at
    least.
    """
    limits = [max(int(lengths.max(initial=0)), 1)]
    while True:
        shorter = lengths[(lengths > 0) & (lengths <= LIKE * limits[-1])]
        if not len(shorter):
            return limits
        limits.append(int(shorter.max()))


def drop_streams(batch: Batch, rate: float, faceless: Tensor) -> Batch:
    """Take their faces or their sound, either alike often, from a share ``rate`` of the windows.

    Without faces a window has ``faceless`` [D_v], the training set's mean, in every frame; without
    sound it has no step of it.
    """
    visual, audio, length = batch
    assert visual is not None and audio is not None, "modality dropout needs both streams"
    if length is None:
        length = torch.full((len(audio),), audio.shape[1], device=audio.device)
    draw = torch.rand(len(visual), device=visual.device)
    no_face, no_sound = draw < rate / 2, (rate / 2 <= draw) & (draw < rate)
    visual = torch.where(no_face[:, None, None], faceless.to(visual.dtype), visual)
    return Batch(visual, audio, length.masked_fill(no_sound, 0))


def clip_of_row(windows: WindowSet, stream: str, row: int) -> str:
    """Id of the clip that feature ``row`` of ``stream`` belongs to, as far as a window uses it."""
    if stream == "visual":
        users = (windows.frames == row).any(axis=1)
    else:
        users = (windows.audio_start <= row) & (row < windows.audio_start + windows.audio_length)
    return windows.clips[windows.clip[users.argmax()]].id if users.any() else f"row {row}"


def fit_statistics(model: EmotionModel, windows: WindowSet) -> None:
    """Set the model's buffers from the training windows:
    class shares, and feature statistics if it standardises; of pooled sound they are always taken.

    Of every face, and of every step of sound that a window uses or is. Constant dimensions keep a
    deviation of 1. A stream without a single row keeps mean 0 and deviation 1.
    """
    prior = model.get_buffer("class_prior")
    counts = np.bincount(windows.label[windows.label >= 0], minlength=len(prior))
    prior.copy_(torch.from_numpy(counts / counts.sum()))
    pools = pools_sound(model.experiment)
    if model.experiment.standardise:
        _set_moments(model, "visual", windows.visual)
        if not pools:
            _set_moments(model, "audio", windows.audio, used_steps(windows))
    if pools:
        _set_moments(model, "audio", sound_statistics(windows))


def _set_moments(
    model: EmotionModel, stream: str, features: Features, rows: np.ndarray | None = None
) -> None:
    if len(features if rows is None else rows):
        mean, std = moments(features, rows)
        model.get_buffer(f"{stream}_mean").copy_(mean)
        model.get_buffer(f"{stream}_std").copy_(torch.where(std > 1e-6, std, 1.0))


def used_steps(windows: WindowSet) -> np.ndarray:
    """int64, rising: the rows of ``windows.audio`` that a window uses, each once."""
    change = np.zeros(len(windows.audio) + 1, np.int64)
    np.add.at(change, windows.audio_start, 1)
    np.add.at(change, windows.audio_start + windows.audio_length, -1)
    return np.flatnonzero(change.cumsum()[:-1])


def moments(features: Features, rows: np.ndarray | None = None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column of ``features[rows]``, float64 [D],
    in one pass (Chan's parallel formula). ``rows``: by default all.
    """
    rows = np.arange(len(features)) if rows is None else rows
    count, width = 0, features.shape[1]
    mean = torch.zeros(width, dtype=torch.float64)
    squares = torch.zeros(width, dtype=torch.float64)
    for first in range(0, len(rows), CHUNK):
        chunk = torch.from_numpy(features[rows[first : first + CHUNK]]).float()
        variance, centre = (part.double() for part in torch.var_mean(chunk, dim=0, correction=0))
        total, shift = count + len(chunk), centre - mean
        squares += variance * len(chunk) + shift.square() * count * len(chunk) / total
        mean += shift * len(chunk) / total
        count = total
    return mean, (squares / count).sqrt()
