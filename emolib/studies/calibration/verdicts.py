"""The rule of ``studies.claims`` on finished draws: right, wrong, undecided, by number of seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emolib.evaluation import metrics
from emolib.labels import NUM_CLASSES
from emolib.studies.calibration.known import KNOWN, Known
from emolib.studies.claims import verdict
from emolib.studies.comparison import compare
from emolib.studies.variants import FULL

SEED_COUNTS = (3, 5, 10)
SETS = 4  # of clips a draw, at most
CLIPS_OF_EACH = 7  # clips of each class that a verdict rests on: 56, as on the benchmark
OUTCOMES = ("right", "wrong", "undecided")
ANSWER = {True: "supported", False: "not supported"}


def outcome(judged: str, true: bool) -> str:
    """``right``, ``wrong`` or ``undecided``: a verdict of a claim that is ``true`` or not."""
    if judged == "undecided":
        return judged
    return "right" if judged == ANSWER[true] else "wrong"


def as_runs(label: np.ndarray, predictions: np.ndarray, clips: slice) -> list[pd.DataFrame]:
    """Predictions ``[seeds, clips]`` as ``comparison.predictions`` gives them, one frame a clip."""
    frames = {"clip": np.arange(len(label))[clips], "frame": 1, "label": label[clips]}
    return [pd.DataFrame({**frames, "prediction": row[clips]}) for row in predictions]


def judge(draw: Mapping[str, np.ndarray], claim: Known, seeds: int) -> list[str]:
    """The outcomes of ``claim`` on one draw, for each set of clips that no other set shares."""
    size = CLIPS_OF_EACH * NUM_CLASSES
    outcomes = []
    for first in range(0, len(draw["label"]) - size + 1, size)[:SETS]:
        clips = slice(first, first + size)
        full, other = (
            as_runs(draw["label"], draw[name][:seeds], clips) for name in (FULL, claim.name)
        )
        judged = verdict(compare(full, other)["interval"], seeds)
        outcomes.append(outcome(judged, claim.true))
    return outcomes


def rows(draws: Sequence[Mapping[str, np.ndarray]]) -> list[dict[str, Any]]:
    """A row for each claim and number of seeds: how often the verdict is right, wrong, undecided.

    ``sets``: verdicts in all, several of each draw on clips of their own. They share its models, so
    ``<outcome>_interval`` is as wide as of one verdict a draw. ``effect``: the true difference, the
    mean over all draws, seeds and clips, with its interval over draws.
    """
    return [_row(draws, claim, seeds) for claim in KNOWN for seeds in SEED_COUNTS]


def _row(draws: Sequence[Mapping[str, np.ndarray]], claim: Known, seeds: int) -> dict[str, Any]:
    counts = Counter(each for draw in draws for each in judge(draw, claim, seeds))
    effect = metrics.over_seeds([_effect(draw, claim.name) for draw in draws])
    row: dict[str, Any] = {
        "name": claim.name,
        "claim": claim.claim,
        "true": claim.true,
        "why": claim.why,
        "seeds": seeds,
        "draws": len(draws),
        "sets": counts.total(),
        "effect": effect["mean"],
        "effect_interval": effect["interval"],
        "seed_deviation": float(np.mean([_deviation(draw, claim.name) for draw in draws])),
    }
    return row | shares(counts, len(draws))


def shares(counts: Mapping[str, int], independent: int) -> dict[str, Any]:
    """Each outcome's share with its binomial interval, of ``independent`` verdicts."""
    total = sum(counts.values())
    row: dict[str, Any] = {}
    for name in OUTCOMES:
        share = counts.get(name, 0) / total
        row[name] = share
        row[f"{name}_interval"] = metrics.rate(round(share * independent), independent)["interval"]
    return row


def _scores(draw: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return np.array([metrics.macro_f1(draw["label"], row) for row in draw[name]])


def _effect(draw: Mapping[str, np.ndarray], name: str) -> float:
    return float(_scores(draw, FULL).mean() - _scores(draw, name).mean())


def _deviation(draw: Mapping[str, np.ndarray], name: str) -> float:
    """Between seeds, of the difference seed by seed."""
    return float((_scores(draw, FULL) - _scores(draw, name)).std(ddof=1))
