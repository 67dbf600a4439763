"""Which code trained and scored a run: part of what makes its numbers those of this version.

The hash is of the modules below as this process has loaded them, without comments, docstrings and
layout (``system.code``). A run keeps it in ``experiment.json`` from its start and in
``metrics.json``.
"""

import warnings
from functools import cache
from pathlib import Path

from emolib.errors import EmolibWarning
from emolib.system.code import code_hash, files_of
from emolib.system.files import read_json

# What decides a run's numbers beside its settings and its features, which have their own identity:
# how labels, faces and times are read, which sound belongs to a window, and the arithmetic as well.
MODULES = (
    "emolib.labels",
    "emolib.windows",
    "emolib.tcn",
    "emolib.fusion",
    "emolib.losses",
    "emolib.model",
    "emolib.data.affwild2",
    "emolib.data.annotations",
    "emolib.data.datasets",
    "emolib.data.recordings",
    "emolib.data.ravdess",
    "emolib.data.crema_d",
    "emolib.system.device",
    "emolib.features.protocols",
    "emolib.features.rows",
    "emolib.features.sound",
    "emolib.features.spans",
    "emolib.features.window_sets",
    "emolib.features.batches",
    "emolib.features.prepare",
    "emolib.features.train_mode",
    "emolib.evaluation.metrics",
    "emolib.evaluation.intervals",
    "emolib.evaluation.predictions",
    "emolib.training.trainer",
    "emolib.training.fit",
    "emolib.training.stacked",
    "emolib.training.cuda_graph",
    "emolib.training.state",
    "emolib.training.run",
)


def code_on_disk() -> str:
    """The hash of MODULES as they are on the disk now."""
    stamps = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in files_of(MODULES)]
    return _hash_of(tuple(stamps))


@cache
def _hash_of(stamps: tuple[tuple[Path, int, int], ...]) -> str:
    """The hash of the files, read again only when one has changed: it takes a tenth of a second."""
    return code_hash(path.read_text(encoding="utf-8") for path, *_ in stamps)


LOADED = code_on_disk()  # taken when this is imported, as the modules themselves are


def code_of(run: Path) -> str:
    """The hash of the code that a run was begun with; empty where its version did not note it."""
    content = read_json(run / "experiment.json")
    return str(content.get("code", "")) if isinstance(content, dict) else ""


def of_other_code(run: Path) -> str:
    """What to say beside a number of ``run`` that other code has made; empty for this code's."""
    code = code_of(run)
    if code == LOADED:
        return ""
    return (
        f"made by other code (model, training or scoring: {code or 'an earlier version'}, "
        f"here {LOADED}); not this version's numbers"
    )


def warn_of_other_code(run: Path) -> None:
    """Warn where other code has made ``run``, or code was edited since this process loaded it."""
    if said := of_other_code(run):
        warnings.warn(f"{run}: {said}; train it again", EmolibWarning, stacklevel=3)
    warn_of_edits()


def warn_of_edits() -> None:
    """Warn where code was edited since this process loaded it, as in a notebook's kernel."""
    if code_on_disk() != LOADED:
        warnings.warn(
            "the code of emolib has changed since it was loaded; restart the kernel to use it",
            EmolibWarning,
            stacklevel=3,
        )
