"""Windows on the device: a batch is an index gather, nothing is loaded, converted or standardised inside the loop."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from emolib.errors import EmolibError
from emolib.model import AUDIO_WIDTH, VISUAL_WIDTH, EmotionModel
from emolib.system.arithmetic import training_dtype

if TYPE_CHECKING:
    from emolib.features.window_sets import WindowSet

CHUNK = 16384  # feature rows summed at a time, so that no float32 copy of all of them exists
CONVERTED = 4096  # feature rows converted at a time, so that what lies between float16 and the result stays in the cache
SHARE_OF_MEMORY = (
    0.6  # of a GPU's free memory that features may take; above it they stay with the host
)


class Batch(NamedTuple):
    """What ``EmotionModel.decide`` takes, on the device; None for a stream the model does not use."""

    visual: Tensor | None  # [B, T, 512] standardised, a view of [T, B, 512]
    audio: (
        Tensor | None
    )  # [B, S, 768] standardised; S is the longest of the batch, on a GPU of all windows
    audio_length: Tensor | None  # int64 [B]; None when every row has S steps


class DeviceWindows:
    """A WindowSet's features and index as tensors, standardised and in the type of the arithmetic.

    On the model's device if they fit there, else in host memory, from where each batch is sent. Raises EmolibError
    naming the clip when a feature is NaN or infinite.
    """

    def __init__(self, windows: "WindowSet", model: EmotionModel) -> None:
        self.windows = windows
        self.device = model.get_buffer("class_prior").device
        self.visual = self.audio = None
        home = self._home()
        middle = windows.frames.shape[1] // 2
        columns = (
            slice(middle, middle + 1) if model.experiment.visual_frames == "centre" else slice(None)
        )
        self.frames = torch.from_numpy(np.ascontiguousarray(windows.frames[:, columns].T)).to(
            home
        )  # [T, N]
        self.label = torch.from_numpy(windows.label).to(self.device)
        if model.sees:
            self.visual = self._converted(windows.visual, VISUAL_WIDTH, model, "visual", home)
        self.on_gpu = home.type == "cuda"
        if model.hears:
            self.audio = self._converted(windows.audio, AUDIO_WIDTH, model, "audio", home)
            self.audio_start = torch.from_numpy(windows.audio_start).to(home)
            self.audio_length = torch.from_numpy(windows.audio_length.astype(np.int64)).to(home)

    def __len__(self) -> int:
        return len(self.windows.label)

    def batch(self, rows: Tensor) -> Batch:
        """The windows ``rows`` (int64 [B], of the host, or of the device where the features lie there).

        Sound is as long as the batch's longest on a CPU; on a GPU as all windows' longest, so that every batch has one
        shape, which a CUDA graph needs. The host knows every length, so nothing waits for the device.
        """
        longest, ragged = 0, False
        if self.audio is not None:
            lengths = (
                self.windows.audio_length
                if self.device.type == "cuda"
                else self.windows.audio_length[rows.numpy()]
            )
            longest = max(int(lengths.max()), 1)
            ragged = int(lengths.min()) < longest
        rows = rows.to(self.frames.device, non_blocking=True)
        visual = audio = length = None
        if self.visual is not None:
            visual = (
                _gathered(self.visual, self.frames[:, rows])
                .to(self.device, non_blocking=True)
                .transpose(0, 1)
            )
        if self.audio is not None:
            steps = self.audio_start[rows][:, None] + torch.arange(
                longest, device=self.frames.device
            )
            steps = steps.clamp_(
                max=len(self.audio) - 1
            )  # past a window's end any row will do: it is masked
            audio = _gathered(self.audio, steps).to(self.device, non_blocking=True)
            length = self.audio_length[rows].to(self.device, non_blocking=True) if ragged else None
        return Batch(visual, audio, length)

    def in_order(self, size: int) -> Iterator[Batch]:
        """All windows in their order, ``size`` at a time; no batch where there is no window."""
        for first in range(0, len(self), size):
            yield self.batch(torch.arange(first, min(first + size, len(self))))

    def _home(self) -> torch.device:
        if self.device.type != "cuda":
            return self.device
        needed = (
            4 * (self.windows.visual.size + self.windows.audio.size) + self.windows.frames.nbytes
        )
        return (
            self.device
            if needed < SHARE_OF_MEMORY * torch.cuda.mem_get_info(self.device)[0]
            else torch.device("cpu")
        )

    def _converted(
        self, features: np.ndarray, width: int, model: EmotionModel, stream: str, home: torch.device
    ) -> Tensor:
        """float16 [rows, width] to one row more (so that an empty stream can be gathered), standardised, on ``home``."""
        result = torch.zeros(
            len(features) + 1,
            width,
            dtype=training_dtype(self.device, model.experiment.amp),
            device=home,
        )
        for first in range(0, len(features), CONVERTED):
            chunk = torch.from_numpy(features[first : first + CONVERTED]).to(self.device)
            standardised = model.standardised(chunk, stream)
            if not standardised.sum(
                dtype=torch.float32
            ).isfinite():  # a tenth of the time of looking at every float16
                broken = next(
                    row for row, values in enumerate(features) if not np.isfinite(values).all()
                )  # the statistics' fault too
                raise EmolibError(
                    f"{clip_of_row(self.windows, stream, broken)}: NaN or infinite {stream} features; extract this clip again"
                )
            result[first : first + len(chunk)] = standardised
        return result


def _gathered(features: Tensor, index: Tensor) -> Tensor:
    """``features[index]``; whole rows at a time, which indexing with a matrix does not do on a CPU."""
    return features.index_select(0, index.flatten()).view(*index.shape, -1)


def clip_of_row(windows: "WindowSet", stream: str, row: int) -> str:
    """Id of the clip that feature ``row`` of ``stream`` belongs to, as far as a window uses it."""
    if stream == "visual":
        users = (windows.frames == row).any(axis=1)
    else:
        users = (windows.audio_start <= row) & (row < windows.audio_start + windows.audio_length)
    return windows.clips[windows.clip[users.argmax()]].id if users.any() else f"row {row}"


def fit_statistics(model: EmotionModel, windows: "WindowSet") -> None:
    """Set the model's buffers from the training windows: class shares, and feature statistics if it standardises.

    Constant dimensions keep a deviation of 1. A stream without a single row keeps mean 0 and deviation 1.
    """
    counts = np.bincount(
        windows.label[windows.label >= 0], minlength=len(model.get_buffer("class_prior"))
    )
    model.get_buffer("class_prior").copy_(torch.from_numpy(counts / counts.sum()))
    if model.experiment.standardise:
        for stream, features in (("visual", windows.visual), ("audio", windows.audio)):
            if len(features):
                mean, std = moments(features)
                model.get_buffer(f"{stream}_mean").copy_(mean)
                model.get_buffer(f"{stream}_std").copy_(torch.where(std > 1e-6, std, 1.0))


def moments(features: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column of [rows, D], float64 [D], in one pass (Chan's parallel formula)."""
    count, mean, squares = (
        0,
        torch.zeros(features.shape[1], dtype=torch.float64),
        torch.zeros(features.shape[1], dtype=torch.float64),
    )
    for first in range(0, len(features), CHUNK):
        chunk = torch.from_numpy(features[first : first + CHUNK]).float()
        variance, centre = (part.double() for part in torch.var_mean(chunk, dim=0, correction=0))
        total, shift = count + len(chunk), centre - mean
        squares += variance * len(chunk) + shift.square() * count * len(chunk) / total
        mean += shift * len(chunk) / total
        count = total
    return mean, (squares / count).sqrt()
