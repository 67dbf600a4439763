"""Figures: one function a figure, from plain arrays to a Matplotlib ``Figure``; then saved or shown
with an alt text.
"""

from emolib.results.figures.classes import class_f1, f1_against_ratio
from emolib.results.figures.confusion import confusion
from emolib.results.figures.data import class_distribution, faces, histogram
from emolib.results.figures.features import audio_features, embedding, principal_components
from emolib.results.figures.output import png, save, show
from emolib.results.figures.reliability import reliability
from emolib.results.figures.style import (
    CLASS_COLOURS,
    CLASS_MARKERS,
    COLUMN,
    OTHER,
    OURS,
    PAPER,
    STYLE,
    WIDE,
    blank,
    ink_on,
)
from emolib.results.figures.timeline import timeline
from emolib.results.figures.training import training_curves
from emolib.results.figures.windows import window_curve

__all__ = [
    "CLASS_COLOURS",
    "CLASS_MARKERS",
    "COLUMN",
    "OTHER",
    "OURS",
    "PAPER",
    "STYLE",
    "WIDE",
    "audio_features",
    "blank",
    "class_distribution",
    "class_f1",
    "confusion",
    "embedding",
    "f1_against_ratio",
    "faces",
    "histogram",
    "ink_on",
    "png",
    "principal_components",
    "reliability",
    "save",
    "show",
    "timeline",
    "training_curves",
    "window_curve",
]
