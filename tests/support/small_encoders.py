"""Encoders with few random weights, written by the libraries whose layouts they are in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

SMALL_VISION = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "image_size": 64,
}
SMALL_TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}


def scatter(model: torch.nn.Module, std: float = 0.05) -> torch.nn.Module:
    """Random numbers everywhere: zeros and ones, where libraries start biases and norms,
    would hide a swap.
    """
    for parameter in model.parameters():
        if parameter.ndim:
            torch.nn.init.normal_(parameter, std=std)
    return model.eval()


def clip_model(
    vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None, **options: Any
) -> Any:
    """transformers' CLIPModel with random weights;
    an empty ``vision`` and ``text`` are ViT-B/32's.
    """
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(1)
    vision = SMALL_VISION if vision is None else vision
    text = SMALL_TEXT if text is None else text
    return scatter(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, **options)))


def wav2vec(folder: Path, kind: str = "Wav2Vec2Model", **options: Any) -> Any:
    """A small random model with the standard convolutions, saved into ``folder`` by transformers.

    ``kind``: the class, such as Wav2Vec2ForCTC, Wav2Vec2ForSequenceClassification or HubertModel.
    """
    import transformers

    torch.manual_seed(2)
    config_class = transformers.HubertConfig if "Hubert" in kind else transformers.Wav2Vec2Config
    small = {
        "hidden_size": 768,
        "num_hidden_layers": 1,
        "num_attention_heads": 8,
        "intermediate_size": 64,
        "conv_dim": (16,) * 7,
        "num_conv_pos_embeddings": 16,
        "num_conv_pos_embedding_groups": 96,
    }
    model = getattr(transformers, kind)(config_class(**(small | options))).eval()
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return model


OPEN_CLIP: dict[
    str, Any
] = {  # a vision transformer of 128 channels in heads of 64, as all of OpenAI's have
    "embed_dim": 96,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 128, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}


def open_clip_model(**changes: Any) -> Any:
    """open_clip's CLIP of :data:`OPEN_CLIP` with random weights."""
    from open_clip.model import CLIP

    torch.manual_seed(3)
    return scatter(CLIP(**(OPEN_CLIP | changes)), 0.2)


def save_open_clip(model: Any, folder: Path, config: dict[str, Any] | None, file: str) -> None:
    """``file`` with the model's tensors and, unless None, open_clip_config.json with ``config``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    if file.endswith(".safetensors"):
        save_file(state, folder / file)
    else:
        torch.save(state, folder / file)
    if config is not None:
        text = json.dumps({"model_cfg": config, "preprocess_cfg": {}})
        (folder / "open_clip_config.json").write_text(text)


def images(n: int = 3, size: int = 112) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(3).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    )
