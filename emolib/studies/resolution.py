"""What can a set of videos decide? The chance in a score when videos are drawn anew.

No predictions are needed: the labelled frames of each video, a classifier's published F1 and a
stated model of how its accuracy varies between videos. Videos are drawn with replacement. In a
drawn video the frames of one class are shared out over the eight predictions by a Dirichlet
distribution around the classifier's confusion matrix: the recall alone then follows a beta
distribution. Frames of one class in one video succeed or fail together; that is why 284,230 frames
decide as little as 70 videos. Two runs have the same outcome in a stated share of all pairs of
video and class.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, sparse, special, stats

from emolib.errors import WrongCall
from emolib.evaluation.intervals import LEVEL
from emolib.evaluation.metrics import f1_of_classes
from emolib.labels import NUM_CLASSES

CONCENTRATIONS = (2.0, 16.0)  # from videos that differ much to videos that differ little
SAME_METHOD = (0.5, 0.9)  # shared outcomes of two settings of one method
OTHER_METHODS = (0.0, 0.5)  # of two methods
POWER = 0.8  # the usual wish: a true effect is seen in four of five studies
REPETITIONS = 2000
CELLS = 200_000  # pairs of drawn video and class that are worked on at once; bounds memory


@dataclass(frozen=True)
class Assumptions:
    """How outcomes vary between videos, and how much two runs have in common.

    ``concentration``: of the beta distribution of a video's recall; its standard deviation around a
    mean recall r is sqrt(r (1 - r) / (concentration + 1)). ``shared``: share of the pairs (video,
    class) in which runs of two variants have the same outcome, which is their correlation.
    ``shared_by_seeds``: the same for two seeds of one variant.
    """

    concentration: float = 4.0
    shared: float = 0.7
    shared_by_seeds: float = 0.9

    def __post_init__(self) -> None:
        if self.concentration <= 0:
            raise WrongCall(f"concentration={self.concentration}: must be above 0")
        if not 0 <= self.shared <= self.shared_by_seeds <= 1:
            raise WrongCall(
                f"shared={self.shared}, shared_by_seeds={self.shared_by_seeds}: expected "
                "0 <= shared <= shared_by_seeds <= 1; "
                "two seeds share at least what two variants share"
            )


# the classifier


def confusion_of_f1(f1: Sequence[float], frames: np.ndarray) -> np.ndarray:
    """Expected confusion ``[8, 8]`` with the F1 ``[8]`` on ``frames`` ``[videos, 8]``.

    Row: annotated class, column: predicted class; rows sum to 1.

    Published tables have F1 alone, so two things are assumed: each class is predicted as often as
    it is annotated (precision = recall = F1), and errors go to the other classes independently of
    the annotated one, as far as these sums allow (iterative proportional fitting). Raises WrongCall
    where no such matrix exists.
    """
    scores, total = np.asarray(f1, dtype=np.float64), frames.sum(axis=0).astype(np.float64)
    if scores.shape != (NUM_CLASSES,) or not ((scores >= 0) & (scores <= 1)).all():
        raise WrongCall(f"f1={scores.tolist()}: expected eight values between 0 and 1")
    if not total.all():
        raise WrongCall(f"frames by class {total.tolist()}: a class without frames has no recall")
    errors = total * (1 - scores)
    if 2 * errors.max() > errors.sum():
        raise WrongCall("f1: the errors of one class are more than the other classes can take")
    matrix = 1.0 - np.eye(NUM_CLASSES)
    for _ in range(1000):
        matrix *= _ratio(errors, matrix.sum(axis=1))[:, None]
        matrix *= _ratio(errors, matrix.sum(axis=0))
    return (matrix + np.diag(total - errors)) / total[:, None]


def at_level(f1: Sequence[float], macro_f1: float) -> np.ndarray:
    """F1 ``[8]`` with the mean ``macro_f1``.

    The pattern of ``f1``, every class moved by the same amount in log-odds.
    """
    if not 0 < macro_f1 < 1:
        raise WrongCall(f"macro_f1={macro_f1}: must lie between 0 and 1")
    logits = special.logit(np.asarray(f1, dtype=np.float64))
    shift = optimize.brentq(lambda by: special.expit(logits + by).mean() - macro_f1, -30, 30)
    return special.expit(logits + shift)


def macro_f1(confusion: np.ndarray, frames: np.ndarray) -> float:
    """The expected macro-F1 of ``confusion`` (rows sum to 1) on ``frames`` ``[videos, 8]``."""
    return float(f1_of_classes(confusion * frames.sum(axis=0)[:, None]).mean())


def corrected_share(confusion: np.ndarray, frames: np.ndarray, effect: float) -> float:
    """The share of errors that a classifier has to correct to gain ``effect`` in macro-F1.

    The same share in every class. Raises WrongCall for an effect that it cannot gain.
    """
    before = macro_f1(confusion, frames)
    if not 0 <= effect <= 1 - before:
        raise WrongCall(
            f"effect={effect}: a macro-F1 of {before:.3f} can gain 0 to {1 - before:.3f}"
        )
    return optimize.brentq(
        lambda share: macro_f1(_corrected(confusion, share), frames) - before - effect, 0, 1
    )


def _corrected(confusion: np.ndarray, share: float | np.ndarray) -> np.ndarray:
    return (1 - share) * confusion + share * np.eye(NUM_CLASSES)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)


# chance


def redraw(
    frames: np.ndarray,
    confusion: np.ndarray,
    assumptions: Assumptions,
    *,
    seeds: int = 1,
    videos: int | None = None,
    effect: float = 0.0,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> np.ndarray:
    """Macro-F1 of two variants on videos drawn anew: ``[repetitions, 2, seeds]``.

    ``frames`` ``[n, 8]``: labelled frames of the videos that are drawn from. ``videos``: how many
    are drawn (default n); 0: none, each video is there once and only outcomes vary. ``effect``:
    what the first variant is truly better by.
    """
    corrected = corrected_share(confusion, frames, effect) if effect else 0.0
    generator = np.random.default_rng(seed)
    scores = []
    for drawn in _drawn_videos(frames, videos, repetitions, generator):
        matrices = _matrices(drawn, confusion, assumptions, seeds, generator)  # [2, seeds, R, 8, 8]
        if corrected:
            wrong = matrices[0] * (1 - np.eye(NUM_CLASSES))
            right = wrong.sum(axis=-1, keepdims=True) * np.eye(NUM_CLASSES)
            matrices[0] += corrected * (right - wrong)
        scores.append(f1_of_classes(matrices).mean(axis=-1))
    return np.moveaxis(np.concatenate(scores, axis=2), 2, 0)


def _drawn_videos(
    frames: np.ndarray, videos: int | None, repetitions: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """Frames by class of each repetition's videos, ``[R, videos, 8]``,
    in parts that fit in memory.
    """
    size = videos or len(frames)
    cells = size * (frames > 0).sum() / len(frames)
    part = max(1, int(CELLS / cells))
    for start in range(0, repetitions, part):
        count = min(part, repetitions - start)
        if videos == 0:
            yield np.broadcast_to(frames, (count, *frames.shape))
        else:
            yield frames[generator.integers(0, len(frames), (count, size))]


def _matrices(
    drawn: np.ndarray,
    confusion: np.ndarray,
    assumptions: Assumptions,
    seeds: int,
    generator: np.random.Generator,
) -> np.ndarray:
    """Confusion matrices in frames on ``drawn`` ``[R, videos, 8]``: ``[2, seeds, R, 8, 8]``.

    A cell is one class in one drawn video. One coin a cell says who shares its outcome: all runs,
    the runs of one variant, or nobody.
    """
    repetition, annotated, video = np.nonzero(drawn.transpose(0, 2, 1))
    cell_frames = drawn[repetition, video, annotated].astype(np.float64)
    coin = generator.random(len(cell_frames))
    by_all = coin < assumptions.shared
    by_variant = ~by_all & (coin < assumptions.shared_by_seeds)
    outcomes_of_cell = np.where(by_all, 1, np.where(by_variant, 2, 2 * seeds))
    first = np.cumsum(outcomes_of_cell) - outcomes_of_cell
    shape = assumptions.concentration * confusion[np.repeat(annotated, outcomes_of_cell)]
    outcomes = generator.standard_gamma(shape)  # [outcomes, 8], a Dirichlet when divided by its sum
    outcomes /= outcomes.sum(axis=1, keepdims=True)

    group = repetition * NUM_CLASSES + annotated
    ends = np.searchsorted(group, np.arange(len(drawn) * NUM_CLASSES + 1))
    shape_of_sum = (len(drawn) * NUM_CLASSES, len(cell_frames))
    add = sparse.csr_matrix((cell_frames, np.arange(len(cell_frames)), ends), shape=shape_of_sum)
    matrices = np.empty((2, seeds, len(drawn), NUM_CLASSES, NUM_CLASSES))
    for variant, run in np.ndindex(2, seeds):
        own = np.where(by_all, 0, np.where(by_variant, variant, variant * seeds + run))
        matrices[variant, run] = (add @ outcomes[first + own]).reshape(-1, NUM_CLASSES, NUM_CLASSES)
    return matrices


# what it means


def interval_width(
    frames: np.ndarray,
    confusion: np.ndarray,
    concentration: float,
    *,
    repetitions: int = REPETITIONS,
) -> float:
    """Width of the interval of one macro-F1.

    How far a model's score moves when videos are drawn anew.
    """
    one_model = Assumptions(concentration, shared=1.0, shared_by_seeds=1.0)
    scores = redraw(frames, confusion, one_model, repetitions=repetitions)
    low, high = np.quantile(scores[:, 0, 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(high - low)


def smallest_difference(
    frames: np.ndarray,
    confusion: np.ndarray,
    assumptions: Assumptions,
    *,
    repetitions: int = REPETITIONS,
) -> float:
    """What a paired difference of two runs must exceed for its interval to leave zero out."""
    scores = redraw(frames, confusion, assumptions, repetitions=repetitions)
    return float(np.quantile(np.abs(scores[:, 0, 0] - scores[:, 1, 0]), LEVEL))


def smallest_effect(
    frames: np.ndarray,
    confusion: np.ndarray,
    assumptions: Assumptions,
    *,
    seeds: int = 1,
    videos: int | None = None,
    power: float = POWER,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> float:
    """The smallest true difference that ``seeds`` runs a side decide with ``power``.

    To be asked before any run. It stands for the interval of ``metrics.difference``: chance of the
    videos, and with two or more seeds each side's Student-t uncertainty of the mean over its seeds.
    Arguments as in :func:`redraw`.
    """
    scores = redraw(
        frames,
        confusion,
        assumptions,
        seeds=seeds,
        videos=videos,
        repetitions=repetitions,
        seed=seed,
    )
    by_videos = float((scores[:, 0].mean(axis=1) - scores[:, 1].mean(axis=1)).std(ddof=1))
    half = _half_width(by_videos, scores, seeds, np.random.default_rng(seed + 1))
    return half + float(stats.norm.ppf(power)) * by_videos


def _half_width(
    by_videos: float, scores: np.ndarray, seeds: int, generator: np.random.Generator
) -> float:
    """Half of the interval of a paired difference of means over ``seeds`` runs."""
    if seeds == 1:
        return float(stats.norm.ppf((1 + LEVEL) / 2)) * by_videos
    by_seeds = np.sqrt(scores.var(axis=2, ddof=1).mean() / seeds)
    draws = 100_000
    chance = by_videos * generator.standard_normal(draws)
    for _ in range(2):
        chance += by_seeds * generator.standard_t(seeds - 1, draws)
    return float(np.quantile(np.abs(chance), LEVEL))


def band(
    measure: Callable[..., float],
    frames: np.ndarray,
    confusion: np.ndarray,
    *,
    concentrations: tuple[float, float] = CONCENTRATIONS,
    shared: tuple[float, float] = SAME_METHOD,
    **options: Any,
) -> tuple[float, float]:
    """``measure`` at the mildest and at the hardest of these assumptions.

    ``measure``: :func:`smallest_difference` or :func:`smallest_effect`.

    That is what is known when neither can be measured. Chance falls with the concentration and with
    what two models share, so the two ends bound everything between them. Two seeds of one variant
    are taken to lie half-way between two variants and one and the same run. ``options`` go to
    ``measure``.
    """
    mildest, hardest = (
        measure(
            frames,
            confusion,
            Assumptions(end(concentrations), end(shared), (1 + end(shared)) / 2),
            **options,
        )
        for end in (max, min)
    )
    return mildest, hardest


def videos_needed(effect: float, videos: int, wanted: float) -> float:
    """How many videos decide ``wanted`` when ``videos`` of them decide ``effect``.

    Chance falls with their square root.
    """
    return videos * (effect / wanted) ** 2
