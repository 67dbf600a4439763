"""A working copy of the notebooks to play with, so that ``make lab`` changes no committed notebook.

``runs/lab`` holds the copies. A copy that nobody has changed follows the committed notebook; one
that its user has changed stays as it is, and is named.
"""

import shutil
from pathlib import Path
from typing import Any

from emolib.system.files import (
    atomic_path,
    hash_of,
    project_root,
    read_record,
    runs_root,
    write_json,
)

COPIED = ".copied.json"  # notebook -> hash of its cells when it was copied


def working_copies() -> tuple[Path, list[str]]:
    """The folder with the copies, and the names of copies that are kept
    although the committed notebook is newer.
    """
    folder = runs_root() / "lab"
    record = folder / COPIED
    copied: dict[str, str] = read_record(record) if record.exists() else {}
    kept = []
    for source in sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        copy = folder / source.name
        current = cells_hash(source)
        if copy.exists() and copied.get(source.name) != cells_hash(copy):
            if copied.get(source.name) != current:
                kept.append(source.name)
            continue
        if not copy.exists() or copied.get(source.name) != current:
            with atomic_path(copy) as temporary:
                shutil.copyfile(source, temporary)
        copied[source.name] = current
    write_json(record, copied)
    return folder, kept


def cells_hash(notebook: Path) -> str:
    """Hash of a notebook's cells without their outputs."""
    cells: list[dict[str, Any]] = read_record(notebook, "cells")["cells"]
    return hash_of([[cell["cell_type"], "".join(cell["source"])] for cell in cells])


if __name__ == "__main__":
    copies, kept_names = working_copies()
    for name in kept_names:
        print(f"{name}: your changed copy is kept; rename or delete it to get the newer notebook")
    print(f"working copies of the notebooks: {copies}")
