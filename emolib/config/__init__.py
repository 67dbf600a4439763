"""``Experiment``: every choice of a run in one record; the presets; settings as text."""

from emolib.config.experiment import FORMAT, HALF_WIDTH_FROM, Experiment
from emolib.config.presets import PRESETS, STRONG, check_data, preset
from emolib.config.text import describe, format_settings, in_lines, parse_settings

__all__ = [
    "FORMAT",
    "HALF_WIDTH_FROM",
    "PRESETS",
    "STRONG",
    "Experiment",
    "check_data",
    "describe",
    "format_settings",
    "in_lines",
    "parse_settings",
    "preset",
]
