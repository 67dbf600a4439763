"""Windows on the device: a batch is a gather of feature rows by index;
nothing is loaded inside the training loop.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from emolib.errors import EmolibError
from emolib.features.window_sets import WindowSet
from emolib.fusion import masked_statistics
from emolib.model import EmotionModel

CHUNK = (
    4096  # feature rows looked at or summed at a time, so that what lies between stays in the cache
)
SHARE_OF_MEMORY = (
    0.6  # of a GPU's free memory that features may take; above it they stay with the host
)


class Batch(NamedTuple):
    """What ``EmotionModel`` takes, on the device; None for a stream that the model does not use."""

    visual: Tensor | None  # float16 [B, T, D_v]
    audio: (
        Tensor | None
    )  # float16 [B, S, D_a]; S is the longest of the batch, on a GPU of all windows
    audio_length: Tensor | None  # int64 [B]; None where every row has S steps


class DeviceWindows:
    """A WindowSet's features and index as tensors, raw and in float16 as they are stored.

    They lie on the model's device if they fit there, else in host memory, from where each batch is
    sent. Raises EmolibError naming the clip when a feature is NaN or infinite.
    """

    def __init__(self, windows: WindowSet, model: EmotionModel) -> None:
        self.windows = windows
        self.device = model.get_buffer("class_prior").device
        home = self._home()
        self.on_gpu = home.type == "cuda"
        self.visual = self.audio = None
        self.label = torch.from_numpy(windows.label).to(self.device)
        if model.sees:
            self.visual = self._features("visual", home)
            self.frames = torch.from_numpy(windows.frames).to(home)  # [N, T]
        if model.hears:
            self.audio = self._features("audio", home)
            self.audio_start = torch.from_numpy(windows.audio_start).to(home)
            self.audio_length = torch.from_numpy(windows.audio_length.astype(np.int64)).to(home)
        self.home = home

    def __len__(self) -> int:
        return len(self.windows.label)

    def labels(self, rows: Tensor) -> Tensor:
        """Classes int64, of the shape of ``rows``, on the device."""
        return self.label[rows.to(self.device, non_blocking=True)]

    def batch(self, rows: Tensor) -> Batch:
        """The windows ``rows``: int64 [B], of the host,
        or of the device where the features lie there.

        Sound is as long as the batch's longest on a CPU; on a GPU as all windows' longest, so that
        every batch has one shape, which a CUDA graph needs.
        The host knows every length, so nothing waits for the device.
        """
        visual = audio = length = None
        here = rows.to(self.home, non_blocking=True)
        if self.visual is not None:
            visual = self._gathered(self.visual, self.frames[here])
        if self.audio is not None:
            lengths = self.windows.audio_length
            if self.device.type != "cuda":
                lengths = lengths[rows.numpy()]
            longest = max(int(lengths.max()), 1)
            steps = self.audio_start[here][:, None] + torch.arange(longest, device=self.home)
            # Past a window's end any row will do, because it is masked.
            audio = self._gathered(self.audio, steps.clamp_(max=len(self.audio) - 1))
            if int(lengths.min()) < longest:
                length = self.audio_length[here].to(self.device, non_blocking=True)
        return Batch(visual, audio, length)

    def in_order(self, size: int) -> Iterator[Batch]:
        """All windows in their order, ``size`` at a time; no batch where there is no window."""
        for first in range(0, len(self), size):
            yield self.batch(torch.arange(first, min(first + size, len(self))))

    def _gathered(self, features: Tensor, index: Tensor) -> Tensor:
        """``features[index]`` on the device;
        whole rows at a time, which indexing with a matrix does not do on a CPU.
        """
        rows = features.index_select(0, index.flatten()).view(*index.shape, -1)
        return rows.to(self.device, non_blocking=True)

    def _home(self) -> torch.device:
        if self.device.type != "cuda":
            return self.device
        needed = sum(
            array.nbytes for array in (self.windows.visual, self.windows.audio, self.windows.frames)
        )
        free = torch.cuda.mem_get_info(self.device)[0]
        return self.device if needed < SHARE_OF_MEMORY * free else torch.device("cpu")

    def _features(self, stream: str, home: torch.device) -> Tensor:
        """float16 [rows, D] of ``stream`` on ``home``, checked;
        one row of zeros where there is none to gather.
        """
        features: np.ndarray = getattr(self.windows, stream)
        if not len(features):
            return torch.zeros(1, features.shape[1], dtype=torch.float16, device=home)
        on_host = torch.from_numpy(features)
        for first in range(0, len(features), CHUNK):
            # A sum finds NaN and infinities in a tenth of the time of looking at every number.
            if not on_host[first : first + CHUNK].sum(dtype=torch.float32).isfinite():
                broken = first + int(np.argmin(np.isfinite(features[first:]).all(axis=1)))
                raise EmolibError(
                    f"{clip_of_row(self.windows, stream, broken)}: "
                    f"NaN or infinite {stream} features; "
                    "extract this clip again"
                )
        return on_host.to(home)


def clip_of_row(windows: WindowSet, stream: str, row: int) -> str:
    """Id of the clip that feature ``row`` of ``stream`` belongs to, as far as a window uses it."""
    if stream == "visual":
        users = (windows.frames == row).any(axis=1)
    else:
        users = (windows.audio_start <= row) & (row < windows.audio_start + windows.audio_length)
    return windows.clips[windows.clip[users.argmax()]].id if users.any() else f"row {row}"


def fit_statistics(model: EmotionModel, windows: WindowSet) -> None:
    """Set the model's buffers from the training windows:
    class shares, feature statistics if it standardises, and those of pooled sound if it pools.

    Constant dimensions keep a deviation of 1. A stream without a single
    row keeps mean 0 and deviation 1.
    """
    prior = model.get_buffer("class_prior")
    counts = np.bincount(windows.label[windows.label >= 0], minlength=len(prior))
    prior.copy_(torch.from_numpy(counts / counts.sum()))
    if model.experiment.standardise:
        for stream, features in (("visual", windows.visual), ("audio", windows.audio)):
            if len(features):
                mean, std = moments(features)
                model.get_buffer(f"{stream}_mean").copy_(mean)
                model.get_buffer(f"{stream}_std").copy_(torch.where(std > 1e-6, std, 1.0))
    if model.pools and len(windows.audio):
        mean, std = moments(sound_statistics(windows))
        model.get_buffer("pooled_mean").copy_(mean)
        model.get_buffer("pooled_std").copy_(torch.where(std > 1e-6, std, 1.0))


def sound_statistics(windows: WindowSet) -> np.ndarray:
    """Mean and deviation of the sound of every window that has some: float32 [N, 2 D_a]."""
    ends = windows.audio_start + windows.audio_length
    rows = [np.zeros((0, 2 * windows.audio.shape[1]), np.float32)]
    for start, end in zip(windows.audio_start.tolist(), ends.tolist(), strict=True):
        if end > start:
            steps = torch.from_numpy(windows.audio[start:end]).float()
            rows.append(masked_statistics(steps[None]).numpy())
    return np.concatenate(rows)


def moments(features: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column of [rows, D], float64 [D],
    in one pass (Chan's parallel formula).
    """
    count, width = 0, features.shape[1]
    mean = torch.zeros(width, dtype=torch.float64)
    squares = torch.zeros(width, dtype=torch.float64)
    for first in range(0, len(features), CHUNK):
        chunk = torch.from_numpy(features[first : first + CHUNK]).float()
        variance, centre = (part.double() for part in torch.var_mean(chunk, dim=0, correction=0))
        total, shift = count + len(chunk), centre - mean
        squares += variance * len(chunk) + shift.square() * count * len(chunk) / total
        mean += shift * len(chunk) / total
        count = total
    return mean, (squares / count).sqrt()
