"""How sure a score is: resampling whole clips, and the interval of what the resamples say.

Single clips carry most of a rare class, so frames are not resampled, clips are (docs/method.md,
Evaluation; docs/data.md, Structure).
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from emolib.errors import WrongCall
from emolib.labels import NUM_CLASSES

LEVEL = 0.95  # of every interval
PERCENT = f"{100 * LEVEL:g} %"  # how texts and figures name it
MIN_RESAMPLES = 2000


def draw_weights(count: int, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """How often each of ``count`` units is drawn in each resample: float64 ``[R, count]``."""
    if resamples < MIN_RESAMPLES:
        raise WrongCall(f"resamples={resamples}: expected at least {MIN_RESAMPLES}")
    return generator.multinomial(count, np.full(count, 1 / count), size=resamples).astype(
        np.float64
    )


def seed_noise(by_seed: np.ndarray, resamples: int, generator: np.random.Generator) -> np.ndarray:
    """Draws ``[R]`` of the error of a mean over few seeds;
    resampling 3 seeds would understate it (86 % coverage).
    """
    n = len(by_seed)
    if n == 1:
        return np.zeros(resamples)
    return generator.standard_t(n - 1, resamples) * by_seed.std(ddof=1) / np.sqrt(n)


def with_seeds(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], generator: np.random.Generator
) -> np.ndarray:
    """Draws ``[R]`` of a sum of means over seeds, uncertain by its clips and by its seeds.

    ``parts``: of each mean its values by seed ``[seeds]`` and their resamples over clips
    ``[seeds, R]``. How differently clips fall for different seeds is in both uncertainties; it is
    taken out of that of the clips, else the interval would be too wide: of two variances
    ``clip + both / seeds`` and ``seed + both``, the sum over ``seeds`` would count it twice.
    """
    count = parts[0][1].shape[1]
    by_clips, noise, twice = np.zeros(count), np.zeros(count), 0.0
    for by_seed, drawn in parts:
        mean, seeds = drawn.mean(axis=0), len(by_seed)
        by_clips += mean
        noise += seed_noise(by_seed, count, generator)
        if seeds > 1:
            twice += np.sum((drawn - mean).var(axis=1)) / (seeds - 1) / seeds
    variance = by_clips.var()
    share = np.sqrt(max(0.0, 1 - twice / variance)) if variance > 0 else 1.0
    return by_clips.mean() + share * (by_clips - by_clips.mean()) + noise


def weighted(weights: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """``[R, C] @ [C, 8, 8]`` -> ``[R, 8, 8]``; exact, as the counts are far below 2**53."""
    return (weights @ matrices.reshape(len(matrices), -1).astype(np.float64)).reshape(
        -1, NUM_CLASSES, NUM_CLASSES
    )


def resampled(matrices: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Sums ``[R, 8, 8]`` of the confusion matrices ``[C, 8, 8]`` of as many clips, drawn anew."""
    return weighted(draw_weights(len(matrices), resamples, np.random.default_rng(seed)), matrices)


def bca_interval(
    estimate: float, drawn: np.ndarray, without: np.ndarray, lowest: float = 0.0
) -> list[float]:
    """BCa interval (Efron 1987) of ``estimate`` from its resamples ``[R]`` and
    leave-one-clip-out values ``[C]``.

    Plain percentiles lie too low, because a resample with fewer distinct clips scores lower: on
    simulated clips they held the true macro-F1 87 % of the time at a nominal 95 %. One clip says
    nothing about others: from ``lowest`` to 1, also where a share is defined (not NaN) by one clip
    alone. A resample without the class is no recall of 0.
    """
    if len(without) == 1 or np.isnan(without).any():
        return [lowest, 1.0]
    drawn = drawn[~np.isnan(drawn)]
    below = (np.sum(drawn < estimate) + np.sum(drawn == estimate) / 2) / len(drawn)
    bias = stats.norm.ppf(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    deviation = without.mean() - without
    spread = np.sum(deviation**2) ** 1.5
    acceleration = np.sum(deviation**3) / (6 * spread) if spread > 0 else 0.0
    z = bias + stats.norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [
        float(bound)
        for bound in np.quantile(drawn, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    ]
