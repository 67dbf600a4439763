"""``Experiment``: every choice of a run in one record; the presets; settings as text."""

from emolib.config.experiment import FORMAT, HALF_WIDTH_FROM, Experiment
from emolib.config.presets import PRESETS, STRONG, preset
from emolib.config.text import format_settings, parse_settings

__all__ = [
    "FORMAT",
    "HALF_WIDTH_FROM",
    "PRESETS",
    "STRONG",
    "Experiment",
    "format_settings",
    "parse_settings",
    "preset",
]
