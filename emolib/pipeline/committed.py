"""The committed notebooks: executed anew in place, without what differs from machine to machine."""

import json
import re
from pathlib import Path
from typing import Any

from emolib.config import preset
from emolib.errors import EmolibError
from emolib.pipeline.run import notebooks, run
from emolib.system.files import atomic_path, project_root, read_json, runs_root

NOISE = re.compile(
    r"/(?:root|home|tmp|work|Users)/[\w./-]{3,}"
)  # paths that must not reach a committed notebook


def refresh_notebooks(
    name: str = "demo", *, only: str | None = None, progress: bool = True
) -> list[Path]:
    """Run the notebooks (by default all) on ``demo`` and write them, executed and stripped of noise, back."""
    if only is None:
        only = ",".join(
            sorted(
                path.name[:2] for path in (project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb")
            )
        )
    run(preset("demo"), name, only=only, progress=progress)
    changed = []
    for path in notebooks(only):
        text = (
            json.dumps(
                stripped(read_json(runs_root() / name / "notebooks" / path.name)),
                indent=1,
                ensure_ascii=False,
            )
            + "\n"
        )
        if found := NOISE.search(text):
            raise EmolibError(
                f"{path.name}: an output holds the path {found[0]}; print names, not paths"
            )
        if text != path.read_text(encoding="utf-8"):
            with atomic_path(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def stripped(notebook: dict[str, Any]) -> dict[str, Any]:
    """An executed copy without times, paths, progress bars, versions and papermill's own cells: the bytes to commit."""
    cells: list[dict[str, Any]] = []
    for cell in notebook["cells"]:
        tags = cell["metadata"].get("tags", [])
        if "injected-parameters" in tags:
            continue
        kept = {**cell, "metadata": {"tags": tags} if tags else {}}
        if cell["cell_type"] == "code":
            number = 1 + sum(c["cell_type"] == "code" for c in cells)
            outputs = [output for output in cell["outputs"] if not _is_noise(output)]
            kept["outputs"] = [
                {**o, "execution_count": number} if "execution_count" in o else o for o in outputs
            ]
            kept["execution_count"] = number
        cells.append(kept)
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _is_noise(output: dict[str, Any]) -> bool:
    """Progress bars: everything on stderr, and widgets."""
    widget = any("widget" in mime for mime in output.get("data", {}))
    return widget or (output["output_type"] == "stream" and output["name"] == "stderr")
