"""Whose run a folder holds: one experiment's, made by one code from one set of data and weights.

What was made otherwise is put aside.
"""

import shutil
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from emolib.config import Experiment
from emolib.errors import EmolibError, EmolibWarning, WrongCall
from emolib.evaluation.identity import Identity, difference, noted_in, warn_of_edits
from emolib.system.files import read_record, write_json

EARLIER = "earlier"  # in a run folder: what was made otherwise, one run folder for each identity
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


def claim(experiment: Experiment, folder: Path, identity: Identity) -> dict[str, Any] | None:
    """Begin a run in ``folder``, or find the same one; metrics.json's content when it is complete.

    ``identity``: what makes the run today. A run of the same experiment that was made by other
    code, from other data or with other weights is put aside with a warning, and so are files
    without an experiment.json, which nobody knows; a run of ``identity`` that was put aside earlier
    is taken back. Raises WrongCall for another experiment.
    """
    folder = Path(folder)
    path, earlier = folder / "experiment.json", folder / EARLIER / identity.key
    check_experiment(experiment, folder)
    if path.exists():
        warn_of_edits()
        if noted_in(folder) != identity:
            put_aside(folder, identity)
    known = (earlier / "experiment.json").exists() and is_of(experiment, earlier / path.name)
    if not path.exists() and known:
        move(earlier, folder)
    if not path.exists() and any((folder / name).exists() for name in FILES):
        put_aside(folder, identity)
    # Written for a run that is there as well: what changes no number may have changed,
    # such as the folder where the same data lie.
    if not path.exists() or Experiment.load(path) != experiment:
        experiment.save(path, **asdict(identity))
    return _metrics(experiment, folder) if is_complete(folder, identity) else None


def check_experiment(experiment: Experiment, folder: Path) -> None:
    """Raise WrongCall where ``folder`` holds a run of another experiment."""
    path = Path(folder) / "experiment.json"
    if path.exists() and not is_of(experiment, path):
        raise WrongCall(
            f"{folder}: holds another experiment; use another run name, or delete that folder"
        )


def is_of(experiment: Experiment, path: Path) -> bool:
    """Whether the experiment.json at ``path`` names this experiment."""
    return Experiment.load(path).fingerprint("train") == experiment.fingerprint("train")


def is_complete(folder: Path, identity: Identity) -> bool:
    """Whether ``folder`` holds a run of ``identity`` that has ended."""
    return (folder / "metrics.json").exists() and noted_in(folder) == identity


def _metrics(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """metrics.json's content, whose words on how frames were predicted are today's.

    Raises EmolibError where it is another run's.
    """
    path = folder / "metrics.json"
    content = read_record(path)
    ours = {"experiment": experiment.fingerprint("train"), **asdict(noted_in(folder))}
    if any(content.get(name, value) != value for name, value in ours.items()):
        raise EmolibError(f"{path}: the metrics of another run; delete it and train again")
    said = experiment.by_frame()
    if content.get("by_frame", said) != said:
        content["by_frame"] = said
        write_json(path, content, sealed=True)
    return content


def put_aside(folder: Path, identity: Identity) -> None:
    """Move the run in ``folder``, which is not of ``identity``, to EARLIER, and say so.

    It lies there below the hash of its own identity.
    """
    named = (folder / "experiment.json").exists()
    noted = noted_in(folder) if named else Identity()
    target = folder / EARLIER / (noted.key if noted.code else "unknown")
    begun = [name for name in FILES if (folder / name).exists()] != ["experiment.json"]
    move(folder, target)
    if begun:
        warnings.warn(
            f"{folder}: was made {difference(noted, identity)}; "
            f"kept in {target} and made anew here",
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
