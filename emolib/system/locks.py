"""Locks between processes, by files: the system frees those of a dead process;
where it has none, the file itself is the lock.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from emolib.errors import EmolibError


def try_lock(path: Path) -> BaseFileLock | None:
    """The lock of ``path``, held until its ``release()``;
    None while another process or caller holds it.

    Raises EmolibError where the file cannot be made.
    """
    # Not of one thread alone: what one thread has claimed, another may give back.
    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        return None
    except OSError as error:
        raise EmolibError(
            f"{path}: cannot be written: {error.strerror}; free space or choose another folder"
        ) from error
    return lock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Inside, the lock of ``path`` is held; another holder is waited for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path, thread_local=False):
        yield


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock of ``path``, a file that is there."""
    lock = try_lock(path)
    if lock is None:
        return True
    lock.release()
    return False


def holder_of(path: Path) -> str:
    """The number of the process that holds the lock of ``path``, or ``unknown``."""
    try:
        return path.read_text(encoding="utf-8").split("\n")[0].strip() or "unknown"
    except (OSError, ValueError):  # Windows does not let others read a locked file
        return "unknown"


def sign(path: Path, lock: BaseFileLock, process: int) -> None:
    """Write the number of the process into the file that it has locked;
    a soft lock's file says so already.
    """
    if not isinstance(lock, SoftFileLock):
        path.write_text(f"{process}\n", encoding="utf-8")
