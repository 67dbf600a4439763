"""The notebooks, each executed by papermill into ``runs/<name>/notebooks``; then the summary.

Nothing outside the run folder and the cache is written. Finished notebooks (``pipeline.finished``)
are not run again, so nothing here imports torch or papermill before there is work to do.
"""

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from emolib.config import Experiment
from emolib.errors import EmolibError, WrongCall
from emolib.pipeline import parameters
from emolib.pipeline.ahead import trained_ahead
from emolib.pipeline.finished import content_of_given, finished, key
from emolib.pipeline.session import run_name
from emolib.pipeline.summary import summarise
from emolib.system.files import project_root, read_json, write_json, write_text
from emolib.system.process import terminable
from emolib.system.runs import HELD, run_path, writing

DEFAULT_NUMBERS = ("01", "02", "03", "04", "05", "06", "11")
# Ablations that train for as long as all the others together: by --only or `make notebooks`.
LONG_NUMBERS = ("07", "09", "10")
# In this order: what makes the data and the features that the others read; what leaves cores idle
# and reads nothing of the sweep; the sweep and all others.
OF_DATA, ON_ONE_CORE, SWEEP = ("01", "02"), ("03", "04", "06", "11"), "05"
OF_FACES = ("02", "03")  # left out where the experiment has no faces
TIME_LIMIT = 24 * 3600.0  # seconds for one notebook; the demo's slowest needs a few minutes


def notebooks(only: str | None = None) -> list[Path]:
    """The notebooks to run, in order; ``only`` picks by number, ``"05,06"``.

    Raises WrongCall for a number that does not exist,
    EmolibError where there is no ``notebooks`` folder.
    """
    folder = project_root() / "notebooks"
    paths = {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not paths:
        raise EmolibError(f"{folder}: no notebooks here; run emolib from a checkout of the project")
    numbers = [number for number in DEFAULT_NUMBERS if number in paths]
    if only:
        numbers = [number.strip().zfill(2) for number in only.split(",")]
    for number in numbers:
        if number not in paths:
            raise WrongCall(f"--only {only}: no notebook {number!r}; there are {', '.join(paths)}")
    return [paths[number] for number in sorted(set(numbers))]


def run(
    experiment: Experiment,
    name: str = "",
    *,
    only: str | None = None,
    time_limit: float = TIME_LIMIT,
    progress: bool = True,
) -> dict[str, Any]:
    """Execute the notebooks that are not finished, the sweep and what follows it last;
    returns the content of ``runs/<name>/summary.json``.

    ``name`` defaults to the preset's, and to a name of its own where settings differ from the
    preset's. Stops at the first failure with an EmolibError naming notebook and cell; called again,
    it resumes there. Without faces, notebooks 02 and 03 are left out. Raises WrongCall for the run
    folder of another experiment, EmolibError for one in use.
    """
    name = name or run_name(experiment)
    folder = run_path(name).resolve()
    paths = notebooks(only)
    if "visual" not in experiment.streams:
        paths = [path for path in paths if path.name[:2] not in OF_FACES]
    # All parameters are checked before the first kernel starts.
    values = {path: parameters.of_run(path, experiment, name) for path in paths}
    with writing(folder), terminable():
        check_folder(folder, experiment)
        given = content_of_given(experiment)

        def execute_each(chosen: list[Path]) -> None:
            for path in chosen:
                if progress:
                    print(f"emolib: {path.name}", file=sys.stderr, flush=True)
                execute(
                    path,
                    folder,
                    values[path],
                    key(path, experiment, given),
                    time_limit=time_limit,
                    progress=progress,
                )

        left = [path for path in paths if not finished(folder, path, key(path, experiment, given))]
        of_data, on_one_core, others = in_stages(left)
        execute_each(of_data)
        sweeps = on_one_core and any(path.name[:2] == SWEEP for path in others)
        with trained_ahead(experiment, folder, environment(folder)) if sweeps else nullcontext():
            execute_each(on_one_core)
        execute_each(others)
        summary = summarise(folder, experiment, given)
        write_json(folder / "summary.json", summary, sealed=True)
        if left and (folder / "metrics.json").is_file():
            from emolib.results import checklist

            checklist.write(folder)
    return summary


def execute(
    notebook: Path,
    folder: Path,
    values: dict[str, Any],
    notebook_key: str,
    *,
    time_limit: float,
    progress: bool,
) -> None:
    """Run one notebook with the parameters ``values`` and, when it ended well,
    mark its copy as finished.
    """
    from emolib.pipeline import kernel

    copy = folder / "notebooks" / notebook.name
    env = environment(folder)
    kernel.execute(notebook, copy, values, time_limit=time_limit, env=env, progress=progress)
    content = read_json(copy)
    content["metadata"]["emolib"] = {"key": notebook_key}
    write_text(copy, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def in_stages(paths: list[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """``paths`` by the stage of a run in which they are executed."""
    of_data = [path for path in paths if path.name[:2] in OF_DATA]
    on_one_core = [path for path in paths if path.name[:2] in ON_ONE_CORE]
    return of_data, on_one_core, [path for path in paths if path not in of_data + on_one_core]


def environment(folder: Path) -> dict[str, str]:
    """Of the processes that work on the run in ``folder``, which is held here for them."""
    return {
        **os.environ,
        "EMOLIB_RUNS": str(folder.parent),
        "PYTHONHASHSEED": "0",
        HELD: str(folder),
    }


def check_folder(folder: Path, experiment: Experiment) -> None:
    """Raise WrongCall for a run folder that another experiment has begun:
    its results would be mixed with ours.
    """
    path = folder / "experiment.json"
    if not path.exists():
        return
    other = Experiment.load(path)
    if other.fingerprint("train") == experiment.fingerprint("train"):
        return
    here = experiment.settings("train") | experiment.settings("synth")
    there = other.settings("train") | other.settings("synth")
    changed = ", ".join(
        f"{name}={there[name]!r} there, {here[name]!r} here"
        for name in here
        if here[name] != there[name]
    )
    raise WrongCall(
        f"{folder} holds another experiment ({changed or 'of other data or encoders'}); "
        "choose another --name"
    )
