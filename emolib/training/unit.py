"""One run as the unit of work of a sweep: a run folder that holds experiment.json.

A unit is idempotent and resumes bit for bit, the same here and on SLURM.
"""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emolib.config import Experiment
from emolib.errors import EmolibError
from emolib.training import run as training

Report = Callable[[Path, str], None]  # (run folder, what went wrong or "")
# What one run may raise without ending the others: bad data, a full disk or memory, and bugs.
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


class Unit:
    """Runs or resumes a run folder; SLURM queues it again as it is after a preemption."""

    def __call__(self, path: Path) -> str:
        """Returns an empty string, or what went wrong in one line."""
        try:
            training.run(Experiment.load(path / "experiment.json"), path, progress=False)
        except FAILURES as error:
            return reason(error)
        return ""

    def checkpoint(self, path: Path) -> Any:
        """Called by submitit when the job is preempted or out of time: state.pt is on disk."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, path)


def reason(error: BaseException) -> str:
    """One line on what went wrong: an EmolibError's message, or type and last line of another.

    The traceback of another goes to standard error.
    """
    if isinstance(error, EmolibError):
        return str(error)
    traceback.print_exception(error)
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[-1:]])
