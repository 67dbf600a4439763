"""Scores with intervals: macro-F1 over the 8 classes,
resampled by clip (docs/method.md, Evaluation).

Every score names its protocol: ``frame`` (all annotated frames, the challenge) or ``window`` (the
released code's). Single clips carry most of a rare class, so uncertainty resamples whole clips:
each clip's confusion matrix is counted once, and a resample weights the matrices by how often its
clip was drawn.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from emolib.errors import EmolibError, WrongCall, chosen
from emolib.evaluation.intervals import (
    LEVEL,
    MIN_RESAMPLES,
    bca_interval,
    draw_weights,
    resampled,
    weighted,
    with_seeds,
)
from emolib.labels import EXPRESSIONS, NUM_CLASSES

PROTOCOLS = ("frame", "window")  # of every run
BY_CLIP = "clip"  # one row a clip: recordings with one label each
# The axis of a confusion matrix [8, 8] (annotated, predicted) to sum over.
AXES = {"precision": -2, "recall": -1}


def confusion(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """``[8, 8]`` int64, row = annotated class, column = predicted class.

    Labels of -1 are left out.
    """
    return _per_clip(labels, predictions, np.zeros(np.shape(labels), dtype=np.int64))[1].sum(axis=0)


def macro_f1(
    labels: np.ndarray,
    predictions: np.ndarray,
    classes: Sequence[int] = range(NUM_CLASSES),
    f1_classes: str = "all",
) -> float:
    """Mean F1 over all 8 classes, 0 for a class that has neither annotation nor prediction.

    Labels of -1 are left out. ``classes``: the mean is over these alone.
    """
    return float(mean_f1(confusion(labels, predictions), classes, f1_classes))


def class_f1(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """F1 of each class ``[8]``, 0 for a class that has neither annotation nor prediction.

    Labels of -1 are left out.
    """
    return f1_of_classes(confusion(labels, predictions))


def score(
    labels: np.ndarray,
    predictions: np.ndarray,
    clips: np.ndarray,
    *,
    protocol: str,
    classes: Sequence[int] = range(NUM_CLASSES),
    resamples: int = MIN_RESAMPLES,
    seed: int = 0,
    influence: bool = False,
    f1_classes: str = "all",
) -> dict[str, Any]:
    """Everything there is to say about predictions ``[n]`` of labels ``[n]``,
    with intervals of LEVEL over clips ``[n]``.

    Returns ``protocol``, ``macro_f1``, ``accuracy`` and their ``_interval`` ``[low, high]``,
    ``per_class`` (name, precision, recall, f1, each with its ``_interval``, support), ``confusion``
    (8 lists of 8), ``n`` and ``clips``; with ``influence`` also :func:`influence`'s rows.
    ``classes``: those that the data set can show, and ``f1_classes``: of which of them the macro-F1
    is the mean, as :func:`mean_f1` has it; returned. JSON-ready. Raises WrongCall for an unknown
    protocol or too few resamples, EmolibError when nothing is annotated.
    """
    protocols = (*PROTOCOLS, BY_CLIP)
    if protocol not in protocols:
        raise WrongCall(f"protocol={protocol!r}: choose one of {', '.join(protocols)}")
    names, matrices = _per_clip(labels, predictions, clips)
    total, drawn = matrices.sum(axis=0), resampled(matrices, resamples, seed)  # [8, 8], [R, 8, 8]
    # [C, 8, 8]; leaving out the only clip leaves nothing
    without = total - matrices if len(matrices) > 1 else matrices
    by_class = {
        name: _Statistic(
            _shares(total, axis), _shares(drawn, axis, np.nan), _shares(without, axis, np.nan)
        )
        for name, axis in AXES.items()
    }
    by_class["f1"] = _Statistic(*map(f1_of_classes, (total, drawn, without)))
    mean = _Statistic(*(mean_f1(m, classes, f1_classes) for m in (total, drawn, without)))
    result: dict[str, Any] = {
        "protocol": protocol,
        "f1_classes": f1_classes,
        **mean.told("macro_f1"),
        **_Statistic(*map(_accuracy, (total, drawn, without))).told("accuracy"),
        "per_class": [
            {"name": name, **_told_of_class(by_class, c), "support": int(total[c].sum())}
            for c, name in enumerate(EXPRESSIONS)
        ],
        "confusion": total.tolist(),
        "n": int(total.sum()),
        "clips": len(names),
    }
    if influence:
        result["influence"] = _influence(names, matrices)
    return result


class _Statistic(NamedTuple):
    """A figure, or one of each class, with what its interval is made from."""

    value: np.ndarray  # [] or [8]
    drawn: np.ndarray  # [R] or [R, 8]; over resampled clips
    without: np.ndarray  # [C] or [C, 8]; leaving one clip out

    def told(self, name: str) -> dict[str, Any]:
        """``name`` and ``name_interval``, JSON-ready."""
        value = float(self.value)
        return {name: value, f"{name}_interval": bca_interval(value, self.drawn, self.without)}


def _told_of_class(statistics: Mapping[str, _Statistic], c: int) -> dict[str, Any]:
    """Every one of ``statistics`` for class ``c``, with its interval."""
    told: dict[str, Any] = {}
    for name, parts in statistics.items():
        told |= _Statistic(*(part[..., c] for part in parts)).told(name)
    return told


def influence(
    labels: np.ndarray, predictions: np.ndarray, clips: np.ndarray
) -> list[dict[str, Any]]:
    """What each clip alone does to the score: rows of ``clip``, ``macro_f1`` without it, ``change``
    (without - with) and ``f1_change`` by class, the most influential first.
    """
    return _influence(*_per_clip(labels, predictions, clips))


def over_seeds(values: Any) -> dict[str, Any]:
    """Mean of one figure over several seeds with its Student-t interval:
    ``mean``, ``interval``, ``sd``, ``n``.

    One seed has no spread: ``interval`` and ``sd`` are None.
    Raises EmolibError for no value or one that is not finite.
    """
    array = np.asarray(values, dtype=np.float64).ravel()
    if not len(array) or not np.isfinite(array).all():
        raise EmolibError(
            f"over_seeds: expected finite figures of at least one seed, got {array.tolist()}"
        )
    mean, n = float(array.mean()), len(array)
    if n == 1:
        return {"mean": mean, "interval": None, "sd": None, "n": 1}
    sd = float(array.std(ddof=1))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, n - 1)) * sd / np.sqrt(n)
    return {"mean": mean, "interval": [float(mean - half), float(mean + half)], "sd": sd, "n": n}


def rate(successes: int, trials: int) -> dict[str, Any]:
    """How often something happened, with Wilson's interval for a binomial:
    ``rate``, ``interval``, ``n``.

    Raises WrongCall for no trials or for more successes than trials.
    """
    if not 0 <= successes <= trials or trials < 1:
        raise WrongCall(f"{successes} of {trials}: expected 0 to n successes of at least one trial")
    interval = stats.binomtest(successes, trials).proportion_ci(LEVEL, method="wilson")
    return {"rate": successes / trials, "interval": [interval.low, interval.high], "n": trials}


def calibration(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> dict[str, Any]:
    """Is a confidence what it says?

    Probabilities ``[n, 8]`` of labels ``[n]``; labels of -1 are left out.

    Returns ``expected_calibration_error`` (Guo et al. 2017: the mean distance of accuracy from
    confidence over equal bins of confidence, weighted by their size), ``accuracy``, mean
    ``confidence``, and ``bins``: ``low``, ``high``, ``count``, and where there are any rows
    ``confidence`` and ``accuracy`` with its binomial ``accuracy_interval``. Raises EmolibError when
    nothing is annotated or a probability is not finite.
    """
    annotated = np.asarray(labels) >= 0
    labels, probabilities = np.asarray(labels)[annotated], np.asarray(probabilities)[annotated]
    if not len(labels) or not np.isfinite(probabilities).all():
        raise EmolibError("calibration: expected annotated rows with finite probabilities")
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # (low, high]
    rows: list[dict[str, Any]] = []
    error = 0.0
    for index in range(bins):
        inside = place == index
        count = int(inside.sum())
        row: dict[str, Any] = {"low": index / bins, "high": (index + 1) / bins, "count": count}
        if count:
            hits = rate(int(right[inside].sum()), count)
            row |= {"accuracy": hits["rate"], "accuracy_interval": hits["interval"]}
            row["confidence"] = float(confidence[inside].mean())
            error += count / len(labels) * abs(row["accuracy"] - row["confidence"])
        rows.append(row)
    return {
        "expected_calibration_error": error,
        "accuracy": float(right.mean()),
        "confidence": float(confidence.mean()),
        "bins": rows,
    }


def difference(
    labels: np.ndarray,
    predictions_a: np.ndarray,
    predictions_b: np.ndarray,
    clips: np.ndarray,
    *,
    classes: Sequence[int] | None = None,
    resamples: int = MIN_RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Macro-F1 of ``a`` minus that of ``b`` on the same rows, paired:
    both see the same drawn clips.

    predictions: ``[n]``, or ``[seeds, n]`` with one row a training seed; then the score of a side
    is the mean over its seeds, and the interval holds for training anew as well (``with_seeds``).
    Sides with equally many seeds are compared seed by seed, so that what a seed does to both drops
    out. With one seed it holds for these very models only. ``classes``: the mean is over the F1 of
    these alone. Returns ``difference``, ``interval``, ``a`` and ``b`` (macro-F1), ``seeds``
    ``[of a, of b]`` and ``clips``.
    """
    generator = np.random.default_rng(seed)
    kept = list(range(NUM_CLASSES) if classes is None else classes)
    # [seeds, C, 8, 8] each.
    stacks = [
        np.stack([_per_clip(labels, row, clips)[1] for row in np.atleast_2d(np.asarray(side))])
        for side in (predictions_a, predictions_b)
    ]
    weights = draw_weights(stacks[0].shape[1], resamples, generator)

    def mean_f1(matrices: np.ndarray) -> np.ndarray:
        return f1_of_classes(matrices)[..., kept].mean(axis=-1)

    score = [mean_f1(stack.sum(axis=1)) for stack in stacks]  # [seeds]
    drawn = [np.stack([mean_f1(weighted(weights, run)) for run in stack]) for stack in stacks]
    left = [k.sum(axis=1, keepdims=True) - k if k.shape[1] > 1 else k for k in stacks]
    without = [mean_f1(stack).mean(axis=0) for stack in left]  # [C]
    parts = [(score[0], drawn[0]), (-score[1], -drawn[1])]
    if len(score[0]) == len(score[1]):
        parts = [(score[0] - score[1], drawn[0] - drawn[1])]
    estimate = float(sum(by_seed.mean() for by_seed, _ in parts))
    return {
        "difference": estimate,
        "interval": bca_interval(
            estimate, with_seeds(parts, generator), without[0] - without[1], lowest=-1.0
        ),
        "a": float(score[0].mean()),
        "b": float(score[1].mean()),
        "seeds": [len(by_seed) for by_seed in score],
        "clips": len(without[0]),
    }


