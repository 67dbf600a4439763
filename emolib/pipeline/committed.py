"""What a run changes in the repository, on request only:
the executed notebooks, and the figures that README shows.
"""

import json
import re
from pathlib import Path
from typing import Any

from emolib.config import Experiment, preset
from emolib.errors import EmolibError
from emolib.pipeline.run import notebooks, run
from emolib.results.notebook_outputs import is_noise
from emolib.system.files import atomic_path, project_root, read_json, runs_root, write_text

# Paths of somebody's machine, which must not reach a committed notebook.
HOME = re.compile(r"/(?:root|home|tmp|work|Users)/[\w./-]{3,}")
EMBEDDED = re.compile(r"[\w+/=]{200,}")  # base64, in which a path may stand by chance
KEPT = ("tags", "jupyter", "transient")  # of a cell's metadata; the last two hide its source
SUMMARY = "summary.json"  # of the run, with which tests compare what the notebooks say
SHOWN = re.compile(r"figures/demo/([\w.-]+)")  # in a page, a picture or a table of the demo


def refresh_notebooks(
    name: str = "demo", *, only: str | None = None, progress: bool = True
) -> list[Path]:
    """Run the notebooks (by default all) on ``demo`` and write them back,
    executed and without noise.

    Returns those that have changed. Raises EmolibError when an output holds a path of this machine.
    """
    if only is None:
        paths = sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
        only = ",".join(path.name[:2] for path in paths)
    run(preset("demo"), name, only=only, progress=progress)
    changed = []
    for path in notebooks(only):
        executed = read_json(runs_root() / name / "notebooks" / path.name)
        text = json.dumps(stripped(executed), indent=1, ensure_ascii=False) + "\n"
        if home := home_path(text):
            raise EmolibError(
                f"{path.name}: an output holds the path {home}; print names, not paths"
            )
        if text != path.read_text(encoding="utf-8"):
            write_text(path, text)
            changed.append(path)
    return changed


def home_path(text: str) -> str | None:
    """The first path of somebody's machine in ``text``; pictures and sound are left out."""
    match = HOME.search(EMBEDDED.sub("", text))
    return match[0] if match else None


def stripped(notebook: dict[str, Any]) -> dict[str, Any]:
    """An executed copy without times, paths, progress bars, versions and papermill's own cells:
    the bytes to commit.
    """
    cells: list[dict[str, Any]] = []
    for cell in notebook["cells"]:
        if "injected-parameters" in cell["metadata"].get("tags", []):
            continue
        number = 1 + sum(other["cell_type"] == "code" for other in cells)
        cells.append(_stripped_cell(cell, number))
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _stripped_cell(cell: dict[str, Any], number: int) -> dict[str, Any]:
    """One cell; a code cell and its results are counted by ``number``."""
    metadata = cell["metadata"]
    kept = {**cell, "metadata": {name: metadata[name] for name in KEPT if metadata.get(name)}}
    if cell["cell_type"] == "code":
        outputs = [dict(output) for output in cell["outputs"] if not is_noise(output)]
        for output in outputs:
            if "execution_count" in output:
                output["execution_count"] = number
        kept |= {"outputs": outputs, "execution_count": number}
    return kept


def refresh_figures(name: str = "demo") -> list[Path]:
    """Copy the figures and tables that README and docs show into ``figures/demo``.

    They come from the finished run ``name``. What no page shows is removed there, so that no file
    is left with the numbers of an older run. Returns what was written. Raises EmolibError when the
    run lacks one of them, or is not of the demo as it is: pictures of people and numbers of changed
    settings stay in ``runs``.
    """
    root, run_folder = project_root(), runs_root() / name
    if Experiment.load(run_folder / "experiment.json") != preset("demo"):
        raise EmolibError(
            f"{run_folder}: of other data or settings than the demo's; "
            "only the demo's figures are shown in the repository"
        )
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    shown = {match for page in pages for match in SHOWN.findall(page.read_text(encoding="utf-8"))}
    target = root / "figures" / "demo"
    contents = {file: _content(run_folder, file) for file in sorted(shown)}
    written = []
    for file, content in contents.items():
        if not (target / file).exists() or (target / file).read_bytes() != content:
            with atomic_path(target / file) as temporary:
                temporary.write_bytes(content)
            written.append(target / file)
    for path in target.iterdir():
        if path.name not in shown:
            path.unlink()
    return written


def _content(run_folder: Path, file: str) -> bytes:
    """A figure or table of a run; of its summary the numbers, without how long each notebook took.

    Raises EmolibError when the run lacks the file.
    """
    path = run_folder / SUMMARY if file == SUMMARY else run_folder / "figures" / file
    if not path.is_file():
        raise EmolibError(f"{path}: no such file; finish the run first (make notebooks)")
    if file != SUMMARY:
        return path.read_bytes()
    summary = read_json(path)
    numbers = {key: summary[key] for key in summary if key not in ("seconds", "versions")}
    numbers["notebooks"] = {stem: entry["metrics"] for stem, entry in summary["notebooks"].items()}
    return (json.dumps(numbers, indent=1, ensure_ascii=False) + "\n").encode()
