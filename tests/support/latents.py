"""Small models on the benchmark's latent signals (``studies.calibration.latents``)."""

from typing import Any

import numpy as np

from emolib.config import Experiment, preset
from emolib.data.synthetic.observer import ceiling_row
from emolib.labels import NUM_CLASSES
from emolib.studies.calibration.latents import make_windows as make

__all__ = ["SMALL", "ceiling", "make", "small"]

SMALL = {
    "width": 48,
    "attention_heads": 2,
    "tcn_blocks": 4,
    "epochs": 8,
    "batch_size": 32,
    "learning_rate": 4e-3,
    "min_learning_rate": 1e-4,
    "amp": "float32",
    "tcn_dropout": 0.0,
    "classifier_dropout": 0.0,
}


def small(**changes: Any) -> Experiment:
    """The demo preset, shrunk."""
    return preset("demo", **{**SMALL, **changes})


def ceiling(inputs: str, window: int = 60) -> float:
    """The ideal observer's best macro-F1 for equally frequent classes."""
    return float(ceiling_row(inputs, window, "window", np.ones(NUM_CLASSES))["macro_f1"])
