"""A hash of source code that moves with what the code does, and not with its comments,
docstrings or layout.
"""

import ast
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from emolib.errors import EmolibError
from emolib.system.files import hash_of


def code_hash(sources: Iterable[str]) -> str:
    """16 hexadecimal digits of the syntax trees of ``sources``, Python texts in a fixed order.

    Raises SyntaxError.
    """
    return hash_of([shape(ast.parse(source)) for source in sources])


def shape(node: Any) -> Any:
    """A syntax tree as lists, without positions and without texts that stand alone,
    as docstrings do.

    Empty fields are left out, because a newer Python adds some: the hash is the same under each.
    """
    if isinstance(node, list):
        return [shape(part) for part in node if not _is_text_alone(part)]
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [
        [name, shape(value)]
        for name, value in ast.iter_fields(node)
        if value is not None and value != []
    ]
    return [type(node).__name__, *(field for field in fields if field[1] != [])]


def files_of(modules: Iterable[str]) -> list[Path]:
    """The source files of ``modules``, by their names, without importing them.

    Raises EmolibError for one without source.
    """
    return [_file(name) for name in modules]


def _file(name: str) -> Path:
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        raise EmolibError(f"{name}: no such module with source; install emolib from its sources")
    return Path(found.origin)


def _is_text_alone(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
