"""Where the frozen encoders' weights are, and how each published layout becomes a state dict, strictly.

Nothing is unpickled and nothing is downloaded: safetensors, or ``torch.load(weights_only=True)`` of a ``.bin``. A key
that is missing or unknown is an error, because a half-loaded encoder gives features that only look right.
"""

from collections.abc import Iterable
from pathlib import Path
from pickle import UnpicklingError  # the name of torch's refusal; nothing here is unpickled
from typing import Any

import torch

import emolib
from emolib.errors import EmolibError
from emolib.system.files import hash_file, read_json

ASSETS = Path(emolib.__file__).parent / "assets"
# The same OpenAI weights go by several names; open_clip's own name is the setting's.
ALIASES = {
    "ViT-B-32-quickgelu/openai": (
        "openai/clip-vit-base-patch32",
        "timm/vit_base_patch32_clip_quickgelu_224.openai",
        "ViT-B-32-quickgelu",
    ),
}
CONFIGS = {"visual": ("open_clip_config.json", "config.json"), "audio": ("config.json",)}
WEIGHT_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
_hashes: dict[tuple[str, int, int], str] = {}


def find_folder(name: str, weights: str, kind: str) -> Path:
    """The folder, in a hub's layout, that holds encoder ``name``; ``kind`` is ``visual`` or ``audio``.

    Looked for as the package's own (``synthetic``), as a path, below ``weights`` and in the hub's cache on this
    machine. Raises EmolibError saying which files to get and where to put them.
    """
    if name == "synthetic":
        candidates: list[Path] = [ASSETS / kind]
    else:
        names = (name, *ALIASES.get(name, ()))
        below = [Path(weights)] if weights else []
        candidates = [
            Path(name),
            *(root / tail for root in below for n in names for tail in (n, n.rsplit("/", 1)[-1])),
            *_hub_cache(names),
        ]
    for folder in candidates:
        if any((folder / config).is_file() for config in CONFIGS[kind]) and _weight_file(folder):
            return folder
    for folder in (*candidates, Path(weights or name)):
        for archive in folder.glob("ViT-*.pt") if folder.is_dir() else ():
            raise EmolibError(
                f"{archive}: a TorchScript archive, which can run code when it is opened; use the same weights as"
                " config.json and model.safetensors of https://huggingface.co/openai/clip-vit-base-patch32"
            )
    raise EmolibError(_missing(name, weights, kind))


def _missing(name: str, weights: str, kind: str) -> str:
    if name == "synthetic":
        return f"{ASSETS / kind}: the package's own encoder is missing; install emolib again"
    hub = ALIASES.get(name, (name,))[0]
    files = "config.json, model.safetensors" + (
        " and preprocessor_config.json" if kind == "audio" else ""
    )
    target = Path(weights or "weights") / hub
    option = "" if weights else f"; then set weights={Path('weights').resolve()}"
    return (
        f"{kind} encoder {name!r}: weights not found on this machine; put {files} of https://huggingface.co/{hub}"
        f" into {target} (hf download {hub} --local-dir {target}){option}"
    )