def _per_clip(labels: Any, predictions: Any, clips: Any) -> tuple[np.ndarray, np.ndarray]:
    """(names of the clips with an annotated row ``[C]``,
    their confusion matrices ``[C, 8, 8]`` int64).
    """
    labels, predictions, clips = np.asarray(labels), np.asarray(predictions), np.asarray(clips)
    if not labels.shape == predictions.shape == clips.shape or labels.ndim != 1:
        raise WrongCall(
            f"labels {labels.shape}, predictions {predictions.shape}, clips {clips.shape}: "
            "expected three arrays of one length"
        )
    annotated = labels >= 0
    labels, predictions, clips = (
        labels[annotated].astype(np.int64),
        predictions[annotated].astype(np.int64),
        clips[annotated],
    )
    if not len(labels):
        raise EmolibError("nothing to score: no row is annotated (every label is -1)")
    for name, values in (("label", labels), ("prediction", predictions)):
        wrong = values[(values < 0) | (values >= NUM_CLASSES)]
        if len(wrong):
            raise WrongCall(f"a {name} of {wrong[0]}: classes are 0..{NUM_CLASSES - 1}")
    names, clip = np.unique(clips, return_inverse=True)
    cell = (clip * NUM_CLASSES + labels) * NUM_CLASSES + predictions
    return names, np.bincount(cell, minlength=len(names) * NUM_CLASSES**2).reshape(
        -1, NUM_CLASSES, NUM_CLASSES
    )


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float = 0.0) -> np.ndarray:
    """part / whole, ``empty`` where whole is 0."""
    return np.divide(part, whole, out=np.full(np.shape(whole), empty), where=np.asarray(whole) > 0)


