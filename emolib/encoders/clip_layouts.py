"""CLIP's weights as they are published, in open_clip's words: a model config and a state dict.

Three layouts hold both towers: open_clip's, transformers', and the state dict of OpenAI's own
model, which has open_clip's keys and no config. timm's files hold the image tower alone and are
refused.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from emolib.encoders.folders import checkpoint_of, read_config
from emolib.encoders.published import published_name, usable
from emolib.encoders.weights import TIMM, TIMM_KEY, read_state
from emolib.errors import EmolibError

OPENAI_SIZES = ("input_resolution", "context_length", "vocab_size")  # beside OpenAI's own tensors
HEAD_WIDTH = 64  # of every vision transformer that OpenAI published


class ClipWeights(NamedTuple):
    """``config``: open_clip's model config; ``preprocess``: mean and std;
    ``state``: open_clip's keys; ``file``: of them.
    """

    config: dict[str, Any]
    preprocess: dict[str, Any]
    state: dict[str, Tensor]
    file: Path


def read_clip(folder: Path, name: str = "") -> ClipWeights:
    """The CLIP model in ``folder``; ``name`` is what the experiment calls it.

    Raises EmolibError for weights that are damaged, half a model,
    or contradict their config or their name.
    """
    config_file, file = checkpoint_of(folder, "visual")
    state = read_state(file, usable("visual"))
    quick = says_quick_gelu(name) or says_quick_gelu(published_name(folder))
    if any(key.startswith(("vision_model.", "text_model.")) for key in state):
        return _of_transformers(folder, state, file, quick)
    if "visual.conv1.weight" not in state and not any(key.startswith("visual.") for key in state):
        raise EmolibError(f"{file}: {_what_else(state)}; {usable('visual')}")
    quick = quick or OPENAI_SIZES[0] in state
    state = {key: value for key, value in state.items() if key not in OPENAI_SIZES}
    if config_file is None:
        if not quick:
            raise EmolibError(
                f"{file}: has no open_clip_config.json beside it, "
                "and nothing says which activation it was trained with;"
                f" {usable('visual')}"
            )
        return ClipWeights(_config_of_shapes(state, file), {}, state, file)
    content = read_config(config_file)
    if "model_cfg" not in content:
        raise EmolibError(f"{config_file}: has no model_cfg; get the file again")
    config = dict(content["model_cfg"])
    config["quick_gelu"] = _quick_gelu(config.get("quick_gelu"), quick, config_file)
    return ClipWeights(config, content.get("preprocess_cfg", {}), state, file)


def says_quick_gelu(name: str) -> bool:
    """Whether a published name tells that the model has OpenAI's activation:
    all of OpenAI's weights have.
    """
    tail = "/".join(Path(name).parts[-2:]).lower()
    return "quickgelu" in tail or "openai" in tail


def _quick_gelu(stated: Any, by_name: bool, config_file: Path) -> bool:
    """The activation; a config that is silent follows the name,
    one that contradicts it or says neither true nor false is refused.
    """
    if stated is not None and not isinstance(stated, bool):
        raise EmolibError(f"{config_file}: quick_gelu {stated!r}; expected true or false")
    if stated is False and by_name:
        raise EmolibError(
            f"{config_file}: says quick_gelu false, and the name says OpenAI's weights, "
            "which were trained with quick"
            " GELU; correct the config, or name the folder by what it holds"
        )
    return by_name if stated is None else stated


def _what_else(state: dict[str, Tensor]) -> str:
    """What a state dict holds that is not CLIP."""
    if TIMM_KEY in state:
        return TIMM
    return f"not CLIP's weights (first {next(iter(state))})"


def _config_of_shapes(state: dict[str, Tensor], file: Path) -> dict[str, Any]:
    """The config of a vision transformer of OpenAI's, whose heads are all 64 wide,
    from its tensors.
    """
    first = "visual.transformer.resblocks.0.mlp.c_fc.weight"
    needed = (first, "visual.positional_embedding", "text_projection", "positional_embedding")
    if absent := [key for key in needed if key not in state]:
        raise EmolibError(
            f"{file}: has no open_clip_config.json beside it and is no whole vision transformer "
            f"({absent[0]} is missing);"
            f" {usable('visual')}"
        )
    width, _, patch, _ = state["visual.conv1.weight"].shape
    grid = round((len(state["visual.positional_embedding"]) - 1) ** 0.5)
    vocabulary, text_width = state["token_embedding.weight"].shape
    return {
        "embed_dim": state["text_projection"].shape[1],
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": grid * patch,
            "patch_size": patch,
            "layers": _layers(state, "visual.transformer."),
            "width": width,
            "head_width": HEAD_WIDTH,
            "mlp_ratio": state[first].shape[0] / width,
        },
        "text_cfg": {
            "context_length": len(state["positional_embedding"]),
            "vocab_size": vocabulary,
            "width": text_width,
            "heads": text_width // HEAD_WIDTH,
            "layers": _layers(state, "transformer."),
        },
    }


def _layers(state: dict[str, Tensor], tower: str) -> int:
    start, end = f"{tower}resblocks.", ".attn.in_proj_weight"
    return sum(key.startswith(start) and key.endswith(end) for key in state)


def _of_transformers(
    folder: Path, state: dict[str, Tensor], file: Path, quick: bool
) -> ClipWeights:
    path = folder / "config.json"
    if read_config(path).get("model_type") != "clip":
        raise EmolibError(f"{path}: not a CLIP model; expected model_type clip; {usable('visual')}")
    for tower in ("vision_model.", "text_model."):
        if not any(key.startswith(tower) for key in state):
            raise EmolibError(f"{file}: half of CLIP, without {tower}*; {usable('visual')}")
    preprocess = {}
    if (folder / "preprocessor_config.json").is_file():
        stated = read_config(folder / "preprocessor_config.json")
        for ours, key in (("mean", "image_mean"), ("std", "image_std")):
            if key in stated:
                preprocess[ours] = stated[key]
    return ClipWeights(
        _config_of_transformers(folder, quick), preprocess, _renamed(state, file), file
    )


def _config_of_transformers(folder: Path, quick: bool) -> dict[str, Any]:
    """A ``transformers`` CLIP config in open_clip's words.

    OpenAI's models have quick GELU; it is read, not assumed.
    """
    from transformers import CLIPConfig

    config: Any = CLIPConfig.from_pretrained(folder)
    vision, text = config.vision_config, config.text_config
    path = folder / "config.json"
    if vision.hidden_act != text.hidden_act or vision.hidden_act not in ("quick_gelu", "gelu"):
        raise EmolibError(f"{path}: activation {vision.hidden_act}/{text.hidden_act} is not CLIP's")
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": _quick_gelu(vision.hidden_act == "quick_gelu", quick, path),
        "vision_cfg": {
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
            "norm_kwargs": {"eps": vision.layer_norm_eps},
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "layers": text.num_hidden_layers,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
            "norm_kwargs": {"eps": text.layer_norm_eps},
        },
    }


KEYS = {
    "logit_scale": "logit_scale",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
}
BLOCK_KEYS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
PROJECTIONS = {
    "text_projection.weight": "text_projection",
    "visual_projection.weight": "visual.proj",
}


def _renamed(state: dict[str, Tensor], file: Path) -> dict[str, Tensor]:
    """The keys of ``transformers.CLIPModel`` as open_clip's;
    a key that fits nothing is kept and so refused later.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        tower, _, rest = key.partition(".encoder.layers.")
        if key.endswith(".position_ids"):  # a constant of old files
            continue
        if key in PROJECTIONS:
            renamed[PROJECTIONS[key]] = value.T.contiguous()
        elif rest:
            number, part = rest.split(".", 1)
            prefix = "visual." if tower == "vision_model" else ""
            block = f"{prefix}transformer.resblocks.{number}"
            renamed |= _block(block, part, key, state, file)
        else:
            renamed[KEYS.get(key, key)] = value
    return renamed


def _block(
    block: str, part: str, key: str, state: dict[str, Tensor], file: Path
) -> dict[str, Tensor]:
    """One tensor of a transformer's block;
    queries, keys and values, which open_clip joins, come with the queries.
    """
    name, kind = part.rsplit(".", 1)
    if name in ("self_attn.k_proj", "self_attn.v_proj"):
        return {} if key.replace(name, "self_attn.q_proj") in state else {key: state[key]}
    if name != "self_attn.q_proj":
        return {f"{block}.{BLOCK_KEYS[name]}.{kind}" if name in BLOCK_KEYS else key: state[key]}
    three = [key.replace("q_proj", f"{letter}_proj") for letter in "qkv"]
    if not all(name in state for name in three):
        raise EmolibError(
            f"{file}: {key} has no key and value projections beside it; get the file again"
        )
    return {f"{block}.attn.in_proj_{kind}": torch.cat([state[name] for name in three])}
