"""Tiny notebooks for tests of the pipeline: a parameters cell, cells of the test's own,
and the cell with the record.
"""

import json
from pathlib import Path

PARAMETERS = 'preset = "demo"\nname = ""\ndata = ""\nweights = ""\nsettings = ""'
RECORD = """
from emolib.system.files import runs_root, write_json
folder = runs_root() / (name or preset)
record = {{"metrics": {metrics}, "summary": {{"seen_by_{number}": settings}}}}
write_json(folder / "records" / "{stem}.json", record)
"""


def write_notebook(
    project: Path, stem: str, *cells: str, metrics: str = "{}", parameters: str = PARAMETERS
) -> Path:
    """A notebook of one parameters cell, ``cells``, and the cell that writes its record."""
    sources = [parameters, *cells, RECORD.format(stem=stem, metrics=metrics, number=stem[:2])]
    content = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"c{i}",
                "metadata": {"tags": ["parameters"]} if i == 0 else {},
                "source": source.strip("\n"),
                "execution_count": None,
                "outputs": [],
            }
            for i, source in enumerate(sources)
        ],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    path = project / "notebooks" / f"{stem}.ipynb"
    path.write_text(json.dumps(content))
    return path
