"""Run folders: what they may be called, and one writer at a time."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emolib.errors import EmolibError, WrongCall
from emolib.system.disk import FOLDERS
from emolib.system.files import cache_root, runs_root
from emolib.system.locks import holder_of, sign, try_lock

NAME = re.compile(r"\w[\w.+=-]{0,99}", re.ASCII)
LOCK = ".lock"  # in a run folder
HELD = "EMOLIB_RUN_HELD"  # the run folder that the process above this one holds for it


def run_path(name: str) -> Path:
    """``runs/<name>``. Raises WrongCall for a name that is no folder's,
    or that emolib uses for something else.
    """
    reserved = ("all", cache_root().name, *FOLDERS)
    if not NAME.fullmatch(name) or name.endswith("."):
        raise WrongCall(
            f"--name {name}: a run's name has letters, digits, dots, dashes and underscores, "
            "100 at most, and begins with a letter or digit"
        )
    if name.casefold() in reserved:
        raise WrongCall(
            f"--name {name}: emolib keeps something else there ({', '.join(reserved)}); "
            "choose another"
        )
    path = runs_root() / name
    if path.exists() and not path.is_dir():
        raise WrongCall(f"--name {name}: {path} is a file; choose another")
    return path


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Inside, this process alone writes into a run folder, which is made where it is missing.

    A process that was started by the holder for this very folder (environment variable HELD) may
    write as well. Raises EmolibError naming the process that holds it.
    """
    folder = Path(folder).resolve()
    if os.environ.get(HELD) == str(folder):
        yield
        return
    path = folder / LOCK
    lock = try_lock(path)
    if lock is None:
        raise EmolibError(
            f"{folder} is in use by process {holder_of(path)}; "
            "wait for it, or choose another --name"
        )
    try:
        sign(path, lock, os.getpid())
        yield
    finally:
        lock.release()
