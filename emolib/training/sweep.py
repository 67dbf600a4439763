"""Many runs: every combination of a grid, here or on a cluster; what is finished is found by fingerprint and not repeated.

One unit of work is one run folder that holds experiment.json: idempotent, resumable, the same here and on SLURM. Here
the runs go to as many worker processes as there are cores: a training step of this size gains less from a second
thread than a second run does, and nothing from being stacked with others on a CPU (``stacked``: 0.8 to 1.05 times the
speed of single runs, measured by ``bench_train``). On a GPU, where single steps are bound by launches, they are stacked.
"""

import contextlib
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation.identity import LOADED
from emolib.features import prepare as inputs
from emolib.system.device import device
from emolib.system.files import atomic_path, hash_of, read_json, write_json
from emolib.system.process import cores, end_with
from emolib.system.runs import writing
from emolib.training import cluster
from emolib.training import run as training
from emolib.training.claim import claim, is_complete
from emolib.training.fit import Fitted, fit_stack
from emolib.training.stacked import stack_key

STACK = 16  # runs in one stack at most
MINUTES = 240  # of a SLURM job; one that needs more is queued again and goes on
Report = Callable[[Path, str], None]  # (run folder, what went wrong or "")
# What one run may raise without ending the others: bad data, a full disk or memory, and the faults of a programme.
FAILURES = (
    EmolibError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def run(
    experiment: Experiment,
    grid: Mapping[str, Sequence[Any]],
    folder: Path,
    *,
    record: str = "results",
    executor: str = "local",
    progress: bool = True,
    workers: int | None = None,
    stack: bool | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Train every combination of ``grid`` (setting: values); see :func:`run_variants` for the rest."""
    for name, values in grid.items():
        if not values:
            raise WrongCall(f"grid: {name} has no values")
    variants = [
        dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
    ]
    return run_variants(
        experiment,
        variants,
        folder,
        record=record,
        executor=executor,
        progress=progress,
        workers=workers,
        stack=stack,
        slurm=slurm,
    )


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
    """Train ``experiment`` with the changes of each variant; one row a variant, also in ``folder``/<record>.parquet and .csv.

    Sweeps that share ``folder``, and so their runs, each write a ``record`` of their own.

    Columns: the changed settings, ``seed``, ``<protocol>_macro_f1`` with ``_low`` and ``_high``, ``best_epoch``,
    ``parameters``, ``fingerprint``, ``folder``, ``error``. Runs live in ``folder``/<fingerprint>; a finished one there, or
    the run that ``folder`` lies in, is taken as it is. ``workers``: processes here (None: one a core; 0: this process);
    ``stack``: train runs of equal shapes at once in this process (None: on a GPU, where it pays).
    ``slurm``: resources of a job, as ``cluster.submit`` takes them, such as ``minutes``. Raises WrongCall, before any work, for a
    setting or a combination that is not valid; EmolibError, when all others are done, naming the runs that failed.
    """
    cluster.check_executor(executor)
    folder = Path(folder)
    experiments = [experiment.replace(**variant) for variant in variants]
    homes = [home(each, folder) for each in experiments]
    by_home = dict(zip(homes, experiments, strict=True))
    pending = []
    for path, each in by_home.items():
        with writing(path):
            if claim(each, path) is None:
                pending.append(path)
    errors: dict[Path, str] = {}
    with tqdm(
        total=len(pending), desc="runs", unit="run", disable=not progress or not pending
    ) as bar:

        def report(path: Path, error: str) -> None:
            bar.update()
            if error:
                errors[path] = error
                tqdm.write(f"failed: {path}: {error}")

        if executor == "slurm":
            _on_slurm(pending, folder, slurm or {}, report)
        elif pending:
            on_gpu = device().startswith("cuda")
            if on_gpu if stack is None else stack:
                pending = _stacked(pending, folder, report, progress)
            _here(pending, by_home, 0 if on_gpu and workers is None else workers, report, progress)
    table = pd.DataFrame(
        [
            _row(v, e, h, errors.get(h, ""))
            for v, e, h in zip(variants, experiments, homes, strict=True)
        ]
    )
    _write(table, folder / record)
    if errors:
        named = "; ".join(
            f"{_name(v)}: {errors[h]}" for v, h in zip(variants, homes, strict=True) if h in errors
        )
        raise EmolibError(
            f"{len(errors)} of {len(table)} runs failed ({named}); the others are in {folder / record}.csv"
        )
    return table


def home(experiment: Experiment, folder: Path) -> Path:
    """Where a run is or will be: ``folder``/<fingerprint>, or ``folder``'s own parent when that is this very run, finished."""
    fingerprint = experiment.fingerprint("train")
    above = folder.parent
    if is_complete(above) and read_json(above / "metrics.json").get("experiment") == fingerprint:
        return above
    return folder / fingerprint


class Unit:
    """One run, as SLURM gets it: runs or resumes the run folder; after a preemption it is queued again as it is."""

    def __call__(self, path: Path) -> str:
        """Returns an empty string, or what went wrong in one line."""
        try:
            training.run(Experiment.load(path / "experiment.json"), path, progress=False)
        except FAILURES as error:
            return reason(error)
        return ""

    def checkpoint(self, path: Path) -> Any:
        """Called by submitit when the job is preempted or out of time: state.pt is on disk already."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, path)


def reason(error: BaseException) -> str:
    """One line on what went wrong: an EmolibError's message, or the type and last line of any other error, whose traceback
    goes to standard error."""
    if isinstance(error, EmolibError):
        return str(error)
    traceback.print_exception(error)
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[-1:]])


def _on_slurm(
    pending: list[Path], folder: Path, resources: Mapping[str, Any], report: Report
) -> None:
    if not pending:
        return
    jobs = cluster.submit(
        Unit(),
        [path.resolve() for path in pending],
        folder / "slurm",
        **{"minutes": MINUTES, "cpus": 1, **resources},
    )
    for path, job in zip(pending, jobs, strict=True):
        try:
            report(path, cluster.result_of(job))
        except EmolibError as error:
            report(path, f"SLURM job {job.job_id}: {error}; log {job.paths.stderr}")


def _stacked(pending: list[Path], folder: Path, report: Report, progress: bool) -> list[Path]:
    """Train as stacks what can be; returns the runs that are left, those that share their shapes with no other.

    ``folder``/stacks.json lists the stacks that were begun: after an interruption the same runs go on together, those
    among them that are finished included, because a stack's bits depend on its members.
    """
    known = folder / "stacks.json"
    begun: list[list[str]] = read_json(known) if known.exists() else []
    begun = [names for names in begun if any(folder / name in pending for name in names)]
    begun = [
        names
        for names in begun
        if all((folder / name / "experiment.json").exists() for name in names)
    ]  # none was deleted
    taken = {name for names in begun for name in names}
    groups: dict[str, list[str]] = {}
    for path in pending:
        if (
            path.parent == folder and path.name not in taken and not (path / "state.pt").exists()
        ):  # begun alone goes on alone
            groups.setdefault(stack_key(Experiment.load(path / "experiment.json")), []).append(
                path.name
            )
    new = [
        names[first : first + STACK]
        for names in groups.values()
        for first in range(0, len(names), STACK)
    ]
    begun += [names for names in new if len(names) > 1]
    write_json(known, begun)
    position = 0
    while position < len(begun):
        names = begun[position]
        errors = _one_stack(folder, names, progress)
        if errors is None:
            middle = len(names) // 2
            begun[position : position + 1] = [
                half for half in (names[:middle], names[middle:]) if len(half) > 1
            ]
            write_json(known, begun)
            continue
        for path, error in zip([folder / name for name in names], errors, strict=True):
            if path in pending:
                report(path, error)
        position += 1
    return [
        path
        for path in pending
        if not any(path == folder / name for names in begun for name in names)
    ]


def _one_stack(folder: Path, names: list[str], progress: bool) -> list[str] | None:
    """Train, evaluate and write the runs ``names`` as one stack; what went wrong with each, or "". None: too large for the memory."""
    folders = [folder / name for name in names]
    state = folder / f"stack-{hash_of([*names, LOADED])}.pt"
    started = time.monotonic()
    try:
        experiments = [Experiment.load(path / "experiment.json") for path in folders]
        data = inputs.prepare(experiments[0], progress=progress)
        results = fit_stack(
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
            return [reason(error)] * len(names)
        tqdm.write(f"{len(names)} runs at once: out of memory; half as many now")
        results = []
    if not results:  # no longer inside except, whose error keeps the stack's memory
        state.unlink(missing_ok=True)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
    errors = _finished(
        experiments, data, folders, results, (time.monotonic() - started) / len(names)
    )
    if not any(errors):
        state.unlink(missing_ok=True)
    return errors


def _finished(
    experiments: list[Experiment],
    data: inputs.Data,
    folders: list[Path],
    results: list[Fitted | str],
    seconds: float,
) -> list[str]:
    """Evaluate a stack's models, all in one pass over the frames, and write their files; what went wrong with each, or ""."""
    errors = [result if isinstance(result, str) else "" for result in results]
    good = {m: result for m, result in enumerate(results) if not isinstance(result, str)}
    try:
        clips, rows = training.predict_frames(
            list(good.values()), [folders[m] for m in good], data.frames
        )
    except FAILURES as error:
        why = reason(error)
        return [each or why for each in errors]
    for (m, result), predicted in zip(good.items(), rows, strict=True):
        try:
            training.finish(
                experiments[m], data, folders[m], result, clips, predicted, seconds=seconds
            )
        except FAILURES as error:
            errors[m] = reason(error)
    return errors


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was what lacked, on a GPU or here; torch says the latter in words alone."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(
        error
    )


def _here(
    pending: list[Path],
    experiments: Mapping[Path, Experiment],
    workers: int | None,
    report: Report,
    progress: bool,
) -> None:
    if not pending:
        return
    if workers is None:
        workers = min(cores(), len(pending))
    if workers < 2:
        _in_this_process(pending, report)
        return
    # longest first, so that all cores end together; one stream takes less than half the time of both
    longest_first = sorted(pending, key=lambda p: -_length(experiments[p]))
    with _workers(workers, max(1, cores() // workers)) as processes:  # they load torch meanwhile
        alike: dict[str, list[Path]] = {}
        for path in longest_first:
            alike.setdefault(inputs.needs(experiments[path]), []).append(path)
        for paths in alike.values():
            try:
                inputs.store_features(
                    experiments[paths[0]], progress=progress
                )  # here, once, so that no two workers do it
            except FAILURES as error:
                why = reason(error)
                for path in paths:
                    report(path, why)
                    longest_first.remove(path)
        _hand_out(longest_first, processes, report)


def _length(e: Experiment) -> float:
    """How long a run takes beside others, roughly."""
    return e.epochs * e.window * (1.0 if e.modalities == "audio_visual" else 0.4)


def _in_this_process(pending: list[Path], report: Report) -> None:
    unit = Unit()
    for path in pending:
        report(path, unit(path))


def _hand_out(pending: list[Path], workers: list["_Worker"], report: Report) -> None:
    """Feed run folders to worker processes, each as soon as it has ended its last one."""
    tasks: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for path in pending:
        tasks.put(path)
    answers: queue.SimpleQueue[tuple[Path, str]] = queue.SimpleQueue()
    for worker in workers:
        threading.Thread(target=_feed, args=(worker, tasks, answers), daemon=True).start()
    for _ in pending:
        report(*answers.get())


def _feed(
    worker: "_Worker", tasks: queue.SimpleQueue[Path], answers: queue.SimpleQueue[tuple[Path, str]]
) -> None:
    while worker.wanted:
        try:
            path = tasks.get_nowait()
        except queue.Empty:
            return
        answers.put((path, worker.run(path)))


class _Worker:
    """A process that runs one run folder after another, which it gets as lines and answers with lines of JSON each."""

    def __init__(self, threads: int) -> None:
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self.lock, self.wanted = threading.Lock(), True
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "emolib.training.sweep", str(os.getpid())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment, text=True
        )

    def run(self, path: Path) -> str:
        """:class:`Unit` in the process. One that ends over it fails this run alone: the next run gets a new one."""
        try:
            with self.lock:
                if self.wanted and self.process.poll() is not None:
                    self._start()
            assert self.process.stdin is not None and self.process.stdout is not None
            print(path.resolve(), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except (OSError, ValueError):  # its end is shut, or ours
            answer = ""
        if answer:
            return json.loads(answer)
        with self.lock:
            self._stop()
        return "its process ended; out of memory? (run again to resume)"

    def end(self) -> None:
        """Stop the process for good."""
        with self.lock:
            self.wanted = False
            self._stop()

    def _stop(self) -> None:
        self.process.kill()
        if self.process.returncode is None:
            self.process.communicate()


@contextlib.contextmanager
def _workers(number: int, threads: int) -> Iterator[list[_Worker]]:
    """Worker processes that end with this block, and with this process."""
    workers = [_Worker(threads) for _ in range(number)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end()


def work(parent: int) -> None:
    """A worker: run folders come in by lines; results go out as JSON strings. Ends with its input or with ``parent``."""
    end_with(parent)
    unit, out = Unit(), os.dup(1)
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    for line in sys.stdin:
        os.write(out, (json.dumps(unit(Path(line.rstrip("\n")))) + "\n").encode())


def _name(variant: Mapping[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in variant.items())


def _row(
    variant: Mapping[str, Any], experiment: Experiment, path: Path, error: str
) -> dict[str, Any]:
    row = {**variant, "seed": experiment.seed}
    if not error:
        metrics = read_json(path / "metrics.json")
        for protocol in ("frame", "window"):
            score = metrics[protocol]
            low, high = score["macro_f1_interval"]
            row |= {
                f"{protocol}_macro_f1": score["macro_f1"],
                f"{protocol}_macro_f1_low": low,
                f"{protocol}_macro_f1_high": high,
            }
        row |= {"best_epoch": metrics["best_epoch"], "parameters": metrics["parameters"]}
    return row | {
        "fingerprint": experiment.fingerprint("train"),
        "folder": str(path),
        "error": error,
    }


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path.with_suffix(".parquet")) as temporary:
        table.to_parquet(temporary, index=False)
    with atomic_path(path.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False)


if __name__ == "__main__":
    work(int(sys.argv[1]))
