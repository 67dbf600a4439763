"""state.pt: all that a run needs to go on to the same bits after any epoch, whole or absent,
never unpickled as code.
"""

import hashlib
import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from emolib.config import Experiment
from emolib.errors import EmolibError, WrongCall
from emolib.system.files import SEAL, atomic_path

Parts = Mapping[str, Any]  # name -> what has state_dict and load_state_dict


def save_state(path: Path, parts: Parts, state: dict[str, Any]) -> None:
    """Write state.pt, whole or not at all."""
    save_file(path, {**state, **{name: part.state_dict() for name, part in parts.items()}})


def save_file(path: Path, state: dict[str, Any]) -> None:
    """``torch.save``, whole or not at all.

    Raises EmolibError naming the file when the disk is full.
    """
    # torch.save reports a full disk as a RuntimeError without a name; a plain write does not.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    # The view is released at once: Python 3.12 crashes when it collects one that an error has kept.
    with atomic_path(path) as temporary, buffer.getbuffer() as content:
        temporary.write_bytes(content)


def load_whole(path: Path) -> dict[str, Any]:
    """What :func:`save_file` wrote, on the CPU.

    Raises BadZipFile, or one of what :func:`damage_named` names, where it is damaged.
    """
    with zipfile.ZipFile(path) as records:
        if damaged := records.testzip():  # by the checksum of each record
            raise zipfile.BadZipFile(f"other bytes in {damaged} than were written")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def write_weights(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write a model's tensors as safetensors with their hash, whole or not at all."""
    content = save(dict(state), metadata={SEAL: _hash(state)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """A model's tensors; raises ValueError where they are other ones than were written."""
    with safe_open(path, framework="pt") as file:
        written = (file.metadata() or {}).get(SEAL)
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    if written is not None and written != _hash(state):
        raise ValueError("other numbers than were written")
    return state


def _hash(state: Mapping[str, torch.Tensor]) -> str:
    """Of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = state[name].contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what loading a file that is damaged or of another shape raises into
    an EmolibError naming it.
    """
    try:
        yield
    except WrongCall:
        raise
    except (
        RuntimeError,
        KeyError,
        TypeError,
        AttributeError,
        ValueError,
        OSError,
        EOFError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        reason = " ".join(str(error).split())[:200]
        raise EmolibError(
            f"{path}: damaged, or of another shape ({reason}); delete it to start again"
        ) from error


def new_state(experiment: Experiment) -> dict[str, Any]:
    """What is known of a run before its first epoch."""
    return {
        "fingerprint": experiment.fingerprint("train"),
        "history": [],
        "best_score": -1.0,
        "best_epoch": 0,
        "best": {},
    }


def load_state(path: Path, experiment: Experiment, parts: Parts) -> dict[str, Any]:
    """Put state.pt back into ``parts``;
    returns history and best, empty when there is no state yet.
    """
    if not path.exists():
        return new_state(experiment)
    with damage_named(path):
        state = load_whole(path)
        if state["fingerprint"] != experiment.fingerprint("train"):
            raise WrongCall(
                f"{path}: belongs to another experiment; use another folder, or delete this one"
            )
        for name, part in parts.items():
            part.load_state_dict(state.pop(name))
    return state
