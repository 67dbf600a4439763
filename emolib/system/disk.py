"""What emolib keeps on disk and how large it is: runs and caches, and nothing else; freeing them.

Only what emolib itself has made below the runs folder is known here: folders that hold an
``experiment.json``, three folders of its own commands, and cache entries by their names. Data and
weights given by path are never touched, even where they lie inside; links are not followed.
"""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emolib.errors import EmolibError, WrongCall, nearest
from emolib.system.files import cache_root, runs_root
from emolib.system.locks import is_locked

CACHES = {
    "synthetic": "generated data sets; made again when they are needed",
    "features": "features of faces, sound and prompts; computed again when they are needed",
    "waveforms": "decoded sound; decoded again when it is needed",
    "index": "what was found out about data trees; read again when it is needed",
}
FOLDERS = {
    "bench": "measurements of emolib bench",
    "screenshots": "pictures of the browser tests",
    "slurm": "job files and their output",
}
# A cache entry, its lock or what a killed process left of it.
ENTRY = re.compile(r"\.?[0-9a-f]{16}([.-][\w.-]*)?")
LEFT_OVER = ".freed-"  # prefix of folders that are being removed


@dataclass(frozen=True)
class Holding:
    """One run, one kind of cache, or one other folder of emolib's."""

    name: str  # below the runs folder: demo, cache/features
    what: str
    paths: tuple[Path, ...]
    bytes: int
    kept: str = ""  # why it is not freed; empty: it may be


def holdings() -> list[Holding]:
    """Everything of emolib's, runs first.

    Links, and folders that emolib has not made, are not in the list.
    """
    root, cache = runs_root(), cache_root()
    if not root.is_dir():
        return []
    folders = sorted(
        path
        for path in root.iterdir()
        if path.is_dir() and not path.is_symlink() and path.name != cache.name
    )
    runs = [path for path in folders if (path / "experiment.json").is_file()]
    given = [place for path in runs for place in _given(path / "experiment.json")]
    found = [
        _holding(path.name, "a run: weights, predictions, figures", (path,), given) for path in runs
    ]
    found += [
        _holding(path.name, FOLDERS[path.name], (path,), given)
        for path in folders
        if path.name in FOLDERS and path not in runs
    ]
    if cache.is_dir() and not cache.is_symlink():
        for kind, what in CACHES.items():
            folder = cache / kind
            if folder.is_dir() and not folder.is_symlink():
                entries = tuple(
                    sorted(path for path in folder.iterdir() if ENTRY.fullmatch(path.name))
                )
                found.append(_holding(f"{cache.name}/{kind}", what, entries, given))
    left = tuple(path for path in folders if path.name.startswith(LEFT_OVER))
    return (
        [*found, _holding("left over", "of a clean that was stopped", left, given)]
        if left
        else found
    )


def chosen(words: Iterable[str], among: list[Holding]) -> list[Holding]:
    """The holdings that ``words`` name: ``cache``, ``all``, names, or paths of runs;
    those that are kept are left out.

    Raises WrongCall for anything that is not emolib's own.
    """
    wanted: list[Holding] = []
    for word in words:
        name = os.path.normpath(word)
        if Path(word).exists() and Path(word).resolve().is_relative_to(runs_root().resolve()):
            name = str(Path(word).resolve().relative_to(runs_root().resolve()))
        found = [
            h
            for h in among
            if word == "all" or h.name == name or (name == "cache" and h.name.startswith("cache/"))
        ]
        if not found and name not in ("all", "cache"):
            names = ["cache", "all", *(h.name for h in among)]
            raise WrongCall(
                f"{word!r} is nothing of emolib's under {runs_root()}{nearest(word, names)}; "
                f"there are {', '.join(names)}"
            )
        wanted += [h for h in found if h not in wanted]
    return [h for h in wanted if not h.kept]


def free(wanted: Iterable[Holding]) -> int:
    """Remove ``wanted`` from the disk; returns the bytes.

    Raises EmolibError for one that cannot be removed or is in use.
    """
    total = 0
    for holding in wanted:
        if user := _in_use(holding.paths):
            raise EmolibError(f"{holding.name}: in use ({user} is locked); wait for its end")
        for path in holding.paths:
            try:
                # Renamed first: a run of which only a part is removed would look complete.
                aside = Path(tempfile.mkdtemp(dir=runs_root(), prefix=LEFT_OVER))
                path.rename(aside / path.name)
                shutil.rmtree(aside)  # unlinks links, never follows them
            except OSError as error:
                raise EmolibError(f"{path}: cannot be removed: {error.strerror}") from error
        total += holding.bytes
    return total


def table(found: list[Holding]) -> str:
    """The list for a terminal, with where it lies."""
    lines = [f"{megabytes(h.bytes):>10}  {h.name}: {h.kept or h.what}" for h in found]
    return "\n".join(
        [f"{runs_root()}: {megabytes(sum(h.bytes for h in found))} of emolib's", *lines]
    )


def megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _holding(name: str, what: str, paths: tuple[Path, ...], given: list[Path]) -> Holding:
    kept = ""
    for path in paths:
        inside = next((place for place in given if place.is_relative_to(path.resolve())), None)
        if inside:
            kept = f"kept: a run was given {inside} as its data or weights"
    return Holding(name, what, paths, sum(size for path in paths for size in _sizes(path)), kept)


def _given(experiment: Path) -> list[Path]:
    """The folders of data and weights that a run was given by path."""
    try:
        values = json.loads(experiment.read_text(encoding="utf-8"))["experiment"]
        return [Path(values[name]).resolve() for name in ("data", "weights") if values.get(name)]
    except (OSError, ValueError, KeyError, TypeError):
        return []  # of another version, or damaged: it names nothing


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir() and not path.is_symlink():
        for folder, _, names in os.walk(path):
            yield from (Path(folder) / name for name in names)
    else:
        yield path


def _sizes(path: Path) -> Iterator[int]:
    for file in _files(path):
        try:
            yield file.lstat().st_size
        except FileNotFoundError:
            continue  # another process has just removed it


def _in_use(paths: Iterable[Path]) -> Path | None:
    """A lock file of a living process in ``paths``, or None."""
    for path in paths:
        for file in _files(path):
            if (
                (file.name.endswith(".lock") or file.parent.name == ".claims")
                and file.is_file()
                and not file.is_symlink()
            ):
                with contextlib.suppress(EmolibError):  # not ours to open: removing it says so
                    if is_locked(file):
                        return file
    return None