def _shares(matrices: np.ndarray, axis: int, empty: float = 0.0) -> np.ndarray:
    """Hits of each class over the sum along ``axis`` of AXES, ``[..., 8, 8]`` -> ``[..., 8]``;
    ``empty`` where that is 0.
    """
    return _ratio(np.diagonal(matrices, axis1=-2, axis2=-1), matrices.sum(axis=axis), empty)


def f1_of_classes(matrices: np.ndarray) -> np.ndarray:
    """F1 of each class, ``[..., 8, 8]`` -> ``[..., 8]``: 2 TP / (annotated + predicted)."""
    hits = np.diagonal(matrices, axis1=-2, axis2=-1)
    return _ratio(2 * hits, matrices.sum(axis=-1) + matrices.sum(axis=-2))


def mean_f1(
    matrices: np.ndarray, classes: Sequence[int] = range(NUM_CLASSES), f1_classes: str = "all"
) -> np.ndarray:
    """Macro-F1, ``[..., 8, 8]`` -> ``[...]``: the mean over ``all`` of ``classes``, or over
    those of them that are ``present``, annotated or predicted, as scikit-learn has it.
    """
    kept = list(classes)
    f1 = f1_of_classes(matrices)[..., kept]
    if chosen("f1_classes", f1_classes, {"all": True, "present": False}):
        return f1.mean(axis=-1)
    present = (matrices.sum(axis=-1) + matrices.sum(axis=-2) > 0)[..., kept]
    return _ratio(f1.sum(axis=-1), present.sum(axis=-1))


def _accuracy(matrices: np.ndarray) -> np.ndarray:
    return np.trace(matrices, axis1=-2, axis2=-1) / matrices.sum(axis=(-2, -1))


def _influence(names: np.ndarray, matrices: np.ndarray) -> list[dict[str, Any]]:
    total = matrices.sum(axis=0)
    whole, without = f1_of_classes(total), f1_of_classes(total - matrices)  # [8], [C, 8]
    rows = [
        {
            "clip": name,
            "macro_f1": float(f1.mean()),
            "change": float(f1.mean() - whole.mean()),
            "f1_change": [float(change) for change in f1 - whole],
        }
        for name, f1 in zip(names.tolist(), without, strict=True)
    ]
    return sorted(rows, key=lambda row: (-abs(row["change"]), row["clip"]))
