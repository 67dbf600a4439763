"""The verdict rule by itself: how often it is right for a true effect of a known size.

No model is trained. Runs are drawn from a model of how they differ: a run classifies a clip rightly
with a probability (probit) that depends on the side, the clip, the seed, and the side and clip
together. A run may also have missed the motion pair, as some seeds do.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.studies.calibration.verdicts import ANSWER, CLIPS_OF_EACH, SEED_COUNTS, shares
from emolib.studies.claims import NEGLIGIBLE, verdict

EFFECTS = (0.0, NEGLIGIBLE, 0.05, 0.1, 0.2)  # true differences of macro-F1
PAIR = np.array([EXPRESSIONS.index("Anger"), EXPRESSIONS.index("Disgust")])


@dataclass(frozen=True)
class Spread:
    """How runs of one method differ, in probits; ``missed``: share of seeds without the pair."""

    name: str
    score: float  # of the better side, share of clips that are right where the pair is learned
    clip: float  # how much harder a clip is than another, for all runs
    side: float  # how much harder for one of the two sides alone
    seed: float  # how much better a seed is than another
    missed: float = 0.0


SPREADS = (
    Spread("seeds alike", score=0.95, clip=1.0, side=0.3, seed=0.1),
    Spread("one seed in four misses the motion pair", 0.95, 1.0, 0.3, 0.1, missed=0.25),
)


def level(spread: Spread, share: float) -> float:
    """The probit at which ``share`` of the clips are right on average."""
    return float(norm.ppf(share)) * np.sqrt(1 + spread.clip**2 + spread.side**2 + spread.seed**2)


def draw_side(
    spread: Spread, share: float, clips: np.ndarray, seeds: int, rng: np.random.Generator
) -> np.ndarray:
    """What ``seeds`` runs predict for clips of equally frequent classes, ``[seeds, clips]``.

    ``clips``: how easy each is for all runs, probits. A wrong one gets the next class.
    """
    label = np.arange(len(clips)) % NUM_CLASSES
    easy = level(spread, share) + clips + rng.normal(0, spread.side, len(clips))
    luck = rng.normal(0, spread.seed, (seeds, 1))
    right = rng.random((seeds, len(clips))) < norm.cdf(easy + luck)
    predicted = np.where(right, label, (label + 1) % NUM_CLASSES)
    guessed = (rng.random((seeds, 1)) < spread.missed) & np.isin(label, PAIR)
    return np.where(guessed, rng.choice(PAIR, predicted.shape), predicted)


def score(spread: Spread, share: float) -> float:
    """The macro-F1 that a side reaches on average, by a large draw that is always the same one."""
    rng = np.random.default_rng(0)
    clips = rng.normal(0, spread.clip, 4000)
    predicted = draw_side(spread, share, clips, 40, rng)
    label = np.arange(len(clips)) % NUM_CLASSES
    return float(np.mean([metrics.macro_f1(label, row) for row in predicted]))


def worse_share(spread: Spread, effect: float) -> float:
    """The share of right clips at which a side is ``effect`` below the better one in macro-F1."""
    if effect == 0:
        return spread.score
    best = score(spread, spread.score)
    return float(
        brentq(lambda share: best - score(spread, share) - effect, 0.3, spread.score, xtol=1e-3)
    )


def judge(spread: Spread, share: float, seeds: int, rng: np.random.Generator) -> str:
    """The verdict on one experiment: the better side against one with ``share`` of clips right."""
    clips = rng.normal(0, spread.clip, CLIPS_OF_EACH * NUM_CLASSES)
    full, other = (draw_side(spread, each, clips, seeds, rng) for each in (spread.score, share))
    label = np.arange(len(clips)) % NUM_CLASSES
    paired = metrics.difference(label, full, other, np.arange(len(clips)))
    return verdict(paired["interval"], seeds)


def rows(experiments: int, seed: int = 0) -> list[dict[str, Any]]:
    """A row for each spread, true effect and number of seeds: how often the rule says what.

    An effect of 0 is a claim that is not true; every other one is a claim that is.
    """
    result = []
    for spread in SPREADS:
        for effect in EFFECTS:
            share = worse_share(spread, effect)
            for seeds in SEED_COUNTS:
                rng = np.random.default_rng([seed, seeds])
                said = Counter(judge(spread, share, seeds, rng) for _ in range(experiments))
                result.append(_row(spread, effect, seeds, said))
    return result


def _row(spread: Spread, effect: float, seeds: int, said: Counter[str]) -> dict[str, Any]:
    answer = ANSWER[effect > 0]
    counts = {"right": said[answer], "undecided": said["undecided"]}
    counts["wrong"] = said.total() - counts["right"] - counts["undecided"]
    row = {"spread": spread.name, "effect": effect, "seeds": seeds, "experiments": said.total()}
    return row | shares(counts, said.total())
