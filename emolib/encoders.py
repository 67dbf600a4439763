"""The two frozen encoders: CLIP for faces and prompts (open_clip), Wav2Vec 2.0 for the voice (paper section 3.1).

Both are always in eval mode without gradients: dropout or SpecAugment left on in a frozen encoder is one of the traps
of FACTS section 4. Weights come from a folder in a hub's layout, see ``weights``.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emolib.arithmetic import encoder_dtype
from emolib.config import Experiment
from emolib.determinism import exact_float32
from emolib.errors import EmolibError
from emolib.files import read_json
from emolib.resize import fit, normalise
from emolib.vit_blocks import rewrite_blocks
from emolib.weights import find_folder, hash_of_weights, load_strictly, read_clip, read_state, wav2vec2_state

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # open_clip.constants
ARITHMETIC = 4  # raised when the same weights and precision give other bits than before, so that stores never mix
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)  # Wav2Vec2's convolutions: 400 samples a step, 320 apart
FIELD, HOP = 400, 320
NARROW = 16  # channels a group: at 8 oneDNN's bfloat16 convolution for AMX is wrong (relative error 1.1), from 16 on right (0.003)
IN_CACHE = 32_000  # samples through the convolutions at once on a CPU


class _Frozen(nn.Module):
    """A module that stays in eval mode and takes no gradient, whatever a training loop asks of it."""

    def freeze(self) -> None:
        exact_float32()
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "_Frozen":
        super().train(False)
        return self

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class VisualEncoder(_Frozen):
    """CLIP's image and text towers.

    ``width``: 512; ``image_size``: pixels; ``logit_scale``: CLIP's temperature as a factor (100 for OpenAI's);
    ``identity``: what the features depend on, for the store's manifest.
    """

    width = 512
    mean: Tensor
    std: Tensor

    def __init__(self, folder: Path, *, resample: str = "bicubic", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        from open_clip.model import CLIP, CustomTextCLIP

        config, preprocess, state = read_clip(folder)
        custom = config.get("custom_text") or "hf_model_name" in config.get("text_cfg", {})
        config = {key: value for key, value in config.items() if key not in ("custom_text", "multimodal_cfg")}
        self.clip = CustomTextCLIP(**config) if custom else CLIP(**config)
        load_strictly(self.clip, state, folder)
        if config["embed_dim"] != self.width:
            raise EmolibError(f"{folder}: features of width {config['embed_dim']}, the model takes {self.width}; choose another encoder")
        size = config["vision_cfg"]["image_size"]
        self.image_size: int = size[0] if isinstance(size, (list, tuple)) else size
        self.dtype, self.resample = dtype, resample
        self.logit_scale = float(self.clip.logit_scale.detach().exp())
        self.register_buffer("mean", 255 * torch.tensor(preprocess.get("mean") or CLIP_MEAN))
        self.register_buffer("std", 255 * torch.tensor(preprocess.get("std") or CLIP_STD))
        self.tokenizer = _tokenizer(config["text_cfg"], folder)
        self.identity = visual_identity(folder, resample, dtype)
        self.freeze()
        rewrite_blocks(self.clip.visual)
        self.takes_bytes = _fold_normalisation(self.clip.visual, self.mean, self.std, dtype)
        self.clip.visual.to(dtype=dtype, memory_format=torch.channels_last)
        for module in self.clip.visual.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.float()  # its statistics are sums; the convolution around it stays fast

    def fit(self, images: Tensor) -> Tensor:
        """Uint8 ``[B, H, W, 3]`` of any one size -> ``[B, size, size, 3]``; by Pillow where the arithmetic is float32."""
        return fit(images, self.image_size, self.resample, exact=self.dtype == torch.float32)

    @torch.no_grad()
    def images(self, batch: Tensor) -> Tensor:
        """Uint8 ``[B, H, W, 3]`` of any one size -> float32 ``[B, 512]``, raw, not normalised. Work is on the encoder's device."""
        return self.encode(self.prepare(self.fit(batch)))

    @torch.no_grad()
    def prepare(self, fitted: Tensor) -> Tensor:
        """Uint8 ``[B, size, size, 3]`` from :meth:`fit` -> what :meth:`encode` takes, ``[B, 3, size, size]`` on the device: bytes
        as they are where the normalisation is in the weights, else normalised values."""
        images = fitted.to(self.device, non_blocking=True)
        if self.takes_bytes:
            return images.permute(0, 3, 1, 2)
        return normalise(images, self.mean, self.std, self.dtype)

    @torch.no_grad()
    def encode(self, prepared: Tensor) -> Tensor:
        """``[B, 3, size, size]`` from :meth:`prepare` -> float32 ``[B, 512]``."""
        return self.clip.encode_image(prepared.to(self.dtype)).float()

    @torch.no_grad()
    def prompts(self, texts: list[str]) -> Tensor:
        """Float32 ``[N, 512]``, raw, not normalised; always in float32."""
        return self.clip.encode_text(self.tokenizer(texts).to(self.device)).float()


def _fold_normalisation(visual: nn.Module, mean: Tensor, std: Tensor, dtype: torch.dtype) -> bool:
    """Put (pixels - mean) / std into a patch embedding's weights, so that it takes bytes, which every type here holds exactly.

    False where the first convolution pads (ResNets): its zeros would no longer be the mean colour.
    """
    first = getattr(visual, "conv1", None)
    if not isinstance(first, nn.Conv2d) or first.padding != (0, 0) or first.in_channels != len(mean):
        return False
    weight = (first.weight.double() / std.double()[:, None, None]).to(dtype)
    shift = (weight.double() * mean.double()[:, None, None]).sum(dim=(1, 2, 3))  # of the rounded weights: grey stays exact
    bias = 0 if first.bias is None else first.bias.double()
    first.weight, first.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter((bias - shift).to(dtype), requires_grad=False)
    return True


