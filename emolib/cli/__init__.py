"""The command line: one thin command a verb; the work is done below.

Exit codes: 0 done, 1 the work failed, 2 the call was wrong. Errors are one line on stderr. Nothing
heavy is imported before a verb needs it, so that ``--help`` and a run with nothing to do are quick.
"""

import sys
import warnings
from typing import TextIO

from emolib.cli import making, results, upkeep
from emolib.cli.command import app
from emolib.errors import EmolibError, EmolibWarning

__all__ = ["app", "main", "making", "results", "upkeep"]


def main() -> None:
    """The ``emolib`` command."""
    with warnings.catch_warnings():
        warnings.showwarning = _show
        _run()


def _show(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of emolib's in one line, as its errors are; any other as Python shows it."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, EmolibWarning):
        text = f"emolib: {message}\n"
    print(text, end="", file=file or sys.stderr)


def _run() -> None:
    try:
        app()
    except EmolibError as error:
        print(f"emolib: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that may not be read, a name that is too long
        place = error.filename or "input or output"
        print(
            f"emolib: {place}: {error.strerror or error}; give another path, or its permission",
            file=sys.stderr,
        )
        sys.exit(1)
