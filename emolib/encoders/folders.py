"""Where an encoder's weights are on this machine:
the package's own, a path, a folder of weights, the hub's cache.

Nothing is downloaded. A folder may hold the layouts of several libraries; a config counts only with
the weights that belong to it.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import emolib
from emolib.encoders.published import download_command, hub_names, usable
from emolib.encoders.weights import TIMM, is_timm
from emolib.errors import EmolibError
from emolib.system.files import few, read_json

MOST_LAYERS = 1_000  # far more than any published encoder has
ASSETS = Path(emolib.__file__).parent / "assets"
OPEN_CLIP_FILES = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_model.bin",
    "open_clip_pytorch_model.bin",
)
CONFIGS = ("open_clip_config", "config")
HUB_FILES = ("model.safetensors", "pytorch_model.bin")


class Checkpoint(NamedTuple):
    """The two files of an encoder; ``config`` is None where the weights' own shapes must tell."""

    config: Path | None
    weights: Path


def checkpoint(folder: Path, kind: str) -> Checkpoint | None:
    """The checkpoint in ``folder``, or None; ``kind`` is ``visual`` or ``audio``.

    Weights beside their config come first, then weights whose own shapes must tell, then timm's,
    which are refused when they are read. Raises EmolibError for two archives of OpenAI's.
    """
    own, hub = _first(folder, OPEN_CLIP_FILES), _first(folder, HUB_FILES)
    own_config, hub_config = (_first(folder, [f"{name}.json"]) for name in CONFIGS)
    if kind == "audio":
        return Checkpoint(hub_config, hub) if hub and hub_config else None
    if own and own_config:
        return Checkpoint(own_config, own)
    if hub and hub_config and "model_type" in read_config(hub_config):
        return Checkpoint(hub_config, hub)
    if own:
        return Checkpoint(None, own)
    if hub and (own_config or hub_config):
        return Checkpoint(own_config or hub_config, hub)
    archives = sorted(folder.glob("ViT-*.pt"))
    if len(archives) > 1:
        names = few([path.name for path in archives])
        raise EmolibError(f"{folder}: {names}: which one is meant? Move the others elsewhere")
    return Checkpoint(None, archives[0]) if archives else None


def read_config(path: Path) -> dict[str, Any]:
    """A config file's settings by name. Raises EmolibError for a file that holds anything else, and
    for more than MOST_LAYERS, which a library would make one by one for hours.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise EmolibError(f"{path}: holds no settings by name; get the file again")
    if (deepest := max(_layers(content), default=0)) > MOST_LAYERS:
        raise EmolibError(f"{path}: asks for {deepest:,} layers; get the file again")
    return content


def _layers(config: dict[str, Any]) -> Iterator[float]:
    """Every number of layers in a config and in the parts of it."""
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _layers(value)
        elif name.endswith("layers") and isinstance(value, (int, float)):
            yield value


def checkpoint_of(folder: Path, kind: str) -> Checkpoint:
    """The same. Raises EmolibError, saying what is missing, where there is none."""
    found = checkpoint(folder, kind)
    if found is None:
        raise EmolibError(f"{folder}: {incomplete(folder) or 'holds no weights'}; {usable(kind)}")
    return found


def find_folder(name: str, weights: str, kind: str) -> Path:
    """The folder that holds encoder ``name``; ``kind`` is ``visual`` or ``audio``.

    Looked for as the package's own (``synthetic``), as a path, below ``weights`` and in the hub's
    cache on this machine. Raises EmolibError with the command that gets the files.
    """
    seen = []
    for folder in candidates(name, weights, kind):
        if checkpoint(folder, kind):
            return folder
        if why := incomplete(folder):
            seen.append(f"{folder} {why}")
    if name == "synthetic":
        raise EmolibError(
            f"{ASSETS / kind}: the package's own encoder is missing; install emolib again"
        )
    option = (
        ""
        if weights
        else f"; then give --weights {Path('weights').resolve()} (a notebook: weights)"
    )
    raise EmolibError(
        f"{kind} encoder {name!r}: no usable weights on this machine"
        + (f" ({few(seen)})" if seen else "")
        + f"; get them: {download_command(name, weights or 'weights')}{option}"
    )


def candidates(name: str, weights: str, kind: str) -> Iterator[Path]:
    """Folders where encoder ``name`` may be, the likeliest first."""
    if name == "synthetic":
        yield ASSETS / kind
        return
    yield Path(name)
    names = hub_names(name)
    if weights:
        for tail in (tail for n in names for tail in (n, n.rsplit("/", 1)[-1])):
            yield Path(weights) / tail
        yield Path(weights)
    yield from hub_snapshots(names)


def hub_snapshots(names: Iterable[str]) -> Iterator[Path]:
    """Snapshot folders of repositories in the hub's cache, the main branch's first,
    then other revisions.

    A conversion to safetensors often lies on a revision of its own.
    """
    from huggingface_hub import constants

    for name in names:
        repository = Path(constants.HF_HUB_CACHE) / f"models--{name.replace('/', '--')}"
        main = repository / "refs" / "main"
        commit = main.read_text().strip() if main.is_file() else ""
        snapshots = sorted((repository / "snapshots").glob("*"))
        yield from sorted(snapshots, key=lambda snapshot: snapshot.name != commit)


def incomplete(folder: Path) -> str:
    """What a folder without a checkpoint does hold, in words; empty for nothing that counts."""
    config = _first(folder, [f"{name}.json" for name in CONFIGS])
    weights = _first(folder, HUB_FILES)
    if config and not weights:
        return f"holds {config.name} and no weights"
    if weights and not config:
        what = f", {TIMM}" if is_timm(weights) else ""
        return f"holds {weights.name} without its config.json{what}"
    return ""


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
