"""The two frozen encoders: CLIP for faces and prompts (open_clip),
Wav2Vec 2.0 for the voice (paper section 3.1).

Both are always in eval mode without gradients: dropout or SpecAugment left on in a frozen encoder
changes the features at every call (docs/data.md, Traps). Where the weights are: ``folders``;
which layouts they come in: ``clip_layouts``.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emolib.encoders.clip_layouts import read_clip
from emolib.encoders.folders import checkpoint_of
from emolib.encoders.frozen import (
    ARITHMETIC,
    Frozen,
    config_named,
    hash_of_configs,
    in_halves,
)
from emolib.encoders.resize import fit, normalise
from emolib.encoders.weights import hash_of_weights, load_strictly

# Of the images that CLIP was trained on, as open_clip.constants has them.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
NOT_FOR_CLIP = ("custom_text", "multimodal_cfg")  # keys of a config that choose another class


class VisualEncoder(Frozen):
    """CLIP's image and text towers.

    ``width``: of its features, D_v (512 for ViT-B/32, 768 for ViT-L/14); ``image_size``: pixels;
    ``logit_scale``: CLIP's temperature as a factor (100 for OpenAI's); ``identity``: what the
    features depend on, for the store's manifest.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        folder: Path,
        *,
        name: str = "",
        resample: str = "bicubic",
        image_fit: str = "crop",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """``name``: what the experiment calls the encoder;
        it must not contradict the folder's config.
        """
        super().__init__()
        self.dtype, self.resample, self.image_fit = dtype, resample, image_fit
        with config_named(folder):
            self._build(folder, name)
        self.logit_scale = float(self.clip.logit_scale.detach().exp())
        self.identity = visual_identity(folder, resample, dtype)
        self.freeze()
        self.clip.visual.to(dtype=dtype, memory_format=torch.channels_last)
        for module in self.clip.visual.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.float()  # its statistics are sums; the convolution around it stays fast

    def _build(self, folder: Path, name: str) -> None:
        """The model with its weights, and what goes in, as the folder's configs say."""
        config, preprocess, state, file = read_clip(folder, name)
        self.clip = _model(config)
        load_strictly(self.clip, state, file)
        self.width: int = config["embed_dim"]
        size = config["vision_cfg"]["image_size"]
        self.image_size: int = size[0] if isinstance(size, (list, tuple)) else size
        self.register_buffer("mean", 255 * _of_channels(preprocess.get("mean") or CLIP_MEAN))
        self.register_buffer("std", 255 * _of_channels(preprocess.get("std") or CLIP_STD))
        self.tokenizer = _tokenizer(config["text_cfg"], folder)

    def fit(self, images: Tensor) -> Tensor:
        """Uint8 ``[B, H, W, 3]`` of any one size -> ``[B, size, size, 3]``;
        by Pillow where the arithmetic is float32.
        """
        exact = self.dtype == torch.float32
        return fit(images, self.image_size, self.resample, self.image_fit, exact=exact)

    @torch.no_grad()
    def images(self, batch: Tensor) -> Tensor:
        """Uint8 ``[B, H, W, 3]`` of any one size -> float32 ``[B, width]``, raw, not normalised.

        Work is on the encoder's device.
        """
        return self.encode(self.prepare(self.fit(batch)))

    @torch.no_grad()
    def prepare(self, fitted: Tensor) -> Tensor:
        """Uint8 ``[B, size, size, 3]`` from :meth:`fit` -> what :meth:`encode` takes,
        ``[B, 3, size, size]`` on the device.
        """
        images = fitted.to(self.device, non_blocking=True)
        return normalise(images, self.mean, self.std, self.dtype)

    @torch.no_grad()
    def encode(self, prepared: Tensor) -> Tensor:
        """``[B, 3, size, size]`` from :meth:`prepare` -> float32 ``[B, width]``."""
        return in_halves(lambda images: self.clip.encode_image(images).float(), prepared)

    @torch.no_grad()
    def prompts(self, texts: list[str]) -> Tensor:
        """Float32 ``[N, width]``, raw, not normalised; always in float32."""
        return self.clip.encode_text(self.tokenizer(texts).to(self.device)).float()


def _model(config: dict[str, Any]) -> Any:
    """open_clip's model without weights."""
    from open_clip.model import CLIP, CustomTextCLIP

    custom = config.get("custom_text") or "hf_model_name" in config.get("text_cfg", {})
    options = {key: value for key, value in config.items() if key not in NOT_FOR_CLIP}
    return CustomTextCLIP(**options) if custom else CLIP(**options)


def _of_channels(values: Any) -> Tensor:
    """One number a channel, ``[3]``."""
    return torch.tensor(values).reshape(3)


def _tokenizer(text_config: dict[str, Any], folder: Path) -> Any:
    from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

    options = dict(text_config.get("tokenizer_kwargs") or {})
    length = text_config.get("context_length", 77)
    if text_config.get("hf_tokenizer_name"):
        return HFTokenizer(str(folder), context_length=length, **options)
    if "bpe_path" in options:
        options["bpe_path"] = str(folder / options["bpe_path"])  # an absolute path stays itself
    return SimpleTokenizer(context_length=length, **options)


def visual_identity(folder: Path, resample: str, dtype: torch.dtype) -> dict[str, Any]:
    """What visual features depend on besides the images."""
    weights = checkpoint_of(folder, "visual").weights
    return {
        "encoder": "open_clip",
        "weights_sha256": hash_of_weights(weights),
        "configs": hash_of_configs(folder),
        "resize": resample,
        "precision": str(dtype).removeprefix("torch."),
        "arithmetic": ARITHMETIC,
        "versions": {name: version(name) for name in ("open_clip_torch", "torch", "simplejpeg")},
    }
