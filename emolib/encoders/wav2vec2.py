"""Wav2Vec 2.0, frozen: 16 kHz waveforms to one vector every 20 ms (paper section 3.1)."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emolib.encoders.frozen import ARITHMETIC, Frozen
from emolib.encoders.weights import (
    hash_of_weights,
    load_strictly,
    read_state,
    wav2vec2_state,
)
from emolib.errors import EmolibError
from emolib.system.files import read_json

KERNELS, STRIDES = (
    (10, 3, 3, 3, 3, 2, 2),
    (5, 2, 2, 2, 2, 2, 2),
)  # Wav2Vec2's convolutions: 400 samples a step, 320 apart


FIELD, HOP = 400, 320


NARROW = 16  # channels a group: at 8 oneDNN's bfloat16 convolution for AMX is wrong (relative error 1.1), from 16 on right (0.003)


IN_CACHE = 32_000  # samples through the convolutions at once on a CPU


class AudioEncoder(Frozen):
    """Wav2Vec 2.0: 16 kHz waveforms to the last hidden states, 768 wide, one every 20 ms."""

    width = 768

    def __init__(
        self, folder: Path, *, normalise: bool | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        """``normalise``: zero mean and unit variance per waveform; None: as the folder's preprocessor_config.json says."""
        super().__init__()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        config = Wav2Vec2Config.from_pretrained(folder)
        if (
            tuple(config.conv_kernel) != KERNELS
            or tuple(config.conv_stride) != STRIDES
            or config.hidden_size != self.width
        ):
            raise EmolibError(
                f"{folder / 'config.json'}: not the convolutions and width of Wav2Vec2 base; choose another encoder"
            )
        config.apply_spec_augment = False
        self.model: Any = Wav2Vec2Model(config)
        # masked_spec_embed only ever replaces masked steps in training; the published CTC checkpoint lacks it.
        load_strictly(
            self.model, wav2vec2_state(read_state(folder)), folder, optional=("masked_spec_embed",)
        )
        self.normalise = does_normalise(folder) if normalise is None else normalise
        self.dtype = dtype
        self.identity = audio_identity(folder, self.normalise, dtype)
        nn.utils.parametrize.remove_parametrizations(
            self.model.encoder.pos_conv_embed.conv, "weight"
        )
        self.freeze()
        self.model.feature_projection.to(dtype)
        self.model.encoder.to(dtype)
        position = self.model.encoder.pos_conv_embed
        if dtype == torch.bfloat16 and position.conv.in_channels // position.conv.groups < NARROW:
            self.model.encoder.set_submodule("pos_conv_embed", _InFloat32(position))
        self.model.set_submodule(
            "feature_extractor", _Convolutions(self.model.feature_extractor.conv_layers, dtype)
        )

    @staticmethod
    def steps(n_samples: int) -> int:
        """Steps that ``n_samples`` give: floor((n - 400) / 320) + 1, and 0 below 400 samples."""
        return 0 if n_samples < FIELD else (n_samples - FIELD) // HOP + 1

    @torch.no_grad()
    def waveforms(self, batch: Tensor) -> Tensor:
        """Float32 ``[B, n]``, equal lengths of at least 400 -> float32 ``[B, steps, 768]``.

        Only equal lengths: the first layer normalises over all time, so padding would change
        every output (docs/method.md, Audio encoder).
        """
        waves = batch.to(self.device, torch.float32, non_blocking=True)
        if self.normalise:
            deviation = waves - waves.mean(dim=1, keepdim=True)
            waves = deviation / (deviation.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        return self.model(waves).last_hidden_state.float()


class _InFloat32(nn.Module):
    """A module in float32 between others that are not."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.float()

    def forward(self, x: Tensor) -> Tensor:
        """What ``module`` makes of ``x``, in its type."""
        return self.module(x.float()).to(x.dtype)


class _Convolutions(nn.Module):
    """The convolutions over samples, the first in float32 where the others are in bfloat16.

    bfloat16 has too few digits for samples: on synthetic voices the least cosine of a step was 0.9986 with all of them in
    bfloat16, 0.9995 without the first, 0.99997 with the transformer alone in it.
    """

    def __init__(self, layers: nn.ModuleList, dtype: torch.dtype) -> None:
        super().__init__()
        self.inside, self.outside = torch.float32 if dtype == torch.bfloat16 else dtype, dtype
        self.first, self.rest = layers[0].to(self.inside), layers[1:].to(dtype)

    def forward(self, waves: Tensor) -> Tensor:
        """``[B, n]`` -> ``[B, channels, steps]``. In bfloat16 on a CPU a few waves at a time, whose activations
        (13 MB for 2 s) stay near: the same bits in two thirds of the time. In float32 other sizes give other bits."""
        few = self.outside == torch.bfloat16 and not waves.is_cuda
        parts = waves.split(max(1, IN_CACHE // waves.shape[1]) if few else len(waves))
        return torch.cat([self._steps(part) for part in parts])

    def _steps(self, waves: Tensor) -> Tensor:
        hidden = self.first(waves[:, None].to(self.inside)).to(self.outside)
        for layer in self.rest:
            hidden = layer(hidden)
        return hidden


def does_normalise(folder: Path) -> bool:
    """``do_normalize`` of the folder's preprocessor_config.json; without one, transformers' default, True."""
    path = folder / "preprocessor_config.json"
    return bool(read_json(path).get("do_normalize", True)) if path.is_file() else True


def audio_identity(folder: Path, normalise: bool, dtype: torch.dtype) -> dict[str, Any]:
    """What audio features depend on besides the sound."""
    return {
        "encoder": "transformers.Wav2Vec2Model",
        "weights_sha256": hash_of_weights(folder),
        "normalise": normalise,
        "precision": str(dtype).removeprefix("torch."),
        "arithmetic": ARITHMETIC,
        "versions": {name: version(name) for name in ("transformers", "torch", "av")},
    }
