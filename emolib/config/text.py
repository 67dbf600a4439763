"""Settings as text: ``epochs=3,seeds=42,43``, for the command line and the
parameters cell of a notebook.
"""

import dataclasses
from typing import Any

from emolib.config.experiment import Experiment
from emolib.config.presets import PRESETS, preset
from emolib.config.setting import in_words
from emolib.errors import WrongCall, nearest

OWN_OPTIONS = {  # they decide what a run is of, so each has its own place
    "preset": "--preset NAME, or the notebook's parameter `preset`",
    "data": "--data DIR, or the notebook's parameter `data`",
    "weights": "--weights DIR, or the notebook's parameter `weights`",
}


def parse_settings(text: str) -> dict[str, Any]:
    """``"key=value,key=value"`` as typed settings:
    ``"epochs=3,seeds=42,43"`` gives ``{"epochs": 3, "seeds": "42,43"}``.

    A part without ``=`` belongs to the value before it.
    Raises WrongCall for an unknown name or a value of another type.
    """
    pairs: list[list[str]] = []
    for part in text.split(",") if text.strip() else []:
        if "=" in part:
            pairs.append([word.strip() for word in part.split("=", 1)])
        elif pairs:
            pairs[-1][1] += f",{part.strip()}"
        else:
            raise WrongCall(f"settings {text!r}: expected key=value, with commas between them")
    return {name: _typed(name, value) for name, value in pairs}


def _typed(name: str, text: str) -> Any:
    """``text`` as the type of the field ``name``."""
    types: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(Experiment)}
    if name in OWN_OPTIONS:
        raise WrongCall(f"{name} is not a setting to change here; use {OWN_OPTIONS[name]}")
    if name not in types:
        raise WrongCall(f"unknown setting {name!r}{nearest(name, types)}")
    if types[name] is bool:
        if text.lower() not in ("true", "false"):
            raise WrongCall(f"{name}={text!r}: expected true or false")
        return text.lower() == "true"
    try:
        return types[name](text)
    except ValueError as error:
        raise WrongCall(f"{name}={text!r}: expected {types[name].__name__}") from error


def format_settings(experiment: Experiment) -> str:
    """What ``experiment`` changes against its preset, so that :func:`parse_settings` reads it back.

    ``data`` and ``weights`` are left out: they have options of their own.
    """
    defaults = dataclasses.asdict(preset(experiment.preset))
    values = dataclasses.asdict(experiment)
    changed = [
        name for name in defaults if values[name] != defaults[name] and name not in OWN_OPTIONS
    ]
    return ",".join(f"{name}={values[name]}" for name in changed)


def describe(name: str = "") -> dict[str, dict[str, Any]]:
    """Of every setting, or of ``name`` alone: meaning, type, values it takes, source,
    and default in each preset.

    Raises WrongCall for an unknown name, naming the nearest valid one.
    """
    fields = {field.name: field for field in dataclasses.fields(Experiment)}
    if name and name not in fields:
        raise WrongCall(f"unknown setting {name!r}{nearest(name, fields)}")
    chosen = [fields[name]] if name else list(fields.values())
    return {field.name: _description(field) for field in chosen}


def _description(field: dataclasses.Field) -> dict[str, Any]:
    return {
        "meaning": field.metadata["doc"],
        "type": getattr(field.type, "__name__", field.type),
        "values": _values(field),
        "source": field.metadata["source"],
        "presets": {name: getattr(preset(name), field.name) for name in PRESETS},
    }


def in_lines(rows: dict[str, dict[str, Any]]) -> list[str]:
    """What :func:`describe` gives, for a terminal:
    two lines a setting, and one for presets that differ from the first.
    """
    lines = []
    for name, row in rows.items():
        first, *others = row["presets"]
        default = row["presets"][first]
        lines.append(f"{name}={default}  {row['meaning']}")
        lines.append(f"    {row['values']}; source: {row['source']}")
        different = [
            f"{each}: {row['presets'][each]}" for each in others if row["presets"][each] != default
        ]
        if different:
            lines.append(f"    {', '.join(different)}")
    return lines


def _values(field: Any) -> str:
    """Which values a field takes, in words."""
    if field.metadata["choices"]:
        return "one of " + ", ".join(field.metadata["choices"])
    if field.metadata["range"]:
        kind = {int: "integer", float: "number", str: "integers with commas, each"}[field.type]
        return f"{kind} {in_words(field.metadata['range'])}"
    return "true or false" if field.type is bool else "text"
