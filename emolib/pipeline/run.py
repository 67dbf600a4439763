"""The notebooks in order, each executed by papermill into ``runs/<name>/notebooks``; then the summary and the figures.

A notebook is finished when its executed copy carries the hash of what it was made from: the notebook's source,
the experiment and the package's source. Finished ones are not run again, so nothing here imports torch or papermill
before there is work to do.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import emolib
from emolib.config import Experiment, format_settings
from emolib.errors import EmolibError, WrongCall, nearest
from emolib.features.origin import origin
from emolib.system.files import (
    atomic_path,
    hash_file,
    hash_of,
    project_root,
    read_json,
    runs_root,
    write_json,
)

DEFAULT_NUMBERS = ("01", "02", "03", "04", "05")
LONG_NUMBERS = (
    "06",
    "08",
    "09",
)  # ablations that train for as long as all the others together: run by --only or `make notebooks`
TIME_LIMIT = 24 * 3600.0  # seconds for one notebook; the demo's slowest needs a few minutes
PACKAGES = (
    "emolib",
    "torch",
    "open_clip_torch",
    "transformers",
    "numpy",
    "pandas",
    "matplotlib",
    "av",
    "papermill",
)


def notebooks(only: str | None = None) -> list[Path]:
    """The notebooks to run, in order; ``only`` picks by number, ``"04,05"``.

    Raises WrongCall for a number that does not exist, EmolibError where there is no ``notebooks`` folder.
    """
    folder = project_root() / "notebooks"
    found = {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not found:
        raise EmolibError(f"{folder}: no notebooks here; run emolib from a checkout of the project")
    wanted = (
        [n.strip().zfill(2) for n in only.split(",")]
        if only
        else [n for n in DEFAULT_NUMBERS if n in found]
    )
    for number in wanted:
        if number not in found:
            raise WrongCall(f"--only {only}: no notebook {number!r}; there are {', '.join(found)}")
    return [found[number] for number in sorted(set(wanted))]


def run(
    experiment: Experiment,
    name: str = "",
    *,
    only: str | None = None,
    time_limit: float = TIME_LIMIT,
    progress: bool = True,
) -> dict[str, Any]:
    """Execute the notebooks that are not finished; returns the content of ``runs/<name>/summary.json``.

    ``name`` defaults to the preset's. Stops at the first failure with an EmolibError naming notebook and cell; calling
    it again goes on from there. Raises WrongCall for a run folder of another experiment, EmolibError for one in use.
    """
    name = name or experiment.preset
    folder = runs_root().resolve() / name
    paths = notebooks(only)
    parameters = [
        _parameters(path, experiment, name) for path in paths
    ]  # all are checked before the first kernel starts
    with _locked(folder), _terminable():
        _claim(folder, experiment)
        worked = False
        for path, values in zip(paths, parameters, strict=True):
            key = _key(path, experiment)
            if finished(folder, path, key):
                continue
            if progress:
                print(f"emolib: {path.name}", file=sys.stderr, flush=True)
            _execute(path, folder, values, key, time_limit=time_limit, progress=progress)
            worked = True
        summary = summarise(folder, experiment)
        write_json(folder / "summary.json", summary)
        if worked and (folder / "metrics.json").is_file():
            from emolib.results import checklist

            checklist.write(folder)
        if (
            name == experiment.preset
        ):  # the figures of a preset come from its own run, not from a variant of it
            gather(folder / "figures", project_root() / "figures" / name)
    return summary


def _execute(
    notebook: Path,
    folder: Path,
    parameters: dict[str, Any],
    key: str,
    *,
    time_limit: float,
    progress: bool,
) -> None:
    """Run one notebook and, when it ended well, mark its copy as finished."""
    from emolib.pipeline import kernel

    copy = folder / "notebooks" / notebook.name
    env = {**os.environ, "EMOLIB_RUNS": str(folder.parent), "PYTHONHASHSEED": "0"}
    kernel.execute(notebook, copy, parameters, time_limit=time_limit, env=env, progress=progress)
    content = read_json(copy)
    content["metadata"]["emolib"] = {"key": key}
    with atomic_path(copy) as temporary:
        temporary.write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def _claim(folder: Path, experiment: Experiment) -> None:
    """Refuse a run folder that another experiment has begun; its results would be mixed with ours."""
    path = folder / "experiment.json"
    if not path.exists():
        return
    theirs = Experiment.load(path)
    if theirs.fingerprint("train") == experiment.fingerprint("train"):
        return
    here, there = (
        experiment.settings("train") | experiment.settings("synth"),
        theirs.settings("train") | theirs.settings("synth"),
    )
    changed = ", ".join(
        f"{key}={there[key]!r} there, {here[key]!r} here" for key in here if here[key] != there[key]
    )
    raise WrongCall(
        f"{folder} holds another experiment ({changed or 'of other data or encoders'}); choose another --name"
    )


# parameters


def notebook_parameters(path: Path) -> dict[str, Any]:
    """The literals of the notebook's one cell tagged ``parameters``; raises EmolibError when that is not what it holds."""
    import ast

    cells = [
        cell
        for cell in read_json(path)["cells"]
        if "parameters" in cell["metadata"].get("tags", [])
    ]
    if len(cells) != 1:
        raise EmolibError(
            f"{path}: {len(cells)} cells tagged `parameters`; a notebook has exactly one"
        )
    values = {}
    for statement in ast.parse("".join(cells[0]["source"])).body:
        try:
            if not isinstance(statement, ast.Assign):
                raise ValueError
            values[ast.unparse(statement.targets[0])] = ast.literal_eval(statement.value)
        except ValueError as error:
            line = ast.unparse(statement)
            raise EmolibError(
                f"{path}: parameters cell: `{line}` is not `name = literal`; derive values in the next cell"
            ) from error
    return values


