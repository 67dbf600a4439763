"""Errors that a user can act on: each message says what, where and what to do.

The command line prints the message alone, without a traceback, and exits with ``exit_code``.
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Choice = TypeVar("Choice")


class EmolibError(Exception):
    """The work failed (exit code 1): bad data, missing weights, a damaged file."""

    exit_code = 1


class WrongCall(EmolibError, ValueError):
    """The call was wrong (exit code 2): an unknown preset, setting, notebook or a contradiction."""

    exit_code = 2


class EmolibWarning(UserWarning):
    """What a user should know although the work goes on,
    such as a score of another version of the code.
    """


def all_or_every_reason(*attempts: Callable[[], Any]) -> list[Any]:
    """What every attempt returns; each is made, also after one that failed, so that all that is
    missing is told at once.

    Raises the error of the only one that failed, or an EmolibError that says what all of them say.
    """
    results, failures = [], []
    for attempt in attempts:
        try:
            results.append(attempt())
        except EmolibError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise EmolibError("; and ".join(str(failure) for failure in failures))
    return results


def nearest(name: Any, valid: Any) -> str:
    """``"; did you mean ...?"`` with the closest of ``valid``, or nothing."""
    close = difflib.get_close_matches(str(name), list(valid), n=1, cutoff=0.4)
    return f"; did you mean {close[0]!r}?" if close else ""


def chosen(name: str, value: str, choices: Mapping[str, Choice]) -> Choice:
    """What ``choices`` holds for ``value`` of the setting ``name``.

    Code that follows a setting reads it by this, so that no value is taken for another one.
    Raises WrongCall for a value without a choice.
    """
    if value not in choices:
        raise WrongCall(
            f"{name}={value!r}: choose one of {', '.join(choices)}{nearest(value, choices)}"
        )
    return choices[value]
