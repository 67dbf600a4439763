"""Published encoders: the names they go by, the files to fetch,
and the checksums of files that are known.

A checksum stands here only where many independent projects pin the same one for the same revision.
"""

from pathlib import Path
from typing import NamedTuple


class Published(NamedTuple):
    """What a repository of the hub offers."""

    files: tuple[str, ...]  # enough to load the encoder
    sha256: str  # of the weights among them


PUBLISHED = {
    "openai/clip-vit-base-patch32": Published(  # its main branch has no safetensors
        ("config.json", "preprocessor_config.json", "pytorch_model.bin"),
        "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
    ),
    "facebook/wav2vec2-base-960h": Published(
        ("config.json", "preprocessor_config.json", "model.safetensors"),
        "8aa76ab2243c81747a1f832954586bc566090c83a0ac167df6f31f0fa917d74a",
    ),
}
USUAL = {"visual": "openai/clip-vit-base-patch32", "audio": "facebook/wav2vec2-base-960h"}
# OpenAI's ViT-B/32 under open_clip's name (the paper's encoder) and as the hub has it.
SAME_WEIGHTS = {
    "ViT-B-32-quickgelu/openai": (
        "openai/clip-vit-base-patch32",
        "timm/vit_base_patch32_clip_224.openai",
        "timm/vit_base_patch32_clip_quickgelu_224.openai",
        "ViT-B-32-quickgelu",
    ),
}


def hub_names(name: str) -> tuple[str, ...]:
    """Every name that encoder ``name`` goes by, the hub's preferred one first.

    For open_clip's own names, ``model/pretrained``, open_clip knows the repository.
    """
    if name in SAME_WEIGHTS:
        return *SAME_WEIGHTS[name], name
    model, _, pretrained = name.partition("/")
    if not model.startswith(("ViT-", "RN")):
        return (name,)
    from open_clip import get_pretrained_cfg

    repository = get_pretrained_cfg(model, pretrained).get("hf_hub", "").rstrip("/")
    return (repository, name) if repository else (name,)


def download_command(name: str, root: str | Path) -> str:
    """The command that puts a usable copy of encoder ``name`` below ``root``."""
    hub = hub_names(name)[0]
    files = " ".join((hub, *PUBLISHED[hub].files)) if hub in PUBLISHED else hub
    return f"hf download {files} --local-dir {Path(root) / hub}"


def usable(kind: str) -> str:
    """For an error: how to get weights of ``kind`` (``visual`` or ``audio``) that load."""
    command = download_command(USUAL[kind], "weights")
    return f"weights that load: {command}; then give --weights weights"


def published_name(folder: Path) -> str:
    """``owner/name`` of a folder: as the hub's cache spells it,
    else the last two parts of the path.
    """
    for part in folder.parts:
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return "/".join(folder.absolute().parts[-2:])
