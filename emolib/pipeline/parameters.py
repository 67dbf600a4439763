"""The one cell of parameters of a notebook: read, checked, and filled in by the pipeline."""

import ast
from pathlib import Path
from typing import Any

from emolib.config import Experiment, format_settings
from emolib.errors import EmolibError, WrongCall, nearest
from emolib.pipeline.session import run_name
from emolib.system.files import read_json

TAG = "parameters"  # papermill's own


def defaults(path: Path) -> dict[str, Any]:
    """The literals of the notebook's one cell tagged ``parameters``.

    Raises EmolibError when that is not what the notebook holds.
    """
    cells = [c for c in read_json(path)["cells"] if TAG in c["metadata"].get("tags", [])]
    if len(cells) != 1:
        raise EmolibError(f"{path}: {len(cells)} cells tagged `{TAG}`; a notebook has exactly one")
    statements = ast.parse("".join(cells[0]["source"])).body
    return dict(_assignment(statement, path) for statement in statements)


def _assignment(statement: ast.stmt, path: Path) -> tuple[str, Any]:
    """Name and value of ``name = literal``."""
    try:
        if not isinstance(statement, ast.Assign):
            raise ValueError
        return ast.unparse(statement.targets[0]), ast.literal_eval(statement.value)
    except ValueError as error:
        line = ast.unparse(statement)
        raise EmolibError(
            f"{path}: parameters cell: `{line}` is not `name = literal`; "
            "derive values in the next cell"
        ) from error


def check(path: Path, values: dict[str, Any]) -> None:
    """Raise WrongCall for a parameter that the notebook does not have or one of another type.

    papermill only warns.
    """
    known = defaults(path)
    for name, value in values.items():
        if name not in known:
            raise WrongCall(f"{path.name}: unknown parameter {name!r}{nearest(name, list(known))}")
        if type(value) is not type(known[name]):
            raise WrongCall(f"{path.name}: {name}={value!r}: expected {type(known[name]).__name__}")


def of_run(path: Path, experiment: Experiment, name: str) -> dict[str, Any]:
    """What a run sets of the notebook's parameters: what differs from the notebook's own values.

    So the executed copy of a default run is the notebook itself.
    """
    values = {
        "preset": experiment.preset,
        "name": "" if name == run_name(experiment) else name,
        "data": experiment.data,
        "weights": experiment.weights,
        "settings": format_settings(experiment),
    }
    check(path, values)
    own = defaults(path)
    return {key: value for key, value in values.items() if value != own[key]}