class AudioEncoder(_Frozen):
    """Wav2Vec 2.0: 16 kHz waveforms to the last hidden states, 768 wide, one every 20 ms."""

    width = 768

    def __init__(self, folder: Path, *, normalise: bool | None = None, dtype: torch.dtype = torch.float32) -> None:
        """``normalise``: zero mean and unit variance per waveform; None: as the folder's preprocessor_config.json says."""
        super().__init__()
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        config = Wav2Vec2Config.from_pretrained(folder)
        if tuple(config.conv_kernel) != KERNELS or tuple(config.conv_stride) != STRIDES or config.hidden_size != self.width:
            raise EmolibError(f"{folder / 'config.json'}: not the convolutions and width of Wav2Vec2 base; choose another encoder")
        config.apply_spec_augment = False
        self.model: Any = Wav2Vec2Model(config)
        # masked_spec_embed only ever replaces masked steps in training; the published CTC checkpoint lacks it.
        load_strictly(self.model, wav2vec2_state(read_state(folder)), folder, optional=("masked_spec_embed",))
        self.normalise = does_normalise(folder) if normalise is None else normalise
        self.dtype = dtype
        self.identity = audio_identity(folder, self.normalise, dtype)
        nn.utils.parametrize.remove_parametrizations(self.model.encoder.pos_conv_embed.conv, "weight")
        self.freeze()
        self.model.feature_projection.to(dtype)
        self.model.encoder.to(dtype)
        position = self.model.encoder.pos_conv_embed
        if dtype == torch.bfloat16 and position.conv.in_channels // position.conv.groups < NARROW:
            self.model.encoder.set_submodule("pos_conv_embed", _InFloat32(position))
        self.model.set_submodule("feature_extractor", _Convolutions(self.model.feature_extractor.conv_layers, dtype))

    @staticmethod
    def steps(n_samples: int) -> int:
        """Steps that ``n_samples`` give: floor((n - 400) / 320) + 1, and 0 below 400 samples."""
        return 0 if n_samples < FIELD else (n_samples - FIELD) // HOP + 1

    @torch.no_grad()
    def waveforms(self, batch: Tensor) -> Tensor:
        """Float32 ``[B, n]``, equal lengths of at least 400 -> float32 ``[B, steps, 768]``.

        Only equal lengths: the first layer normalises over all time, so padding would change every output (FACTS section 5).
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


def _tokenizer(text_config: dict[str, Any], folder: Path) -> Any:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    options = dict(text_config.get("tokenizer_kwargs") or {})
    length = text_config.get("context_length", 77)
    if text_config.get("hf_tokenizer_name"):
        return HFTokenizer(str(folder), context_length=length, **options)
    if "bpe_path" in options:
        options["bpe_path"] = str(folder / options["bpe_path"])  # an absolute path stays itself
    return SimpleTokenizer(context_length=length, **options)


def does_normalise(folder: Path) -> bool:
    """``do_normalize`` of the folder's preprocessor_config.json; without one, transformers' default, True."""
    path = folder / "preprocessor_config.json"
    return bool(read_json(path).get("do_normalize", True)) if path.is_file() else True


def visual_identity(folder: Path, resample: str, dtype: torch.dtype) -> dict[str, Any]:
    """What visual features depend on besides the images."""
    return {
        "encoder": "open_clip",
        "weights_sha256": hash_of_weights(folder),
        "resize": resample,
        "precision": str(dtype).removeprefix("torch."),
        "arithmetic": ARITHMETIC,
        "versions": {name: version(name) for name in ("open_clip_torch", "torch", "simplejpeg")},
    }


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


def identify(experiment: Experiment, kind: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """The identity that the experiment's ``visual`` or ``audio`` encoder would have, without loading it."""
    dtype = encoder_dtype(device, experiment.precision)
    if kind == "visual":
        return visual_identity(find_folder(experiment.visual_encoder, experiment.weights, kind), experiment.resize, dtype)
    folder = find_folder(experiment.audio_encoder, experiment.weights, kind)
    return audio_identity(folder, experiment.waveform_norm == "config" and does_normalise(folder), dtype)


def load_visual(experiment: Experiment, device: str | torch.device = "cpu") -> VisualEncoder:
    """The experiment's visual encoder on ``device``. Raises EmolibError when weights are missing or do not fit."""
    folder = find_folder(experiment.visual_encoder, experiment.weights, "visual")
    encoder = VisualEncoder(folder, resample=experiment.resize, dtype=encoder_dtype(device, experiment.precision))
    return encoder.to(device)


def load_audio(experiment: Experiment, device: str | torch.device = "cpu") -> AudioEncoder:
    """The experiment's audio encoder on ``device``. Raises EmolibError when weights are missing or do not fit."""
    folder = find_folder(experiment.audio_encoder, experiment.weights, "audio")
    normalise = None if experiment.waveform_norm == "config" else False
    encoder = AudioEncoder(folder, normalise=normalise, dtype=encoder_dtype(device, experiment.precision))
    return encoder.to(device)
