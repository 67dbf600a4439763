"""Runs of a sweep that have equal shapes, trained at once in this process as stacks.

On a GPU, where single steps are bound by launches, it pays. On a CPU it does not: 0.8 to 1.05 times
the speed of single runs (measured by ``emolib.bench.train``).
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.evaluation.identity import LOADED, identity_of
from emolib.features import prepare as inputs
from emolib.system.device import device
from emolib.system.files import form_checked, hash_of, read_json, write_json
from emolib.system.runs import writing
from emolib.training import run as training
from emolib.training.claim import claim
from emolib.training.fit import Fitted, fit_stack
from emolib.training.stacked import stack_key
from emolib.training.unit import FAILURES, Report, reason

STACK = 16  # runs in one stack at most
Names = list[str]  # run folders of one stack, by name


def train_stacks(pending: list[Path], folder: Path, report: Report, progress: bool) -> list[Path]:
    """Train as stacks what can be; returns the runs left, which share their shapes with no other.

    ``folder``/stacks.json lists the stacks that were begun: after an interruption the same runs go
    on together, those among them that are finished included, because a stack's bits depend on its
    members.
    """
    _delete_states_of_other_code(folder)
    record = folder / "stacks.json"
    begun = _begun(record, pending, folder)
    begun += _new(pending, folder, begun)
    write_json(record, begun)
    position = 0
    while position < len(begun):
        names = begun[position]
        errors = _train_stack(folder, names, progress)
        if errors is None:  # too large for the memory
            begun[position : position + 1] = _halves(names)
            write_json(record, begun)
            continue
        for name, error in zip(names, errors, strict=True):
            if folder / name in pending:
                report(folder / name, error)
        position += 1
    return [path for path in pending if path not in _members(begun, folder)]


def _delete_states_of_other_code(folder: Path) -> None:
    """Delete what stacks trained by other code would have gone on from."""
    for path in folder.glob("stack-*.pt"):
        if not path.stem.endswith(f"-{LOADED}"):
            path.unlink(missing_ok=True)


def _begun(record: Path, pending: list[Path], folder: Path) -> list[Names]:
    """Stacks begun earlier that have a run in ``pending`` and are still stacks."""
    stacks: list[Names] = read_json(record) if record.exists() else []
    with form_checked(record):
        return [
            names
            for names in stacks
            if any(folder / name in pending for name in names) and _is_stack(names, folder)
        ]


def _is_stack(names: Names, folder: Path) -> bool:
    """Whether all the runs are there and can be trained as one stack.

    One that the sweep did not ask for may name another folder of data or weights.
    """
    paths = [folder / name / "experiment.json" for name in names]
    return (
        all(path.exists() for path in paths)
        and len({stack_key(Experiment.load(path)) for path in paths}) == 1
    )


def _new(pending: list[Path], folder: Path, begun: list[Names]) -> list[Names]:
    """Stacks of the runs in ``pending`` that were not begun, in a stack or alone."""
    members = _members(begun, folder)
    groups: dict[str, Names] = {}
    for path in pending:
        begun_alone = (path / "state.pt").exists()  # it goes on alone
        if path.parent == folder and path not in members and not begun_alone:
            key = stack_key(Experiment.load(path / "experiment.json"))
            groups.setdefault(key, []).append(path.name)
    stacks = []
    for names in groups.values():
        stacks += [names[first : first + STACK] for first in range(0, len(names), STACK)]
    return [names for names in stacks if len(names) > 1]


def _members(stacks: list[Names], folder: Path) -> set[Path]:
    return {folder / name for names in stacks for name in names}


def _halves(names: Names) -> list[Names]:
    """Two stacks in place of one; a single run is no stack."""
    middle = len(names) // 2
    return [half for half in (names[:middle], names[middle:]) if len(half) > 1]


def _train_stack(folder: Path, names: Names, progress: bool) -> list[str] | None:
    """Train, evaluate and write the runs ``names`` as one stack.

    What went wrong with each, or ""; None where the stack is too large for the memory. No other
    process writes into these runs meanwhile.
    """
    folders = [folder / name for name in names]
    try:
        with _writing_all(folders):
            return _train_claimed(folder, folders, progress)
    except FAILURES as error:
        return [reason(error)] * len(names)


@contextmanager
def _writing_all(folders: Iterable[Path]) -> Iterator[None]:
    """:func:`writing` of every run folder at once."""
    with ExitStack() as held:
        for path in folders:
            held.enter_context(writing(path))
        yield


def _train_claimed(folder: Path, folders: list[Path], progress: bool) -> list[str] | None:
    """:func:`_train_stack` while the run folders are held."""
    started = time.monotonic()
    experiments = [Experiment.load(path / "experiment.json") for path in folders]
    identity = identity_of(experiments[0])  # a stack's runs read the same
    for experiment, path in zip(experiments, folders, strict=True):
        # A member that the sweep did not ask for may have been made otherwise.
        claim(experiment, path, identity)
    # Its members, data and weights decide which state is the stack's.
    # The code decides whether it may go on from there.
    members = [[path.name for path in folders], identity.data, identity.encoders]
    state = folder / f"stack-{hash_of(members)}-{LOADED}.pt"
    data = inputs.prepare(experiments[0], progress=progress)
    results = _fit(experiments, data, folders, state, progress)
    if results is None:  # no longer inside except, whose error keeps the stack's memory
        state.unlink(missing_ok=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
    seconds = (time.monotonic() - started) / len(folders)
    errors = _finish(experiments, data, folders, results, seconds)
    if not any(errors):
        state.unlink(missing_ok=True)
    return errors


def _fit(
    experiments: list[Experiment],
    data: inputs.Data,
    folders: list[Path],
    state: Path,
    progress: bool,
) -> list[Fitted | str] | None:
    """:func:`fit_stack`, or None where the memory does not suffice."""
    try:
        return fit_stack(
            experiments,
            data.train,
            data.validation,
            data.prompts,
            data.logit_scale,
            folders,
            state,
            device(),
            progress=progress,
        )
    except FAILURES as error:
        if not out_of_memory(error):
            raise
        tqdm.write(f"{len(folders)} runs at once: out of memory; half as many now")
        return None


def _finish(
    experiments: list[Experiment],
    data: inputs.Data,
    folders: list[Path],
    results: list[Fitted | str],
    seconds: float,
) -> list[str]:
    """Evaluate a stack's models, all in one pass over the frames, and write their files.

    What went wrong with each, or "".
    """
    errors = [result if isinstance(result, str) else "" for result in results]
    trained = {m: result for m, result in enumerate(results) if not isinstance(result, str)}
    try:
        clips, rows = training.predict_frames(
            list(trained.values()), [folders[m] for m in trained], data.frames
        )
    except FAILURES as error:
        why = reason(error)
        return [each or why for each in errors]
    for (m, result), predicted in zip(trained.items(), rows, strict=True):
        try:
            training.finish(
                experiments[m], data, folders[m], result, clips, predicted, seconds=seconds
            )
        except FAILURES as error:
            errors[m] = reason(error)
    return errors


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was what lacked, on a GPU or here; torch says the latter in words alone."""
    lacking = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return lacking or "allocate memory" in str(error)