def _hub_cache(names: Iterable[str]) -> list[Path]:
    """Snapshot folders of the names that are in the hub's cache; no network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    found = []
    for name in names:
        try:
            found.append(Path(snapshot_download(name, local_files_only=True)))
        except (LocalEntryNotFoundError, HFValidationError):
            continue
    return found


def _weight_file(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def hash_of_weights(folder: Path) -> str:
    """SHA-256 of the folder's weights file; computed once per process and file."""
    file = _weight_file(folder)
    if file is None:
        raise EmolibError(f"{folder}: no weights file; expected one of {', '.join(WEIGHT_FILES)}")
    status = file.stat()
    key = (str(file.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _hashes:
        _hashes[key] = hash_file(file)
    return _hashes[key]


def read_state(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of the folder's weights file, float32. Raises EmolibError when the file is damaged."""
    file = _weight_file(folder)
    if file is None:
        raise EmolibError(f"{folder}: no weights file; expected one of {', '.join(WEIGHT_FILES)}")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: Any = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise EmolibError(
            f"{file}: cannot be read as weights ({error}); get the file again"
        ) from error
    except UnpicklingError as error:
        raise EmolibError(
            f"{file}: holds more than tensors, which is refused; get model.safetensors instead"
        ) from error
    state = state.get("state_dict", state)
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }


def load_strictly(
    module: torch.nn.Module,
    state: dict[str, torch.Tensor],
    folder: Path,
    *,
    optional: tuple[str, ...] = (),
) -> None:
    """Load ``state``: every parameter present but those named ``optional``, none unknown. Raises EmolibError."""
    try:
        missing, unknown = module.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes differ
        raise EmolibError(
            f"{folder}: weights do not fit the config: {str(error).splitlines()[-1].strip()}"
        ) from error
    missing = [key for key in missing if key not in optional]
    if missing or unknown:
        what = "; ".join(
            f"{len(keys)} {word}, first {keys[0]}"
            for keys, word in ((missing, "missing"), (unknown, "unknown"))
            if keys
        )
        raise EmolibError(
            f"{folder}: weights do not match the config: {what}; get both files from one place"
        )


def read_clip(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, torch.Tensor]]:
    """(open_clip model config, preprocessing config, state dict with open_clip's keys) of either published layout."""
    if (folder / "open_clip_config.json").is_file():
        config = read_json(folder / "open_clip_config.json")
        if not isinstance(config, dict) or "model_cfg" not in config:
            raise EmolibError(
                f"{folder / 'open_clip_config.json'}: has no model_cfg; get the file again"
            )
        return config["model_cfg"], config.get("preprocess_cfg", {}), read_state(folder)
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or config.get("model_type") != "clip":
        raise EmolibError(f"{folder / 'config.json'}: not a CLIP model; expected model_type clip")
    preprocess = {}
    if (folder / "preprocessor_config.json").is_file():
        found = read_json(folder / "preprocessor_config.json")
        preprocess = {
            ours: found[theirs]
            for ours, theirs in (("mean", "image_mean"), ("std", "image_std"))
            if theirs in found
        }
    return _clip_config(folder), preprocess, _clip_state(read_state(folder), folder)


def _clip_config(folder: Path) -> dict[str, Any]:
    """A ``transformers`` CLIP config in open_clip's words. OpenAI's models have quick GELU; it is read, not assumed."""
    from transformers import CLIPConfig

    config: Any = CLIPConfig.from_pretrained(folder)
    vision, text = config.vision_config, config.text_config
    if vision.hidden_act != text.hidden_act or vision.hidden_act not in ("quick_gelu", "gelu"):
        raise EmolibError(
            f"{folder / 'config.json'}: activation {vision.hidden_act}/{text.hidden_act} is not CLIP's"
        )
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": vision.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            "mlp_ratio": vision.intermediate_size / vision.hidden_size,
        },
        "text_cfg": {
            "context_length": text.max_position_embeddings,
            "vocab_size": text.vocab_size,
            "width": text.hidden_size,
            "heads": text.num_attention_heads,
            "layers": text.num_hidden_layers,
            "mlp_ratio": text.intermediate_size / text.hidden_size,
        },
    }


_CLIP_KEYS = {
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
_BLOCK_KEYS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def _clip_state(state: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """The keys of ``transformers.CLIPModel`` as open_clip's; a key that fits nothing is kept and so refused later."""
    state = {
        key: value for key, value in state.items() if not key.endswith(".position_ids")
    }  # a constant of old files
    result: dict[str, torch.Tensor] = {}
    for theirs, ours in (
        ("text_projection.weight", "text_projection"),
        ("visual_projection.weight", "visual.proj"),
    ):
        if theirs in state:
            result[ours] = state.pop(theirs).T.contiguous()
    for key in list(state):
        tower, _, rest = key.partition(".encoder.layers.")
        if key in _CLIP_KEYS:
            result[_CLIP_KEYS[key]] = state.pop(key)
        elif rest:
            number, name = rest.split(".", 1)
            block = f"{'visual.' if tower == 'vision_model' else ''}transformer.resblocks.{number}"
            part, kind = name.rsplit(".", 1)
            if part in _BLOCK_KEYS:
                result[f"{block}.{_BLOCK_KEYS[part]}.{kind}"] = state.pop(key)
            elif part == "self_attn.q_proj":
                three = [
                    state.pop(key.replace("q_proj", f"{letter}_proj"), None) for letter in "qkv"
                ]
                if any(value is None for value in three):
                    raise EmolibError(
                        f"{folder}: {key} has no key and value projections beside it; get the file again"
                    )
                result[f"{block}.attn.in_proj_{kind}"] = torch.cat(
                    [value for value in three if value is not None]
                )
    return {**result, **state}


# What checkpoints for speech recognition and for pre-training carry besides the encoder.
_HEADS = ("lm_head.", "quantizer.", "project_hid.", "project_q.", "dropout_features.")


def wav2vec2_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's own keys out of any published Wav2Vec2 checkpoint: without ``wav2vec2.``, without known heads,
    with weight normalisation under the names torch has used since 2.0."""
    result = {}
    for key, value in state.items():
        if key.startswith(_HEADS):
            continue
        name = key.removeprefix("wav2vec2.")
        name = name.replace("conv.weight_g", "conv.parametrizations.weight.original0")
        result[name.replace("conv.weight_v", "conv.parametrizations.weight.original1")] = value
    return result
