"""A file of weights as a state dict, read without running code, and loaded strictly.

Nothing is unpickled: safetensors, or ``torch.load(weights_only=True)``, which takes tensors only. A
key that is missing or unknown is an error, because a half-loaded encoder gives features that only
look right.
"""

import zipfile
from pathlib import Path
from pickle import UnpicklingError  # the name of torch's refusal; nothing here is unpickled
from typing import Any

import torch
from torch import Tensor

from emolib.errors import EmolibError
from emolib.system.files import hash_file

TIMM = "timm's image tower, without the text tower that the prompts need"
TIMM_KEY = "patch_embed.proj.weight"
_hashes: dict[tuple[str, int, int], str] = {}


def hash_of_weights(file: Path) -> str:
    """SHA-256 of a weights file; computed once per process and file."""
    status = file.stat()
    key = (str(file.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _hashes:
        _hashes[key] = hash_file(file)
    return _hashes[key]


def read_state(file: Path, instead: str) -> dict[str, Tensor]:
    """The tensors of a weights file, float32, without the ``module.`` that
    parallel training puts before each name.

    Raises EmolibError when the file is damaged or holds code;
    ``instead`` says in it how to get a usable one.
    """
    content = _read(file, instead)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise EmolibError(f"{file}: not a dictionary of named tensors; {instead}")
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return {
        key: value.float() if value.is_floating_point() else value for key, value in state.items()
    }


def _read(file: Path, instead: str) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if is_torchscript(file):
        raise EmolibError(
            f"{file}: a TorchScript archive, which can run code when it is opened; {instead}"
        )
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise EmolibError(
            f"{file}: holds more than tensors, which is refused; {instead}"
        ) from error
    except (SafetensorError, RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EmolibError(f"{file}: cannot be read as weights ({reason}); {instead}") from error


def is_torchscript(file: Path) -> bool:
    """Whether the file is a program that torch saved, such as OpenAI's own ``ViT-B-32.pt``."""
    if file.suffix == ".safetensors" or not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def is_timm(file: Path) -> bool:
    """Whether a safetensors file holds a vision transformer of timm's; looks at its names only."""
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        return False
    try:
        with safe_open(file, "pt") as tensors:
            return TIMM_KEY in set(tensors.keys())
    except SafetensorError:  # damaged: whoever reads it says so
        return False


def load_strictly(
    module: torch.nn.Module,
    state: dict[str, Tensor],
    file: Path,
    *,
    optional: tuple[str, ...] = (),
) -> None:
    """Load ``state``, read from ``file``: every parameter present but those
    named ``optional``, none unknown.

    Raises EmolibError.
    """
    try:
        missing, unknown = module.load_state_dict(state, strict=False)
    except RuntimeError as error:  # shapes differ
        reason = str(error).splitlines()[-1].strip()
        raise EmolibError(f"{file}: weights do not fit the config: {reason}") from error
    missing = [key for key in missing if key not in optional]
    if missing or unknown:
        what = "; ".join(
            f"{len(keys)} {word}, first {keys[0]}"
            for keys, word in ((missing, "missing"), (unknown, "unknown"))
            if keys
        )
        raise EmolibError(
            f"{file}: weights do not match the config: {what}; get both files from one place"
        )
