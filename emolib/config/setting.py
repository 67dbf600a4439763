"""One setting: its default, meaning, source and range, kept in the field's metadata;
and the check of a value against it.
"""

import dataclasses
import math
import re
from typing import Any

from emolib.errors import WrongCall, nearest

INTERVAL = re.compile(r"([\[(])(\S+), (\S+)([\])])")  # "[0, 1)": 0 belongs to it, 1 does not


def setting(
    default: Any,
    doc: str,
    source: str,
    stages: str,
    within: tuple[str, ...] | str = (),
) -> Any:
    """A dataclass field with its documentation;
    ``stages`` names the stages whose results depend on it.

    ``within``: the choices of a text, the interval of a number (``"[0, 1)"``), or the interval of
    each number in a comma-separated text.
    """
    choices = () if isinstance(within, str) else within
    metadata = {
        "doc": doc,
        "source": source,
        "stages": tuple(stages.split()),
        "choices": choices,
        "range": within if isinstance(within, str) else "",
    }
    return dataclasses.field(default=default, metadata=metadata)


def checked(field: dataclasses.Field[Any], value: Any) -> Any:
    """``value`` in the field's own type. Raises WrongCall for what ``field`` does not take."""
    if field.type is float and type(value) in (int, float):
        value = float(value) + 0.0  # 1 and 1.0, -0.0 and 0.0 are one experiment
    if type(value) is not field.type:
        raise WrongCall(
            f"{field.name}={value!r}: expected {getattr(field.type, '__name__', field.type)}"
        )
    if value == "" and field.default != "":
        raise WrongCall(f"{field.name} must not be empty")
    choices, interval = field.metadata["choices"], field.metadata["range"]
    if choices and value not in choices:
        raise WrongCall(
            f"{field.name}={value!r}: choose one of {', '.join(choices)}{nearest(value, choices)}"
        )
    if interval:
        numbers = integers(field.name, value) if isinstance(value, str) else [value]
        for number in numbers:
            if not is_within(number, interval):
                finite = "" if math.isfinite(number) else ", and finite"
                raise WrongCall(f"{field.name}={value}: must be {in_words(interval)}{finite}")
    return value


def integers(name: str, text: str) -> list[int]:
    """The integers of a comma-separated text.

    Raises WrongCall for anything else, none, and one that stands there twice.
    """
    if not re.fullmatch(r"\s*-?\d+\s*(,\s*-?\d+\s*)*", text, re.ASCII):
        raise WrongCall(f"{name}={text!r}: expected integers with commas between them")
    numbers = [int(part) for part in text.split(",")]
    for number in numbers:
        if numbers.count(number) > 1:
            raise WrongCall(f"{name}={text!r}: {number} stands there twice")
    return numbers


def is_within(value: float, interval: str) -> bool:
    """Whether ``value`` lies in an interval such as ``"[0, 1)"``; NaN lies in none."""
    left, low, high, right = _parts(interval)
    above = value >= low if left == "[" else value > low
    below = value <= high if right == "]" else value < high
    return above and below


def in_words(interval: str) -> str:
    """``at least 1``, ``above 0``, or ``in [0, 1)``."""
    left, low, high, _ = _parts(interval)
    if math.isfinite(high):
        return f"in {interval}"
    return f"{'at least' if left == '[' else 'above'} {low:g}"


def _parts(interval: str) -> tuple[str, float, float, str]:
    match = INTERVAL.fullmatch(interval)
    assert match, f"{interval!r}: expected an interval such as '[0, 1)'"
    return match[1], float(match[2]), float(match[3]), match[4]
