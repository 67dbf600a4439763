"""What is finished: an executed copy that carries the hash of everything it was made from.

That is the notebook's source, the experiment, the package's source, and the content of given data
and weights.
"""

import dataclasses
import hashlib
from pathlib import Path

import emolib
from emolib.config import Experiment
from emolib.errors import EmolibError
from emolib.system.files import hash_file, hash_of, read_json, read_record


def key(notebook: Path, experiment: Experiment, given: str = "") -> str:
    """Hash of everything that the result of ``notebook`` depends on; ``given`` as
    :func:`content_of_given` has it.

    Outputs are left out: to commit an executed notebook changes nothing.
    """
    cells = [
        [cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])]
        for cell in read_json(notebook)["cells"]
    ]
    settings = dataclasses.asdict(experiment.replace(data="", weights=""))
    return hash_of([cells, settings, given, package_hash()])


def content_of_given(experiment: Experiment) -> str:
    """Hash of the content of the data and weights that the experiment was given; empty where
    everything is the package's own, which :func:`package_hash` knows.

    Raises EmolibError when they are missing.
    """
    encoders = {experiment.visual_encoder, experiment.audio_encoder}
    if not experiment.data and encoders == {"synthetic"}:
        return ""
    from emolib.features import prepare as inputs  # here, because it loads torch

    return hash_of(dataclasses.astuple(inputs.sources(experiment)))


def package_hash() -> str:
    """Hash of the package's source and assets."""
    root = Path(emolib.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(root)} {hash_file(path)}\n".encode())
    return digest.hexdigest()


def finished(folder: Path, notebook: Path, key: str) -> bool:
    """Whether ``notebook`` has run to its end in ``folder`` from what ``key`` names,
    and has its record.
    """
    copy = folder / "notebooks" / notebook.name
    if not copy.exists() or not record_path(folder, notebook).exists():
        return False
    try:
        content = read_record(copy, "metadata")
    except EmolibError:  # killed while papermill was writing it
        return False
    return content["metadata"].get("emolib", {}).get("key") == key


def record_path(folder: Path, notebook: Path) -> Path:
    """Where a notebook's last cell writes its named metrics (``tables.record``)."""
    return folder / "records" / f"{notebook.stem}.json"
