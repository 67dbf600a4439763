"""Acted recordings by folds of actors: every recording is predicted once, by models that have never
met its actor (docs/data.md, Acted recordings).
"""

import dataclasses
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.datasets import can_show
from emolib.evaluation import metrics
from emolib.evaluation.identity import identity_of
from emolib.features.prepare import Data, clips_of, prepare
from emolib.labels import EXPRESSIONS
from emolib.results.stored_predictions import COLUMNS, by_clip
from emolib.system.runs import writing
from emolib.training import run as training
from emolib.training.claim import claim

# What a run on voices alone sets beside its preset. The last epoch is taken, because the best one
# would be chosen on the actors held out. The batch is the paper's.
VOICES: dict[str, Any] = {
    "modalities": "audio",
    "fusion": "concat",
    "contrastive_weight": 0.0,
    "audio_context": "track",
    "audio_pooling": "statistics",
    "selection": "last",
    "frame_rule": "mean",
    "batch_size": 64,
}
# What is chosen in each fold by its training actors alone (studies.people_choice): how long a
# window is, and whether the head forgets some of its input.
DROPOUT: dict[str, Any] = {"adapter_dropout": 0.3, "classifier_dropout": 0.3}
CANDIDATES: tuple[dict[str, Any], ...] = (
    {"window": 60},
    {"window": 90},
    {"window": 60, **DROPOUT},
    {"window": 90, **DROPOUT},
)


def train_folds(
    experiment: Experiment,
    folder: Path,
    *,
    seeds: Sequence[int],
    settings: Mapping[int, Mapping[str, Any]] | None = None,
    shuffled: bool = False,
    progress: bool = True,
) -> list[Path]:
    """Run folders of every fold and seed below ``folder``; complete ones are not trained again.

    ``settings``: fold -> what was chosen for it (``people_choice.chosen_settings``).
    ``shuffled``: each actor's training labels are dealt out anew among that actor's recordings,
    so that nothing is left to learn but chance.
    """
    folders = []
    places = list(itertools.product(range(1, experiment.folds + 1), seeds))
    for fold, seed in tqdm(
        places, desc="folds of actors", unit="run", disable=not progress, leave=False
    ):
        changes = {"fold": fold, **(settings or {}).get(fold, {}), "seed": seed}
        run = experiment.replace(**changes)
        place = folder / ",".join(f"{name}={value}" for name, value in changes.items())
        folders.append(place)
        if shuffled:
            _train_shuffled(run, place)
        else:
            training.run(run, place, progress=False)
    return folders


def _train_shuffled(run: Experiment, place: Path) -> None:
    with writing(place):
        if claim(run, place, identity_of(run, progress=False)) is None:
            data = _shuffled(prepare(run, progress=False), run.seed)
            training.train_and_evaluate(run, data, place, progress=False)


def _shuffled(data: Data, seed: int) -> Data:
    """``data`` with the labels of its training recordings dealt out anew within each actor."""
    clips, generator = data.train.clips, np.random.default_rng(seed)
    labels = np.array([clip.labels[0] for clip in clips], np.int64)
    people = np.array([clip.person for clip in clips])
    for person in np.unique(people):
        own = np.flatnonzero((people == person) & (labels >= 0))
        labels[own] = labels[generator.permutation(own)]
    return dataclasses.replace(
        data, train=dataclasses.replace(data.train, label=labels[data.train.clip])
    )


def by_recording(experiment: Experiment, folders: Sequence[Path]) -> pd.DataFrame:
    """A row a recording: ``clip``, ``person``, ``label``, ``prediction`` and eight probabilities,
    the mean over its frames and over the runs that held its actor out.
    """
    person_of = {clip.id: clip.person for clip in clips_of(experiment, progress=False)}
    rows = [
        {"clip": clip, "label": int(frames["label"].iloc[0]), **frames[COLUMNS].mean()}
        for folder in folders
        for clip, frames in by_clip(folder).items()
    ]
    table = pd.DataFrame(rows).groupby("clip", sort=True).mean().reset_index()
    table["label"] = table["label"].astype(int)
    table.insert(1, "person", table["clip"].map(person_of))
    table["prediction"] = table[COLUMNS].to_numpy().argmax(axis=1)
    return table


def score(experiment: Experiment, table: pd.DataFrame) -> dict[str, Any]:
    """``metrics.score`` of :func:`by_recording`: one label a recording, intervals over actors, the
    macro-F1 over the classes that the data set can show.
    """
    return metrics.score(
        table["label"].to_numpy(),
        table["prediction"].to_numpy(),
        table["person"].to_numpy(),
        protocol=metrics.BY_CLIP,
        classes=can_show(experiment),
    )


def by_person(table: pd.DataFrame) -> pd.DataFrame:
    """A row an actor: ``person``, recordings and accuracy, the best first."""
    known = table[table["label"] >= 0]
    right = known.assign(right=known["label"] == known["prediction"])
    people = right.groupby("person")["right"].agg(recordings="size", accuracy="mean").reset_index()
    return people.sort_values(["accuracy", "person"], ascending=[False, True], ignore_index=True)


def class_counts(experiment: Experiment) -> dict[str, list[int]]:
    """Recordings of each class [8], as ``results.figures.class_distribution`` takes them."""
    labels = np.array([clip.labels[0] for clip in clips_of(experiment, progress=False)], np.int64)
    return {"recordings": np.bincount(labels[labels >= 0], minlength=len(EXPRESSIONS)).tolist()}


def find_data(data: str) -> str:
    """The folder of RAVDESS: ``data``, else ``$EMOLIB_RAVDESS``; empty where there is none."""
    folder = data or os.environ.get("EMOLIB_RAVDESS", "")
    return folder if folder and Path(folder).is_dir() else ""


def of_voices(experiment: Experiment, data: str) -> Experiment | None:
    """``experiment`` on the voices of RAVDESS in ``data``; None where there is no such folder."""
    folder = find_data(data)
    if not folder:
        return None
    settings = {"data": folder, "dataset": "ravdess", "no_counterpart": "Other", **VOICES}
    return experiment.replace(**settings)
