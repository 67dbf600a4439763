"""A study: sides that differ in one point, trained with the same seeds on one latent benchmark."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from emolib.config import Experiment
from emolib.evaluation.predictions import predict_windows
from emolib.features.window_sets import WindowSet
from emolib.labels import NUM_CLASSES
from emolib.studies.calibration import known as benchmark
from emolib.studies.calibration.draws import LOGIT_SCALE
from emolib.studies.calibration.known import Windows, long_windows
from emolib.system.device import run_threads
from emolib.training.stacked import Stack

Prompts = Callable[[], np.ndarray]  # float32 [8, numbers per face]


def random_prompts(width: int = benchmark.WIDTHS[0]) -> np.ndarray:
    """Prompts that say nothing of the faces, of as many numbers."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(NUM_CLASSES, width)).astype(np.float32)


@dataclass(frozen=True)
class Side:
    """A way to train: settings, and what the model is shown."""

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    train: Windows = long_windows
    check: Windows = long_windows
    prompts: Prompts = random_prompts


@dataclass(frozen=True)
class Study:
    """The first of ``sides`` is the reference, which every other one is compared with.

    ``module``: whose code makes its windows. ``known``: of the answer, before any run. ``classes``:
    their mean F1 is looked at as well. ``shown``: what the table has beside macro-F1 (``part``:
    that mean). ``settings``: of all sides. ``untrained``: rules by title, windows to classes [N].
    """

    name: str
    module: str
    question: str
    known: str
    sides: tuple[Side, ...]
    classes: tuple[str, ...] = ()
    shown: tuple[str, ...] = ("part",)
    settings: Mapping[str, Any] = field(default_factory=dict)
    untrained: Mapping[str, Callable[[WindowSet], np.ndarray]] = field(default_factory=dict)
    train_clips: int = benchmark.TRAIN_CLIPS
    check_clips: int = benchmark.CHECK_CLIPS

    @property
    def command(self) -> str:
        """What makes its table."""
        return f"emolib effects {self.name}"

    def experiment(self, side: Side, seed: int) -> Experiment:
        """One run of a side."""
        return benchmark.experiment(**{**self.settings, **side.changes, "seed": seed})


def without_sound(windows: WindowSet) -> WindowSet:
    """The same windows, in which nothing is heard."""
    return replace(windows, audio_length=np.zeros_like(windows.audio_length))


def without_faces(windows: WindowSet, face: np.ndarray) -> WindowSet:
    """The same windows with ``face`` in every frame."""
    return replace(windows, visual=np.broadcast_to(face, windows.visual.shape).copy())


def train_side(study: Study, side: Side, seeds: int) -> dict[str, np.ndarray]:
    """``label`` [clips], and what ``seeds`` runs of a side give the check windows: probabilities
    float32 [seeds, clips, 8] as they are (``all``), without sound and without faces.
    """
    experiments = [study.experiment(side, seed) for seed in range(seeds)]
    train, check = side.train(study.train_clips, 0), side.check(study.check_clips, 1)
    stack = Stack(experiments, train, side.prompts(), LOGIT_SCALE, "cpu")
    with run_threads():  # other numbers of threads give other last bits
        for epoch in range(experiments[0].epochs):
            stack.epoch(epoch)
    shown = {"all": check}
    if len(experiments[0].streams) == 2:
        face = np.asarray(train.visual).mean(axis=0, dtype=np.float32).astype(np.float16)
        shown |= {"no_sound": without_sound(check), "no_faces": without_faces(check, face)}
    models = [trainer.model for trainer in stack.trainers]
    told = {
        name: np.stack([predict_windows(model, windows) for model in models])
        for name, windows in shown.items()
    }
    return {"label": check.label, **told}
