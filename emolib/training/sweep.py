"""Many runs: every combination of a grid, here or on a cluster, and their table.

What is finished is found by fingerprint and not repeated. Here the runs go to worker processes
(``workers``), on a GPU as stacks (``stacks``).
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation import metrics
from emolib.evaluation.identity import Identity, identities, noted_in
from emolib.system.device import device
from emolib.system.files import atomic_path, form_checked, read_record
from emolib.system.runs import writing
from emolib.system.several_devices import devices
from emolib.training import cluster
from emolib.training.claim import claim, is_complete
from emolib.training.stacks import train_stacks
from emolib.training.unit import Report, Unit
from emolib.training.workers import train_here

FITTED = ("best_epoch", "parameters")  # of metrics.json, beside the scores
MINUTES = 240  # of a SLURM job; one that needs more is queued again and goes on


def run(
    experiment: Experiment, grid: Mapping[str, Sequence[Any]], folder: Path, **options: Any
) -> pd.DataFrame:
    """Train every combination of ``grid`` (setting: values).

    ``options`` and the rest are as in :func:`run_variants`.
    """
    return run_variants(experiment, combinations(grid), folder, **options)


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of ``grid``; raises WrongCall for a setting without values, and for a value
    that stands there twice, whose runs would count twice.
    """
    for name, values in grid.items():
        if not values:
            raise WrongCall(f"grid: {name} has no values")
        for value in values:
            if values.count(value) > 1:
                raise WrongCall(f"grid: {name}={value} stands there twice")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def run_variants(
    experiment: Experiment,
    variants: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    record: str = "results",
    executor: str = "local",
    progress: bool = True,
    workers: int | None = None,
    stack: bool | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Train ``experiment`` with the changes of each variant; one row a variant.

    With ``experiment.cross_validation`` each variant is trained on every fold, a row each.
    The table is also in ``folder``/<record>.parquet and .csv. Sweeps that share ``folder``, and so
    their runs, each write a ``record`` of their own.

    Columns: the changed settings, ``seed``, ``<protocol>_macro_f1`` with ``_low`` and ``_high``,
    ``best_epoch``, ``parameters``, ``fingerprint``, ``code`` (the hash of the code that made the
    run), ``folder``, ``error``. Runs live in ``folder``/<fingerprint>; a finished one there, or the
    run that ``folder`` lies in, is taken as it is. ``workers``: processes here (None: one a core;
    0: this process); ``stack``: train runs of equal shapes at once in this process (None: on a GPU,
    where it pays). ``slurm``: resources of a job, as ``cluster.submit`` takes them, such as
    ``minutes``. Raises WrongCall, before any work, for a setting or a combination that is not
    valid; EmolibError for a run that another process writes and, when all others are done, naming
    the runs that failed.
    """
    cluster.check_executor(executor)
    folder = Path(folder)
    variants = on_each_fold(experiment, variants)
    experiments = [experiment.replace(**variant) for variant in variants]
    made_now = identities(experiments)
    homes = [home(*each, folder) for each in zip(experiments, made_now, strict=True)]
    by_home = _by_home(homes, experiments)
    pending = _claimed(by_home, dict(zip(homes, made_now, strict=True)))
    with _reported(len(pending), progress) as (report, errors):
        if executor == "slurm":
            _on_slurm(pending, folder, slurm or {}, report)
        elif pending:
            _here(pending, by_home, folder, workers, stack, report, progress)
    runs = list(zip(variants, experiments, homes, strict=True))
    table = pd.DataFrame(
        [{**variant, **_row(each, path, errors.get(path, ""))} for variant, each, path in runs]
    )
    _write(table, folder / record)
    failed = [f"{_name(variant)}: {errors[path]}" for variant, _, path in runs if path in errors]
    if failed:
        raise EmolibError(
            f"{len(errors)} of {len(table)} runs failed ({'; '.join(failed)}); "
            f"the others are in {folder / record}.csv"
        )
    return table


def on_each_fold(
    experiment: Experiment, variants: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """With ``experiment.cross_validation`` every variant with each fold held out once; one that
    names its fold has that one alone. Without it the variants as they are.
    """
    if experiment.cross_validation == "split":
        return [dict(variant) for variant in variants]
    every = range(1, experiment.folds + 1)
    return [
        {**variant, "fold": fold}
        for variant in variants
        for fold in ([variant["fold"]] if "fold" in variant else every)
    ]


@contextmanager
def _reported(count: int, progress: bool) -> Iterator[tuple[Report, dict[Path, str]]]:
    """(what each of ``count`` runs is reported to, the errors so far by run folder); with a bar."""
    errors: dict[Path, str] = {}
    with tqdm(total=count, desc="runs", unit="run", disable=not progress or not count) as bar:

        def report(path: Path, error: str) -> None:
            bar.update()
            if error:
                errors[path] = error
                tqdm.write(f"failed: {path}: {error}")

        yield report, errors


def _here(
    pending: list[Path],
    experiments: Mapping[Path, Experiment],
    folder: Path,
    workers: int | None,
    stack: bool | None,
    report: Report,
    progress: bool,
) -> None:
    """Train the runs ``pending`` on this machine: on several devices one by one, on one GPU as
    stacks, in worker processes on a CPU.
    """
    on_gpu = device().startswith("cuda") and not devices()
    if on_gpu if stack is None else stack:
        pending = train_stacks(pending, folder, report, progress)
    workers = 0 if on_gpu and workers is None else workers
    train_here(pending, experiments, workers, report, progress)


def home(experiment: Experiment, identity: Identity, folder: Path) -> Path:
    """Where a run is or will be: ``folder``/<fingerprint>.

    Or ``folder``'s own parent, when that is this very run, finished.
    """
    fingerprint = experiment.fingerprint("train")
    above = folder.parent
    if (
        is_complete(above, identity)
        and read_record(above / "metrics.json").get("experiment") == fingerprint
    ):
        return above
    return folder / fingerprint


def _by_home(homes: Sequence[Path], experiments: Sequence[Experiment]) -> dict[Path, Experiment]:
    """The experiment of each run folder; raises WrongCall for two that need one folder and read
    other data or weights.
    """
    by_home = dict(zip(homes, experiments, strict=True))
    for path, experiment in zip(homes, experiments, strict=True):
        for name in ("data", "weights"):
            if getattr(experiment, name) != getattr(by_home[path], name):
                raise WrongCall(
                    f"{name} cannot vary within a sweep, whose runs are told apart by their "
                    "settings; run a sweep for each, with a name of its own"
                )
    return by_home


def _claimed(
    experiments: Mapping[Path, Experiment], made_now: Mapping[Path, Identity]
) -> list[Path]:
    """Claim every run folder; those whose run is not complete."""
    pending = []
    for path, experiment in experiments.items():
        with writing(path):
            if claim(experiment, path, made_now[path]) is None:
                pending.append(path)
    return pending


def _on_slurm(
    pending: list[Path], folder: Path, resources: Mapping[str, Any], report: Report
) -> None:
    if not pending:
        return
    paths = [path.resolve() for path in pending]
    resources = {"minutes": MINUTES, "cpus": 1, **resources}
    jobs = cluster.submit(Unit(), paths, folder / "slurm", **resources)
    for path, job in zip(pending, jobs, strict=True):
        try:
            report(path, cluster.result_of(job))
        except EmolibError as error:
            report(path, f"SLURM job {job.job_id}: {error}; log {job.paths.stderr}")


def _name(variant: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in variant.items())


def _row(experiment: Experiment, path: Path, error: str) -> dict[str, Any]:
    """A run's columns of the table; those with results only where there was no ``error``."""
    row: dict[str, Any] = {"seed": experiment.seed}
    if not error:
        results = read_record(path / "metrics.json", *metrics.PROTOCOLS, *FITTED)
        with form_checked(path / "metrics.json"):
            row |= score_columns(results)
        row |= {name: results[name] for name in FITTED}
    return row | {
        "fingerprint": experiment.fingerprint("train"),
        "code": noted_in(path).code,
        "folder": str(path),
        "error": error,
    }


def score_columns(results: Mapping[str, Any]) -> dict[str, float]:
    """A row's macro-F1 and its interval under both protocols, from metrics.json's content."""
    row = {}
    for protocol in metrics.PROTOCOLS:
        column = f"{protocol}_macro_f1"
        row[column] = results[protocol]["macro_f1"]
        row[f"{column}_low"], row[f"{column}_high"] = results[protocol]["macro_f1_interval"]
    return row


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path.with_suffix(".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic_path(path.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)
