"""One unit of work on a SLURM cluster, many times:
an array of jobs that each run the same command on their share.

A unit is idempotent and keyed by fingerprint, so jobs that fail or time out are simply sent again
and redo only what is missing.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from emolib.errors import EmolibError, WrongCall

EXECUTORS = ("local", "slurm")
# Seconds between looks at a job, and after which one that has left the queue counts as lost.
POLL, LOST = 1.0, 10.0


def check_executor(name: str) -> None:
    """Raises WrongCall when ``name`` is none of EXECUTORS."""
    if name not in EXECUTORS:
        raise WrongCall(f"executor={name!r}: choose one of {', '.join(EXECUTORS)}")


def run_array(commands: Sequence[Sequence[str]], folder: Path, **resources: Any) -> None:
    """Run each command line as one job of a SLURM array and wait for all;
    ``resources`` as :func:`submit`.

    Raises WrongCall where there is no SLURM, EmolibError naming every job that failed and its log.
    """
    if not commands:
        return
    jobs = submit(_call, [list(command) for command in commands], folder, **resources)
    failed = []
    for command, job in zip(commands, jobs, strict=True):
        try:
            code = result_of(job)
            reason = f"exit code {code}" if code else ""
        except EmolibError as error:
            reason = str(error)
        if reason:
            failed.append(
                f"job {job.job_id} ({' '.join(command[-4:])}): {reason}; log {job.paths.stderr}"
            )
    if failed:
        raise EmolibError(
            f"{len(failed)} of {len(jobs)} cluster jobs failed, the rest is done: "
            + "; ".join(failed[:5])
        )


def submit(
    call: Callable[[Any], Any],
    arguments: Sequence[Any],
    folder: Path,
    *,
    parallel: int = 16,
    minutes: int = 24 * 60,
    cpus: int = 2,
    gpus: int = 0,
    options: Mapping[str, str] | None = None,
) -> list[Any]:
    """submitit's jobs of a SLURM array that runs ``call`` on each of ``arguments``.

    ``folder``: logs and submitit's files, on a disk that the nodes share; ``parallel``: jobs at
    once; ``minutes``, ``cpus`` and ``gpus`` for each job; ``options``: more sbatch options, such as
    ``{"partition": "gpu"}``. Raises WrongCall where there is no SLURM, EmolibError where it refuses
    the jobs.
    """
    try:
        import submitit
    except ImportError as error:
        raise WrongCall("executor=slurm needs submitit; install emolib[cluster]") from error
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    except RuntimeError as error:
        raise WrongCall(
            f"executor=slurm: no SLURM on this machine ({error}); "
            "run on a login node, or use executor=local"
        ) from error
    executor.update_parameters(
        name="emolib",
        timeout_min=minutes,
        cpus_per_task=cpus,
        gpus_per_node=gpus or None,
        slurm_array_parallelism=parallel,
        slurm_additional_parameters=dict(options or {}),
    )
    try:
        return executor.map_array(call, list(arguments))
    except submitit.core.utils.FailedJobError as error:
        raise EmolibError(
            f"SLURM refused the jobs: {str(error).strip().splitlines()[-1]}"
        ) from error


def result_of(job: Any) -> Any:
    """What a job returned, when it has ended.

    Raises EmolibError with the last line of what went wrong.

    submitit alone would wait for ever, where there is no accounting (sacct), for a job that was
    killed: here one that the queue no longer holds and that has left no result within LOST seconds
    counts as ended.
    """
    missing_since = None
    while not job.done():
        listed = subprocess.run(
            ["squeue", "--noheader", "--jobs", str(job.job_id)],
            capture_output=True,
            text=True,
            check=False,
        )
        gone = not listed.stdout.strip() and (
            listed.returncode == 0 or "Invalid job id" in listed.stderr
        )
        missing_since = (missing_since or time.monotonic()) if gone else None
        if missing_since and time.monotonic() - missing_since > LOST:
            raise EmolibError("it ended without a result: killed, cancelled or out of memory")
        time.sleep(POLL)
    problem = job.exception()
    if problem:
        raise EmolibError(str(problem).strip().splitlines()[-1])
    return job.result()


def _call(command: list[str]) -> int:
    """What one job does; its output goes to the job's log."""
    return subprocess.run(command, check=False).returncode


def emolib_command(*arguments: str) -> list[str]:
    """A command line that runs ``emolib`` with this Python."""
    return [sys.executable, "-m", "emolib", *arguments]
