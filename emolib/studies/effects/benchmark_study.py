"""A study on the generated benchmark itself: rendered faces and sound, through its small encoders.

Its sides are the preset ``demo`` with changes, trained with the same seeds.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib.config import Experiment, preset
from emolib.data.annotations import source_id
from emolib.evaluation.predictions import frame_rows
from emolib.features.prepare import prepare
from emolib.features.window_sets import WindowSet
from emolib.studies.effects.study import Side, without_faces, without_sound
from emolib.training import sweep
from emolib.training.run import load_model


@dataclass(frozen=True)
class BenchmarkStudy:
    """As ``study.Study``, whose fields of the same names mean the same.

    ``tree``: makes the data set of an experiment and returns its folder; None: the benchmark of the
    experiment's settings.
    """

    name: str
    command: str
    question: str
    known: str
    sides: tuple[Side, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tree: Callable[[Experiment], Path] | None = None
    classes: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    def experiment(self, side: Side) -> Experiment:
        """What the runs of a side share; its data are made where they are missing."""
        experiment = preset("demo", **{**self.settings, **side.changes})
        return experiment.replace(data=str(self.tree(experiment))) if self.tree else experiment


def train_side(
    folder: Path, study: BenchmarkStudy, side: Side, seeds: int, progress: bool
) -> dict[str, np.ndarray]:
    """Train what ``folder`` lacks of a side; ``label`` and ``unit`` (a number for the video) of
    each annotated frame [n], and what ``seeds`` runs give it: probabilities [seeds, n, 8] with both
    streams (``all``), and where the study shows it without sound and without faces.

    Of a cross-validation each frame is predicted by the run that held its fold out.
    """
    experiment = study.experiment(side)
    grid = {"seed": range(experiment.seed, experiment.seed + seeds)}
    runs = sweep.run(experiment, grid, folder / study.name, record=side.name, progress=progress)
    clips: dict[str, dict[str, np.ndarray]] = {}
    for _, group in runs.assign(fold=runs.get("fold", 0)).groupby("fold"):
        clips |= held_out(group.sort_values("seed")["folder"], study.shown)
    return joined(clips)


def joined(clips: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays of all ``clips`` one after another, clips by name, and ``unit``."""
    names = sorted(clips)
    units = pd.factorize(np.array([source_id(name) for name in names]))[0]
    lengths = [len(clips[name]["label"]) for name in names]
    arrays = {
        key: np.concatenate([clips[name][key] for name in names], axis=0 if key == "label" else 1)
        for key in clips[names[0]]
    }
    return {**arrays, "unit": np.repeat(units, lengths)}


def held_out(folders: Iterable[str], lacking: Collection[str]) -> dict[str, dict[str, np.ndarray]]:
    """What runs with the same training set, one a seed, give each clip that they did not see: with
    both streams, and as far as ``lacking`` names it without sound and without faces.
    """
    models = [load_model(Path(folder))[0] for folder in folders]
    frames = prepare(models[0].experiment, progress=False).frames
    face = models[0].get_buffer("visual_mean").cpu().numpy().astype(np.float16)
    shown: dict[str, Callable[[WindowSet], WindowSet]] = {"all": lambda windows: windows}
    if "no_sound" in lacking:
        shown["no_sound"] = without_sound
    if "no_faces" in lacking:
        shown["no_faces"] = lambda windows: without_faces(windows, face)
    clips: dict[str, dict[str, np.ndarray]] = {}
    for name, show in shown.items():
        for clip, rows in frame_rows(models, map(show, frames)):
            annotated = clip.labels >= 0
            told = clips.setdefault(clip.id, {"label": clip.labels[annotated]})
            told[name] = np.stack(rows)[:, annotated].astype(np.float32)
    return clips
