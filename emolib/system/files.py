"""Files that appear whole or not at all, content hashes, and where runs and caches live."""

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emolib.errors import EmolibError

SEAL = "content_hash"  # in a JSON file that is sealed


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that is renamed onto it when the block
    ends without an error.

    The temporary name starts with a dot and keeps the suffix, so writers that look at it work.
    Raises EmolibError, naming the file, when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
        )
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # a name must not outlive its content when the power fails
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.filename is None or str(path.parent) in str(error.filename):
            raise EmolibError(
                f"{path}: cannot be written: {error.strerror}; free space or choose another folder"
            ) from error
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that killed processes left in ``folder``;
    only for a folder that no other process writes to.
    """
    for leftover in folder.glob(".*-????????*"):  # as atomic_path names them
        leftover.unlink(missing_ok=True)


def check_regular(path: Path) -> os.stat_result:
    """The status of a file; raises EmolibError for a folder, a pipe or a device,
    from which reading could wait for ever.
    """
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise EmolibError(f"{path}: a folder, pipe or device, not a file; replace it or remove it")
    return status


def printable(text: str) -> str:
    """``text`` with a question mark for each byte of a file's name that is no UTF-8 (a surrogate,
    which nothing can print).
    """
    return text.encode(errors="replace").decode()


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with ``\\n`` line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path, value: Any, *, sealed: bool = False) -> None:
    """Write JSON with sorted keys, atomically, so that equal values give equal bytes.

    ``sealed``: a dictionary gets the hash of its content under SEAL, which :func:`read_json`
    compares. Raises ValueError for NaN or infinity, which are not JSON.
    """
    if sealed:
        plain = json.loads(json.dumps(value, allow_nan=False))  # keys as they are read back
        value = {**plain, SEAL: hash_of(plain)}
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON, without its seal.

    Raises EmolibError naming the file when it is missing or damaged.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise EmolibError(f"{path}: no such file") from error
    except (ValueError, RecursionError) as error:
        raise EmolibError(f"{path}: not valid JSON ({error}); delete it and run again") from error
    if isinstance(content, dict) and SEAL in content and content.pop(SEAL) != hash_of(content):
        raise EmolibError(f"{path}: holds something else than was written; delete it and run again")
    return content


def read_record(path: Path, *names: str) -> dict[str, Any]:
    """Read a JSON file that holds values by name, those of ``names`` among them.

    Raises EmolibError, naming the file and what it lacks, as well as :func:`read_json` does.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise EmolibError(f"{path}: holds no values by name; make it anew")
    if missing := [name for name in names if name not in content]:
        lacks = f"lacks {', '.join(missing)}"
        raise EmolibError(f"{path}: {lacks}: damaged, or of another version; make it anew")
    return content


@contextmanager
def form_checked(path: Path) -> Iterator[None]:
    """Inside, values are taken out of the record at ``path``.

    Raises EmolibError, naming it, where they are of another form than the block expects, such as a
    list in the place of values by name.
    """
    try:
        yield
    except EmolibError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EmolibError(
            f"{path}: holds values of another form ({reason}): damaged, or of another version; "
            "make it anew"
        ) from error


def hash_of(value: Any) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of ``value`` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def project_root() -> Path:
    """The checkout this is used from: the nearest folder above the working directory, else above
    this package, that holds both ``notebooks`` and ``emolib``; the working directory when there is
    none.
    """
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / "notebooks").is_dir() and (folder / "emolib" / "__init__.py").is_file():
            return folder
    return here


def runs_root() -> Path:
    """Where everything a run writes goes: ``$EMOLIB_RUNS``, else ``runs`` in the project's root."""
    return Path(os.environ.get("EMOLIB_RUNS") or project_root() / "runs")


def cache_root() -> Path:
    """Where generated data and features are kept between runs: ``<runs>/cache``."""
    return runs_root() / "cache"


def few(names: list[str], between: str = ", ") -> str:
    """The first of ``names``, for a message."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return between.join(names[:3]) + more
