"""Runs of variants side by side: what each predicted, and the paired difference between two of
them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib.config import Experiment
from emolib.data.datasets import can_show, collection_of
from emolib.errors import EmolibError
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.results.stored_predictions import COLUMNS as PROBABILITIES
from emolib.results.stored_predictions import by_clip
from emolib.studies.variants import Variant

FRAME = ["clip", "frame", "label"]  # what makes two rows speak of the same frame


def predictions(folder: Path, *, probabilities: bool = False) -> pd.DataFrame:
    """What a finished run predicted for every frame: ``frame``, ``label``, ``prediction``,
    ``clip`` and ``unit``, clips in order.

    ``unit``: what belongs together when a score is resampled, as ``data.clip.independent_of`` has
    it: all takes of one actor, or a clip where the data set does not name people.
    ``probabilities``: with ``p_<Class>`` x 8. ``attrs["classes"]``: the classes that the run's data
    set can show. Raises EmolibError when the run has no predictions.
    """
    columns = ["frame", "label", "prediction", *(PROBABILITIES if probabilities else [])]
    clips = by_clip(Path(folder), columns)
    settings = Path(folder) / "experiment.json"
    experiment = Experiment.load(settings) if settings.is_file() else None
    dataset = experiment.dataset if experiment else "affwild2"
    parts = [rows.assign(clip=clip, unit=_unit_of(clip, dataset)) for clip, rows in clips.items()]
    table = pd.concat(parts, ignore_index=True)
    if experiment:
        table.attrs["classes"] = can_show(experiment)
    return table


def _unit_of(clip: str, dataset: str) -> str:
    """The actor whom the name of a ``clip`` tells, or the clip itself."""
    collection = collection_of(dataset)
    name = collection.names.fullmatch(clip) if collection else None
    return name["person"] if name else clip


def _units(run: pd.DataFrame) -> np.ndarray:
    """What is resampled of a ``run``: its units, or its clips where it has no column of units."""
    return run["unit" if "unit" in run else "clip"].to_numpy()


def classes_in(runs: Sequence[pd.DataFrame]) -> list[int]:
    """The classes that the data set of ``runs``, of :func:`predictions`, can show."""
    every: list[int] = list(range(NUM_CLASSES))
    return runs[0].attrs.get("classes", every)


def check_same_frames(runs: Sequence[pd.DataFrame]) -> None:
    """Raises EmolibError unless all ``runs``, of :func:`predictions`, are about the same frames
    with the same labels.
    """
    if any(not run[FRAME].equals(runs[0][FRAME]) for run in runs):
        raise EmolibError("the runs predict different frames; compare runs on the same data")


def compare(
    ours: Sequence[pd.DataFrame],
    reference: Sequence[pd.DataFrame],
    classes: Sequence[int] | None = None,
) -> dict[str, Any]:
    """``metrics.difference`` per frame between two variants, ours minus the reference; each a list
    with one run a seed. ``classes``: the mean is over these alone, by default over those that the
    data set can show.

    Raises EmolibError when they are not about the same frames.
    """
    check_same_frames([*ours, *reference])
    a, b = (np.stack([run["prediction"].to_numpy() for run in runs]) for runs in (ours, reference))
    label, unit = ours[0]["label"].to_numpy(), _units(ours[0])
    classes = classes_in(ours) if classes is None else classes
    return metrics.difference(label, a, b, unit, classes=classes)


def groups_of(variants: Sequence[Variant], runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of ``sweep.run_variants`` for ``variants.plan`` by variant: as many for each as
    there are seeds.
    """
    count = len(runs) // len(variants)
    parts = [runs.iloc[start : start + count] for start in range(0, len(runs), count)]
    return {variant.name: part for variant, part in zip(variants, parts, strict=True)}


def predictions_of(
    groups: Mapping[str, pd.DataFrame], *, probabilities: bool = False
) -> dict[str, list[pd.DataFrame]]:
    """:func:`predictions_by_seed` of each group of :func:`groups_of`."""
    return {
        name: predictions_by_seed(group, probabilities=probabilities)
        for name, group in groups.items()
    }


def predictions_by_seed(group: pd.DataFrame, *, probabilities: bool = False) -> list[pd.DataFrame]:
    """:func:`predictions` of the runs of one variant: one table a seed.

    Of a cross-validation it holds every clip once, as the run predicted it that held its fold out.
    """
    tables = []
    for _, runs in group.groupby("seed", sort=False):
        parts = [predictions(Path(run), probabilities=probabilities) for run in runs["folder"]]
        tables.append(pd.concat(parts, ignore_index=True))
    return tables


def scored(runs: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """``seeds``, ``values`` (macro-F1 per frame of each seed), their mean ``macro_f1``, and its
    ``interval``: over seeds, or over clips (actors, where they are named) where there is one seed.
    """
    classes = classes_in(runs)
    values = [metrics.macro_f1(run["label"], run["prediction"], classes) for run in runs]
    over = metrics.over_seeds(values)
    interval = over["interval"]
    if interval is None:
        label, prediction = (runs[0][name].to_numpy() for name in ("label", "prediction"))
        units = _units(runs[0])
        result = metrics.score(label, prediction, units, protocol="frame", classes=classes)
        interval = result["macro_f1_interval"]
    return {
        "seeds": len(runs),
        "values": values,
        "macro_f1": over["mean"],
        "interval": np.clip(interval, 0, 1).tolist(),
    }


def class_windows(
    runs: pd.DataFrame, groups: Mapping[str, Sequence[int]] | None = None
) -> tuple[dict[str, dict[int, list[float]]], dict[str, dict[str, Any]]]:
    """Of a sweep over ``window`` and ``seed``: F1 per frame by class and window, and what the
    longest window changes.

    Returns (class -> window -> F1 of each seed, class -> ``metrics.difference`` of the longest
    window minus the shortest). ``groups``: name -> classes; each is one more entry, the mean F1 of
    these classes. A class that the data set cannot show has no entry, nor has a group with one.
    """
    frames = {
        int(str(window)): predictions_by_seed(group) for window, group in runs.groupby("window")
    }
    longest, shortest = frames[max(frames)], frames[min(frames)]
    shown = classes_in(longest)
    wanted = {name: [index] for index, name in enumerate(EXPRESSIONS)} | dict(groups or {})
    classes = {name: members for name, members in wanted.items() if set(members) <= set(shown)}
    by_seed = {
        window: [metrics.class_f1(run["label"], run["prediction"]) for run in seeds]
        for window, seeds in frames.items()
    }
    scores: dict[str, dict[int, list[float]]] = {}
    for name, members in classes.items():
        members = list(members)
        scores[name] = {
            window: [float(f1[members].mean()) for f1 in seeds] for window, seeds in by_seed.items()
        }
    effects = {name: compare(longest, shortest, members) for name, members in classes.items()}
    return scores, effects
