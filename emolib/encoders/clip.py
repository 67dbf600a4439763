"""The two frozen encoders: CLIP for faces and prompts (open_clip), Wav2Vec 2.0 for the voice (paper section 3.1).

Both are always in eval mode without gradients: dropout or SpecAugment left on in a frozen encoder is one of the traps
of docs/data.md, Traps. Weights come from a folder in a hub's layout, see ``weights``.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from emolib.encoders.frozen import ARITHMETIC, Frozen
from emolib.encoders.resize import fit, normalise
from emolib.encoders.vit_blocks import rewrite_blocks
from emolib.encoders.weights import (
    hash_of_weights,
    load_strictly,
    read_clip,
)
from emolib.errors import EmolibError

CLIP_MEAN, CLIP_STD = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)  # open_clip.constants


class VisualEncoder(Frozen):
    """CLIP's image and text towers.

    ``width``: 512; ``image_size``: pixels; ``logit_scale``: CLIP's temperature as a factor (100 for OpenAI's);
    ``identity``: what the features depend on, for the store's manifest.
    """

    width = 512
    mean: Tensor
    std: Tensor

    def __init__(
        self, folder: Path, *, resample: str = "bicubic", dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        from open_clip.model import CLIP, CustomTextCLIP

        config, preprocess, state = read_clip(folder)
        custom = config.get("custom_text") or "hf_model_name" in config.get("text_cfg", {})
        config = {
            key: value
            for key, value in config.items()
            if key not in ("custom_text", "multimodal_cfg")
        }
        self.clip = CustomTextCLIP(**config) if custom else CLIP(**config)
        load_strictly(self.clip, state, folder)
        if config["embed_dim"] != self.width:
            raise EmolibError(
                f"{folder}: features of width {config['embed_dim']}, the model takes {self.width}; choose another encoder"
            )
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
    if (
        not isinstance(first, nn.Conv2d)
        or first.padding != (0, 0)
        or first.in_channels != len(mean)
    ):
        return False
    weight = (first.weight.double() / std.double()[:, None, None]).to(dtype)
    shift = (weight.double() * mean.double()[:, None, None]).sum(
        dim=(1, 2, 3)
    )  # of the rounded weights: grey stays exact
    bias = 0 if first.bias is None else first.bias.double()
    first.weight, first.bias = (
        nn.Parameter(weight, requires_grad=False),
        nn.Parameter((bias - shift).to(dtype), requires_grad=False),
    )
    return True


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
    return {
        "encoder": "open_clip",
        "weights_sha256": hash_of_weights(folder),
        "resize": resample,
        "precision": str(dtype).removeprefix("torch."),
        "arithmetic": ARITHMETIC,
        "versions": {name: version(name) for name in ("open_clip_torch", "torch", "simplejpeg")},
    }
