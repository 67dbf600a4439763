"""Claims whose answer is true by construction on the benchmark's latent signals.

Each is a full model against one that differs in one point, as in ``studies.variants``. What can
differ is a setting, the windows, or the seeds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from emolib.config import Experiment, preset
from emolib.features.window_sets import WindowSet
from emolib.studies.calibration.latents import make_windows
from emolib.studies.variants import FULL

WINDOW, SHORT, EVERY = 60, 20, 10  # frames of a window, of a short one, and between those kept
WIDTHS = (16, 16)  # numbers per face and per step of sound
DIFFICULTY = -0.5  # half the benchmark's noise of the pitch
TRAIN_CLIPS, CHECK_CLIPS = 40, 64  # of each class
# 200 steps, after which nearly every seed is at its ceiling. With 120 at twice the learning rate
# some were not, and a claim was then judged by which model learns sooner (docs/benchmark.md).
SETTINGS: dict[str, Any] = {
    "window": WINDOW // EVERY,
    "width": 32,
    "attention_heads": 2,
    "tcn_blocks": 2,
    "epochs": 10,
    "batch_size": 16,
    "learning_rate": 4e-3,
    "min_learning_rate": 1e-4,
    "amp": "float32",
}

Windows = Callable[[int, int], WindowSet]  # clips of each class and seed to windows


def experiment(**changes: Any) -> Experiment:
    """The model of a draw: the preset ``demo``, small enough for a second of training."""
    return preset("demo", **{**SETTINGS, **changes})


def long_windows(clips: int, seed: int, *, backwards: bool = False) -> WindowSet:
    """Windows of WINDOW frames; ``backwards`` plays the faces in reverse."""
    return make_windows(
        clips,
        seed,
        window=WINDOW,
        every=EVERY,
        backwards=backwards,
        difficulty=DIFFICULTY,
        widths=WIDTHS,
    )


def short_windows(clips: int, seed: int) -> WindowSet:
    """The last SHORT frames of the same windows."""
    long, kept = long_windows(clips, seed), SHORT // EVERY
    return replace(long, frames=long.frames[:, -kept:])


def mislabelled_windows(clips: int, seed: int) -> WindowSet:
    """The same windows; in training each has the label of another one."""
    right = long_windows(clips, seed)
    if clips == CHECK_CLIPS:
        return right
    return replace(right, label=np.random.default_rng(seed).permutation(right.label))


@dataclass(frozen=True)
class Known:
    """A claim, what the other side of its comparison has, and whether the claim is true.

    ``seeds_from``: where the other side's seeds begin, in numbers of seeds.
    """

    name: str
    claim: str
    true: bool
    why: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    windows: Windows = long_windows
    seeds_from: int = 0


KNOWN = (
    Known(
        "no_tcn",
        "Temporal modelling by the TCN helps.",
        True,
        "the motion pair needs the order of frames",
        {"tcn_blocks": 0},
    ),
    Known(
        "visual",
        "The voice helps.",
        True,
        "two pairs of classes have the same face",
        {"modalities": "visual", "fusion": "concat"},
    ),
    Known(
        "audio",
        "Faces help.",
        True,
        "a voice tells two qualities only",
        {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0},
    ),
    Known(
        "short",
        "60 frames are better than 20.",
        True,
        "noise hides the slope of the motion pair in a short window",
        {"window": SHORT // EVERY},
        short_windows,
    ),
    Known(
        "mislabelled",
        "The labels of a window's own frames help.",
        True,
        "labels of other windows say nothing",
        windows=mislabelled_windows,
    ),
    Known(
        "same",
        "Negative control: the same setting under another name.",
        False,
        "with equally frequent classes every class weight is 1",
        {"class_weights": "none"},
    ),
    Known(
        "other_seeds",
        "Negative control: the same setting with other seeds.",
        False,
        "a seed is no method",
        seeds_from=1,
    ),
    Known(
        "looks_ahead",
        "Looking back is better than looking ahead.",
        False,
        "the motion pair played backwards has the same distribution",
        windows=partial(long_windows, backwards=True),
    ),
    Known(
        "concat",
        "Fusion by cross-attention helps over concatenation.",
        False,
        "no class needs both streams at one moment",
        {"fusion": "concat"},
    ),
    Known(
        "visual_queries",
        "The voice attending to faces helps.",
        False,
        "no class needs both streams at one moment",
        {"fusion": "visual_queries"},
    ),
    Known(
        "audio_queries",
        "Faces attending to the voice helps.",
        False,
        "no class needs both streams at one moment",
        {"fusion": "audio_queries"},
    ),
    Known(
        "no_contrastive",
        "Guidance by text helps.",
        False,
        "the prompts are random here, and every class has labels",
        {"contrastive_weight": 0.0},
    ),
)
FULL_MODEL = Known(FULL, "", True, "")