def check_parameters(path: Path, values: dict[str, Any]) -> None:
    """Raise WrongCall for a parameter that the notebook does not have (papermill only warns) or of another type."""
    known = notebook_parameters(path)
    for name, value in values.items():
        if name not in known:
            raise WrongCall(f"{path.name}: unknown parameter {name!r}{nearest(name, list(known))}")
        if type(value) is not type(known[name]):
            raise WrongCall(f"{path.name}: {name}={value!r}: expected {type(known[name]).__name__}")


def _parameters(path: Path, experiment: Experiment, name: str) -> dict[str, Any]:
    """What differs from the notebook's own defaults, so that a default run's copy is the notebook itself."""
    values = {
        "preset": experiment.preset,
        "name": "" if name == experiment.preset else name,
        "data": experiment.data,
        "weights": experiment.weights,
        "settings": format_settings(experiment),
    }
    check_parameters(path, values)
    defaults = notebook_parameters(path)
    return {key: value for key, value in values.items() if value != defaults[key]}


# what is finished


def _key(path: Path, experiment: Experiment) -> str:
    """Hash of everything a notebook's result depends on."""
    cells = [
        [cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", [])]
        for cell in read_json(path)["cells"]
    ]  # without outputs: committing an executed notebook changes nothing
    return hash_of([cells, dataclasses.asdict(experiment), package_hash()])


def package_hash() -> str:
    """Hash of the package's source and assets."""
    root = Path(emolib.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for p in root.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(f"{path.relative_to(root)} {hash_file(path)}\n".encode())
    return digest.hexdigest()


def finished(folder: Path, notebook: Path, key: str) -> bool:
    """Whether ``notebook`` has run to its end in ``folder`` from what ``key`` names, and its record is still there."""
    copy = folder / "notebooks" / notebook.name
    if not copy.exists() or not record_path(folder, notebook).exists():
        return False
    try:
        content = read_json(copy)
    except EmolibError:  # killed while papermill was writing it
        return False
    return content["metadata"].get("emolib", {}).get("key") == key


def record_path(folder: Path, notebook: Path) -> Path:
    """Where a notebook's last cell writes its named metrics (``tables.record``)."""
    return folder / "records" / f"{notebook.stem}.json"


# results


def summarise(folder: Path, experiment: Experiment) -> dict[str, Any]:
    """What the finished notebooks have recorded, in one record; a part whose notebook has not run is absent."""
    summary: dict[str, Any] = {
        "preset": experiment.preset,
        "name": folder.name,
        "experiment": experiment.fingerprint("train"),
        "origin": origin(experiment),
        "smoothed": experiment.smoothed(),
        "notebooks": {},
        "versions": versions(),
    }
    for path in sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if not finished(folder, path, _key(path, experiment)):
            continue
        record = read_json(record_path(folder, path))
        summary["notebooks"][path.stem] = {
            "seconds": _seconds(folder / "notebooks" / path.name),
            "metrics": record["metrics"],
        }
        summary.update(record["summary"])
    summary["seconds"] = round(
        sum(entry["seconds"] or 0 for entry in summary["notebooks"].values()), 1
    )
    return summary


def _seconds(copy: Path) -> float | None:
    """How long the execution took, from papermill's own marks."""
    duration = read_json(copy)["metadata"].get("papermill", {}).get("duration")
    return None if duration is None else round(duration, 1)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on, without importing them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def gather(source: Path, target: Path) -> list[Path]:
    """Copy tables and figures whose bytes differ from ``source`` to ``target``; returns what was written."""
    written = []
    for path in sorted(source.glob("*")):
        copy = target / path.name
        if not copy.exists() or copy.read_bytes() != path.read_bytes():
            with atomic_path(copy) as temporary:
                shutil.copyfile(path, temporary)
            written.append(copy)
    return written


# the committed notebooks


# one at a time, and an end on request


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the run folder; raises EmolibError naming the process that holds it. The system frees a dead process's lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise EmolibError(
                f"{folder} is in use by process {holder}; wait for it, or choose another --name"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C inside the block, so that the kernel is ended on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: Any) -> None:
        raise KeyboardInterrupt("SIGTERM")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def window_text(summary: dict[str, Any]) -> str:
    """The window table for the terminal, with what kind of data it is from."""
    if "window_table" not in summary:
        return f"done: {runs_root() / summary['name']}; no window table yet (notebook 04)"
    lines = [
        f"{'window':>8} {'protocol':>9} {'macro-F1 [95 % interval]':>28} {'ceiling':>8} | {'paper val.':>10} {'paper test':>10}"
    ]
    for row in summary["window_table"]:
        low, high = row["interval"]
        ceiling, validation, test = (
            "–" if row[key] is None else f"{row[key]:.3f}"
            for key in ("ceiling", "paper_validation", "paper_test")
        )
        score = f"{row['macro_f1']:.3f} [{low:.3f}, {high:.3f}]"
        lines.append(
            f"{row['window']:>8} {row['protocol']:>9} {score:>28} {ceiling:>8} | {validation:>10} {test:>10}"
        )
    shape = ": compare the shape, not the height, with the paper's real data"
    kind = summary["origin"].upper() + shape if summary["origin"] else "validation"
    how = f"; frames{summary['smoothed'].removeprefix(',')}" if summary["smoothed"] else ""
    over = {
        f"{row['seeds']} seed{'s' * (row['seeds'] > 1)}, interval over {row['interval_over']}"
        for row in summary["window_table"]
    }
    return (
        f"Ours ({'; '.join(sorted(over))}) on {kind}{how}\n"
        + "\n".join(lines)
        + f"\n{runs_root() / summary['name'] / 'summary.json'}"
    )
