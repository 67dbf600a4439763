"""Wav2Vec 2.0, frozen: 16 kHz waveforms to one vector every 20 ms (paper section 3.1);
HuBERT, of the same build.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emolib.encoders.folders import checkpoint_of, read_config
from emolib.encoders.frozen import (
    ARITHMETIC,
    Frozen,
    config_named,
    hash_of_configs,
    in_halves,
    one_thread,
)
from emolib.encoders.published import usable
from emolib.encoders.weights import hash_of_weights, load_strictly, read_state
from emolib.errors import EmolibError, WrongCall

MODELS = {  # model_type of a config, and transformers' classes for it
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2Model"),
    "hubert": ("HubertConfig", "HubertModel"),
}
# What replaces masked steps in training; the published checkpoint for speech recognition lacks it.
MASK = "masked_spec_embed"
# What checkpoints for speech recognition, classification and pre-training carry
# besides the encoder.
HEADS = (
    "lm_head.",
    "projector.",
    "classifier.",
    "layer_weights",
    "quantizer.",
    "project_hid.",
    "project_q.",
    "dropout_features.",
)
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # of the convolutions over samples
RATE = 16_000  # Hz of the sound that is given
FIELD, HOP = 400, 320  # samples that a step sees, and between steps: what those convolutions give
# channels a group: at 8 oneDNN's bfloat16 convolution for AMX is wrong (relative error 1.1),
# from 16 on right (0.003)
NARROW = 16
IN_CACHE = 32_000  # samples through the convolutions at once on a CPU


class AudioEncoder(Frozen):
    """Wav2Vec 2.0 or HuBERT: 16 kHz waveforms to the last hidden states (or a mean of several
    layers'), one every 20 ms.

    ``width``: of its features, D_a (768 for the base models, 1024 for the large ones);
    ``identity``: what the features depend on, for the store's manifest.
    """

    def __init__(
        self,
        folder: Path,
        *,
        normalise: bool | None = None,
        dtype: torch.dtype = torch.float32,
        layers: int = 1,
        **changes: Any,
    ) -> None:
        """``normalise``: zero mean and unit variance per waveform; None: as the folder's
        preprocessor_config.json says. ``layers``: so many of the last ones, whose mean is the
        feature. ``changes``: of the folder's config.json.

        Raises WrongCall for more layers than the model has.
        """
        super().__init__()
        file = checkpoint_of(folder, "audio").weights
        with config_named(folder):
            self.model = _model(folder, changes)
        depth = self.model.config.num_hidden_layers
        if layers > depth:
            raise WrongCall(f"audio_layers={layers}: the encoder in {folder} has {depth}")
        self.layers = layers
        state = encoder_state(read_state(file, usable("audio")))
        load_strictly(self.model, state, file, optional=(MASK,))
        self.has_mask = MASK in state
        self.masks = False  # whether SpecAugment is on
        self.width: int = self.model.config.hidden_size
        self.normalise = does_normalise(folder) if normalise is None else normalise
        self.dtype = dtype
        self.identity = audio_identity(folder, self.normalise, dtype)
        position = self.model.encoder.pos_conv_embed
        if nn.utils.parametrize.is_parametrized(position.conv, "weight"):
            with one_thread():  # its weight is divided by norms
                nn.utils.parametrize.remove_parametrizations(position.conv, "weight")
        self.freeze()
        self.model.feature_projection.to(dtype)
        self.model.encoder.to(dtype)
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
        """Float32 ``[B, n]``, equal lengths of at least 400 -> float32 ``[B, steps, width]``.

        Only equal lengths: the first layer of the base models normalises over all time, so padding
        would change every output (docs/method.md, Audio encoder).
        """
        return in_halves(self._encode, batch.to(self.device, torch.float32, non_blocking=True))

    def _encode(self, waves: Tensor) -> Tensor:
        if self.normalise:
            deviation = waves - waves.mean(dim=1, keepdim=True)
            waves = deviation / (deviation.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        # transformers refuses to mask what is shorter than one mask
        long_enough = self.steps(waves.shape[1]) >= self.model.config.mask_time_length
        self.model.config.apply_spec_augment = self.masks and long_enough
        if self.layers == 1:
            return self.model(waves).last_hidden_state.float()
        hidden = self.model(waves, output_hidden_states=True).hidden_states[-self.layers :]
        return torch.stack(hidden).float().mean(dim=0)

    def set_train_mode(self, seed: int) -> None:
        """Dropout, layer drop and SpecAugment on, as in the released code (docs/method.md).

        What replaces masked steps is drawn from ``seed`` where the checkpoint lacks it.
        """
        self.masks = True
        self.model.train()
        if self.model.config.mask_time_prob > 0 and not self.has_mask:
            generator = torch.Generator().manual_seed(seed)
            vector = torch.rand(self.width, generator=generator)
            self.model.masked_spec_embed.copy_(vector.to(self.model.masked_spec_embed))


def _model(folder: Path, changes: dict[str, Any]) -> Any:
    """The folder's model without weights, its config with ``changes``.

    Raises EmolibError for models whose steps are not 20 ms or of other classes.
    """
    import transformers

    path = folder / "config.json"
    kind = read_config(path).get("model_type")
    if kind not in MODELS:
        raise EmolibError(
            f"{path}: model_type {kind!r}; emolib takes {' and '.join(MODELS)}; {usable('audio')}"
        )
    config_class, model_class = (getattr(transformers, name) for name in MODELS[kind])
    config = config_class.from_pretrained(folder, **changes)
    strides = tuple(config.conv_kernel), tuple(config.conv_stride)
    if strides != (KERNELS, STRIDES) or getattr(config, "add_adapter", False):
        raise EmolibError(f"{path}: its steps are not 20 ms apart; choose another encoder")
    return model_class(config)


def encoder_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's own keys out of any published checkpoint: without the model's name in front,
    without known heads, with weight normalisation under the names torch has used since 2.0.
    """
    own = {}
    for key, value in state.items():
        if key.startswith(HEADS):
            continue
        name = key.removeprefix("wav2vec2.").removeprefix("hubert.")
        name = name.replace("conv.weight_g", "conv.parametrizations.weight.original0")
        own[name.replace("conv.weight_v", "conv.parametrizations.weight.original1")] = value
    return own


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

    bfloat16 has too few digits for samples: on synthetic voices the least cosine of a step was
    0.9986 with all of them in bfloat16, 0.9995 without the first, 0.99997 with the transformer
    alone in it.
    """

    def __init__(self, layers: nn.ModuleList, dtype: torch.dtype) -> None:
        super().__init__()
        self.inside, self.outside = torch.float32 if dtype == torch.bfloat16 else dtype, dtype
        self.first, self.rest = layers[0].to(self.inside), layers[1:].to(dtype)

    def forward(self, waves: Tensor) -> Tensor:
        """``[B, n]`` -> ``[B, channels, steps]``.

        In bfloat16 on a CPU a few waves at a time, whose activations (13 MB for 2 s) stay near:
        the same bits in two thirds of the time. In float32 other sizes give other bits.
        """
        few = self.outside == torch.bfloat16 and not waves.is_cuda
        parts = waves.split(max(1, IN_CACHE // waves.shape[1]) if few else len(waves))
        return torch.cat([self._steps(part) for part in parts])

    def _steps(self, waves: Tensor) -> Tensor:
        hidden = self.first(waves[:, None].to(self.inside)).to(self.outside)
        for layer in self.rest:
            hidden = layer(hidden)
        return hidden


def width_of(folder: Path) -> int:
    """``width`` of the encoder in ``folder``, without loading it; transformers' default is 768."""
    with config_named(folder):
        return int(read_config(folder / "config.json").get("hidden_size", 768))


def does_normalise(folder: Path) -> bool:
    """``do_normalize`` of the folder's preprocessor_config.json;
    without one, transformers' default, True.

    Raises EmolibError for a file that asks for sound at another rate than RATE.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return True
    stated = read_config(path)
    rate, normalises = stated.get("sampling_rate", RATE), stated.get("do_normalize", True)
    if rate != RATE:
        raise EmolibError(f"{path}: sampling_rate {rate!r}; emolib gives sound at {RATE} Hz")
    if not isinstance(normalises, bool):
        raise EmolibError(f"{path}: do_normalize {normalises!r}; expected true or false")
    return normalises


def audio_identity(folder: Path, normalise: bool, dtype: torch.dtype) -> dict[str, Any]:
    """What audio features depend on besides the sound."""
    return {
        "encoder": "transformers.Wav2Vec2Model",
        "weights_sha256": hash_of_weights(checkpoint_of(folder, "audio").weights),
        "configs": hash_of_configs(folder),
        "normalise": normalise,
        "precision": str(dtype).removeprefix("torch."),
        "arithmetic": ARITHMETIC,
        "versions": {name: version(name) for name in ("transformers", "torch", "av")},
    }
