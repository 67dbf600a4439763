"""Whose run a folder holds: one experiment's, trained and scored by one code.

What other code has made there is put aside.
"""

import shutil
import warnings
from pathlib import Path
from typing import Any

from emolib.config import Experiment
from emolib.errors import EmolibWarning, WrongCall
from emolib.evaluation.identity import LOADED, code_of, warn_of_edits
from emolib.system.files import read_json

EARLIER = "earlier"  # in a run folder: what other code made there, one run folder for each code
# What a run writes. In this order: while any of it stands there, experiment.json says whose it is.
FILES = (
    "metrics.json",
    "model.safetensors",
    "state.pt",
    "history.csv",
    "predictions",
    "provenance.json",
    "experiment.json",
)


def claim(experiment: Experiment, folder: Path) -> dict[str, Any] | None:
    """Begin a run in ``folder``, or find the same one; metrics.json's content when it is complete.

    A run of the same experiment by other code is put aside with a warning, and so are files without
    an experiment.json, which nobody knows; a run of this code that was put aside earlier is taken
    back. Raises WrongCall for another experiment.
    """
    folder = Path(folder)
    path, earlier = folder / "experiment.json", folder / EARLIER / LOADED
    if path.exists():
        if not is_of(experiment, path):
            raise WrongCall(
                f"{folder}: holds another experiment; use another run name, or delete that folder"
            )
        warn_of_edits()
        if code_of(folder) != LOADED:
            put_aside(folder)
    known = (earlier / "experiment.json").exists() and is_of(experiment, earlier / path.name)
    if not path.exists() and known:
        move(earlier, folder)
    if not path.exists():
        if any((folder / name).exists() for name in FILES):
            put_aside(folder)
        experiment.save(path, code=LOADED)
    return read_json(folder / "metrics.json") if is_complete(folder) else None


def is_of(experiment: Experiment, path: Path) -> bool:
    """Whether the experiment.json at ``path`` names this experiment."""
    return Experiment.load(path).fingerprint("train") == experiment.fingerprint("train")


def is_complete(folder: Path) -> bool:
    """Whether ``folder`` holds a run that has ended and that this code made."""
    return (folder / "metrics.json").exists() and code_of(folder) == LOADED


def put_aside(folder: Path) -> None:
    """Move the run in ``folder`` to EARLIER, below the hash of its code, and say so."""
    named = (folder / "experiment.json").exists()
    target = folder / EARLIER / ((named and code_of(folder)) or "unknown")
    begun = [name for name in FILES if (folder / name).exists()] != ["experiment.json"]
    move(folder, target)
    if begun:
        warnings.warn(
            f"{folder}: was made by other code than this; kept in {target} and made anew here",
            EmolibWarning,
            stacklevel=3,
        )


def move(source: Path, target: Path) -> None:
    """Move the files of a run from ``source`` to ``target``, whose own are replaced.

    A move that was stopped is ended by the next.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if not (source / name).exists():
            continue
        if (target / name).is_dir():
            shutil.rmtree(target / name)
        (source / name).replace(target / name)
