"""What made a run beside its settings: the code that trained and scored it, its data and weights.

The code's hash is of the modules below as this process has loaded them, without comments,
docstrings and layout (``system.code``); data and weights are known by content
(``features.sources``). A run keeps all three in ``experiment.json`` from its start and in
``metrics.json``.
"""

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from emolib.config import Experiment
from emolib.data import synthetic
from emolib.errors import EmolibError, EmolibWarning
from emolib.features import prepare as inputs
from emolib.features.sources import encoders_of
from emolib.system.code import code_hash, files_of
from emolib.system.files import hash_of, read_json

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
    "emolib.features.pooled_sound",
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


@dataclass(frozen=True)
class Identity:
    """What made a run beside its settings, each as a hash; empty where it is not known."""

    code: str = ""
    data: str = ""
    encoders: str = ""

    @property
    def key(self) -> str:
        """One hash of all."""
        return hash_of([self.code, self.data, self.encoders])


OTHERWISE = {  # what is said where a part differs
    "code": "by other code (model, training or scoring)",
    "data": "from other data",
    "encoders": "with other weights of the encoders",
}


def identity_of(experiment: Experiment, *, progress: bool = False) -> Identity:
    """The identity of a run of ``experiment`` that is begun now.

    Its data are read, and made where generated ones are missing. Raises EmolibError when data or
    weights are missing or do not pass their checks.
    """
    sources = inputs.sources(experiment, progress=progress)
    return Identity(LOADED, sources.data, sources.encoders)


def at_hand(experiment: Experiment) -> Identity:
    """:func:`identity_of` as far as data and weights are on this machine."""
    if not experiment.data and not synthetic.is_synthetic(synthetic.place(experiment)):
        return with_weights_at_hand(experiment)
    try:
        return identity_of(experiment.replace(min_face_share=0.0))  # compared, whatever is missing
    except EmolibError:
        return with_weights_at_hand(experiment)


def with_weights_at_hand(experiment: Experiment) -> Identity:
    """:func:`identity_of` without the data, which are not read."""
    try:
        return Identity(LOADED, encoders=encoders_of(experiment))
    except EmolibError:
        return Identity(LOADED)


def identities(
    experiments: Iterable[Experiment], of: Callable[[Experiment], Identity] = identity_of
) -> list[Identity]:
    """``of`` every experiment; those that read the same are looked at once."""
    known: dict[str, Identity] = {}
    return [_once(experiment, of, known) for experiment in experiments]


def _once(
    experiment: Experiment, of: Callable[[Experiment], Identity], known: dict[str, Identity]
) -> Identity:
    needed = inputs.needs(experiment)
    if needed not in known:
        known[needed] = of(experiment)
    return known[needed]


def noted_in(run: Path) -> Identity:
    """The identity that a run was begun with; what its version did not note is empty."""
    content = read_json(run / "experiment.json")
    noted = content if isinstance(content, dict) else {}
    return Identity(*(str(noted.get(field.name, "")) for field in fields(Identity)))


def difference(noted: Identity, now: Identity) -> str:
    """How a run of identity ``noted`` was made otherwise than one ``now``; empty for the same.

    What is not known of ``now`` is not compared.
    """
    differing = [
        text
        for name, text in OTHERWISE.items()
        if getattr(now, name) not in ("", getattr(noted, name))
    ]
    return " and ".join(differing)


def differences(
    runs: Iterable[Path], of: Callable[[Experiment], Identity] = at_hand
) -> dict[Path, str]:
    """For each run what to say beside its numbers where it was made otherwise than one would be
    now: by other code, from other data, with other weights; empty for the others.

    Data or weights that are not on this machine are not compared.
    """
    known: dict[str, Identity] = {}
    said = {}
    for run in runs:
        how = difference(noted_in(run), _now(run, of, known))
        said[run] = f"made {how}; not this version's numbers" if how else ""
    return said


def _now(run: Path, of: Callable[[Experiment], Identity], known: dict[str, Identity]) -> Identity:
    """The identity that ``run`` would have if it were begun now, as far as it can be known."""
    try:
        experiment = Experiment.load(run / "experiment.json")
    except EmolibError:  # of a version with other settings
        return Identity(LOADED)
    return _once(experiment, of, known)


def warn_of_difference(run: Path, of: Callable[[Experiment], Identity] = at_hand) -> str:
    """What :func:`differences` says of ``run``, as a warning; and warn where code was edited since
    this process loaded it."""
    said = differences([run], of)[run]
    if said:
        warnings.warn(f"{run}: {said}; train it again", EmolibWarning, stacklevel=3)
    warn_of_edits()
    return said


def warn_of_edits() -> None:
    """Warn where code was edited since this process loaded it, as in a notebook's kernel."""
    if code_on_disk() != LOADED:
        warnings.warn(
            "the code of emolib has changed since it was loaded; restart the kernel to use it",
            EmolibWarning,
            stacklevel=3,
        )
