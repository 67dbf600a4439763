"""Child processes that begin with everything imported."""

import os
import signal
import traceback
from collections.abc import Callable

import torch


def fork(work: Callable[[], object], kill_after: float | None = None) -> int:
    """Process id of a fork that does ``work``: it ends with code 0, with 1 where that raises,
    or as sys.exit says.

    ``kill_after``: the system ends the fork when it has computed for so many seconds, wherever it
    is; seconds of its own, so that other work on the machine does not move that moment.

    Forked, so that a child does not import torch again;
    one thread, because OpenMP's do not survive a fork.
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        torch.set_num_threads(1)
        if kill_after is not None:
            signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends a process, as SIGKILL does
            signal.setitimer(signal.ITIMER_PROF, kill_after)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else bool(end.code)
    except Exception:  # noqa: BLE001 (a fork must not return into the test's code)
        traceback.print_exc()
    finally:
        os._exit(code)


def exit_code(child: int) -> int:
    """How the fork ended: its exit code, or minus the number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def exit_code_and_seconds(child: int) -> tuple[int, float]:
    """How the fork ended, and for how many seconds it has computed."""
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
