"""state.pt: all that a run needs to go on to the same bits after any epoch, whole or absent,
never unpickled as code.
"""

import io
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from emolib.config import Experiment
from emolib.errors import EmolibError, WrongCall
from emolib.system.files import atomic_path

Parts = Mapping[str, Any]  # name -> what has state_dict and load_state_dict


def save_state(path: Path, parts: Parts, state: dict[str, Any]) -> None:
    """Write state.pt, whole or not at all."""
    save_file(path, {**state, **{name: part.state_dict() for name, part in parts.items()}})


def save_file(path: Path, state: dict[str, Any]) -> None:
    """``torch.save``, whole or not at all.

    Raises EmolibError naming the file when the disk is full.
    """
    buffer = (
        io.BytesIO()
    )  # torch.save reports a full disk as a RuntimeError without a name; a plain write does not
    torch.save(state, buffer)
    # The view is released at once: Python 3.12 crashes when it collects one that an error has kept.
    with atomic_path(path) as temporary, buffer.getbuffer() as content:
        temporary.write_bytes(content)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what loading a file that is damaged or of another shape raises
    into an EmolibError naming it.
    """
    try:
        yield
    except WrongCall:
        raise
    except (
        RuntimeError,
        KeyError,
        ValueError,
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
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["fingerprint"] != experiment.fingerprint("train"):
            raise WrongCall(
                f"{path}: belongs to another experiment; use another folder, or delete this one"
            )
        for name, part in parts.items():
            part.load_state_dict(state.pop(name))
    return state
