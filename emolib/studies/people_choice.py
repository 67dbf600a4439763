"""Settings of a study by folds of actors, chosen inside the training actors of each fold (nested
cross-validation): nobody who is held out takes part in the choice.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.datasets import can_show
from emolib.evaluation import metrics
from emolib.evaluation.identity import identity_of
from emolib.evaluation.predictions import predict_windows
from emolib.features.extraction import prompt_features
from emolib.features.pooled_sound import pools_sound, sound_statistics
from emolib.features.prepare import clips_of
from emolib.features.window_sets import WindowSet, window_set
from emolib.labels import NUM_CLASSES
from emolib.model import EmotionModel
from emolib.system.device import device
from emolib.system.files import hash_of, read_record, write_json
from emolib.training.trainer import Trainer

Settings = Mapping[str, Any]


def choose(
    experiment: Experiment,
    candidates: Sequence[Settings],
    folder: Path,
    *,
    progress: bool = True,
) -> pd.DataFrame:
    """A row a fold and candidate: ``fold``, ``candidate`` (its place), ``settings`` (as text),
    ``macro_f1`` over the recordings of the fold's training actors, and ``chosen``.

    In each fold the candidate is chosen whose score is highest. For the score every training actor
    is predicted by models that were trained without that actor's fold, too. The answers of every
    model are kept in ``folder`` as soon as it is trained, so that a stopped choice goes on; they
    are made anew for other data, code or settings.
    """
    identity = identity_of(experiment, progress=False).key
    pairs = experiment.folds * (experiment.folds - 1) // 2
    rows = []
    with tqdm(
        total=len(candidates) * pairs, desc="choice", unit="training", disable=not progress
    ) as bar:
        for place, candidate in enumerate(candidates):
            one = experiment.replace(**candidate, fold=1)
            answers = folder / hash_of([identity, one.fingerprint("train")])
            scores = inner_scores(one, answers, bar.update)
            text = ", ".join(f"{name}={value}" for name, value in candidate.items())
            rows += [[fold, place, text, score] for fold, score in enumerate(scores, 1)]
    table = pd.DataFrame(rows, columns=["fold", "candidate", "settings", "macro_f1"])
    best = table.groupby("fold")["macro_f1"].idxmax()  # of equal ones the first
    table["chosen"] = table.index.isin(best)
    return table.sort_values(["fold", "candidate"], ignore_index=True)


def chosen_settings(table: pd.DataFrame, candidates: Sequence[Settings]) -> dict[int, Settings]:
    """Fold -> the candidate that :func:`choose` chose for it."""
    chosen = table[table["chosen"]]
    places = zip(chosen["fold"].tolist(), chosen["candidate"].tolist(), strict=True)
    return {fold: candidates[place] for fold, place in places}


def inner_scores(
    experiment: Experiment, answers: Path, trained: Callable[[], object] = lambda: None
) -> list[float]:
    """For each fold, from 1 on, the macro-F1 of its training actors' recordings, each predicted by
    a model that has met neither the recording's own fold nor the fold that is held out.

    A model without folds i and j serves twice: for i with j held out, and for j with i.
    ``answers``: the folder that keeps what each model said, by its two folds; what is there is not
    trained again. ``trained`` is called after each model.
    """
    windows, fold_of = _windows_of_all(experiment)
    prompts, logit_scale = prompt_features(experiment)
    folds = range(experiment.folds)
    predicted = np.zeros((len(folds), len(windows.clips), NUM_CLASSES))  # [held out, recording]
    for pair in itertools.combinations(folds, 2):
        path = answers / f"without_{pair[0] + 1}_{pair[1] + 1}.json"
        if not path.is_file():
            train = _part(windows, ~np.isin(fold_of, pair))
            trainer = Trainer(_on_one_step(experiment), train, prompts, logit_scale, device())
            for epoch in range(experiment.epochs):
                trainer.epoch(epoch)
            test = _part(windows, np.isin(fold_of, pair))
            said_of_test = mean_by_clip(trainer.model, test).tolist()
            write_json(path, {"probabilities": said_of_test}, sealed=True)
        # [recording, class]; zeros for recordings of other folds
        of_pair = np.array(read_record(path, "probabilities")["probabilities"])
        for held_out, other in (pair, pair[::-1]):
            predicted[held_out, fold_of == other] = of_pair[fold_of == other]
        trained()
    labels = np.array([clip.labels[0] for clip in windows.clips], np.int64)
    classes = can_show(experiment)
    scores = []
    for held_out in folds:
        inner = fold_of != held_out
        said = predicted[held_out].argmax(axis=1)
        scores.append(metrics.macro_f1(labels[inner], said[inner], classes))
    return scores


def _windows_of_all(experiment: Experiment) -> tuple[WindowSet, np.ndarray]:
    """The labelled windows of all recordings, and the fold of each recording from 0 on."""
    folds = range(1, experiment.folds + 1)
    by_fold = [clips_of(experiment.replace(fold=fold), progress=False) for fold in folds]
    held_out_in = {
        clip.id: fold
        for fold, clips in enumerate(by_fold)
        for clip in clips
        if clip.split == "validation"
    }
    clips = by_fold[0]
    windows = window_set(experiment, clips, protocol="window", progress=False)
    if pools_sound(experiment):
        windows = _pooled(windows)
    return windows, np.array([held_out_in[clip.id] for clip in clips])


def _pooled(windows: WindowSet) -> WindowSet:
    """``windows`` with their sound pooled once and for all models: one step each."""
    heard = (windows.audio_length > 0).astype(np.int32)
    return dataclasses.replace(
        windows,
        audio=sound_statistics(windows).astype(np.float16),
        audio_start=np.cumsum(heard, dtype=np.int64) - heard,
        audio_length=heard,
    )


def _on_one_step(experiment: Experiment) -> Experiment:
    """``experiment`` for windows that are pooled already; pooled sound is always standardised."""
    if not pools_sound(experiment):
        return experiment
    return experiment.replace(audio_pooling="mean", standardise=True)


def _part(windows: WindowSet, kept: np.ndarray) -> WindowSet:
    """The windows of the recordings that are ``kept``, bool [recordings]."""
    rows = np.flatnonzero(kept[windows.clip])
    names = ("frames", "audio_start", "audio_length", "label", "clip", "end")
    return dataclasses.replace(windows, **{name: getattr(windows, name)[rows] for name in names})


def mean_by_clip(model: EmotionModel, windows: WindowSet) -> np.ndarray:
    """float64 [recordings, 8]: the mean of each recording's windows; zeros where it has none."""
    total = np.zeros((len(windows.clips), NUM_CLASSES))
    np.add.at(total, windows.clip, predict_windows(model, windows))
    count = np.bincount(windows.clip, minlength=len(total))
    return total / np.maximum(count, 1)[:, None]
