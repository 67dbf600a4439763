"""The ideal observer: the best macro-F1 that any model can reach on the generated benchmark,
by what it may see.

It knows the law of the generator and reads the latent signals themselves: the group from a still
face, the voice quality from the sound, and from the pitch over a window the optimal statistic for
its direction, the generalised least-squares slope. What the signals do not settle is decided so as
to maximise macro-F1, at random where that is best.
"""

import numpy as np
from scipy.linalg import toeplitz
from scipy.stats import norm

from emolib.data.synthetic.plan import (
    BEAT,
    DIRECTION,
    DRIFT,
    DRIFT_FRAMES,
    GROUP_OF,
    NOD,
    QUALITY,
    RELATION,
    SLOPE,
    TREMBLE,
)
from emolib.errors import chosen
from emolib.labels import EXPRESSIONS, NUM_CLASSES

INPUTS = ("still", "motion", "voice", "still+voice", "motion+voice")
BINS = 64  # of the slope's distribution


def pitch_covariance(window: int, difficulty: float = 0.0) -> np.ndarray:
    """Covariance of the pitch's noise in ``window`` frames, ``[window, window]``."""
    lags = np.arange(window)
    row = DRIFT**2 * np.exp(-lags / DRIFT_FRAMES) + TREMBLE**2 * (lags == 0)
    return toeplitz(row) * (1 + difficulty) ** 2


def slope_deviation(window: int, difficulty: float = 0.0) -> float:
    """Standard deviation of the best unbiased slope estimate from ``window``
    frames (pitch per frame).
    """
    covariance = pitch_covariance(window, difficulty)
    lags = np.arange(window)
    design = np.stack([np.ones(window), lags - lags.mean()], 1)
    return float(np.sqrt(np.linalg.inv(design.T @ np.linalg.solve(covariance, design))[1, 1]))


def pair_accuracy(window: int, difficulty: float = 0.0) -> float:
    """Chance that ``window`` frames tell Anger from Disgust correctly when both
    are equally likely.
    """
    return float(norm.cdf(SLOPE / slope_deviation(window, difficulty)))


def relation_accuracy(window: int, difficulty: float = 0.0) -> float:
    """Chance that ``window`` frames tell Fear from Surprise by ``synth_cues=relation``, when both
    are equally likely and the voice says when the head is up in Fear: the mean over the phases.
    """
    frames = np.arange(window)
    precision = np.linalg.inv(pitch_covariance(window, difficulty))
    certainty = []
    for phase in range(BEAT):
        nods = NOD * (1 - 2 * ((frames + phase) // BEAT % 2))
        design = np.stack([np.ones(window), nods], 1)
        certainty.append(np.linalg.inv(design.T @ precision @ design)[1, 1] ** -0.5)
    return float(norm.cdf(certainty).mean())


def observations(
    inputs: str, window: int, difficulty: float = 0.0, cues: str = "separate"
) -> np.ndarray:
    """P(observation | class), ``[8, groups * qualities * bins * relations]``, for one of INPUTS."""
    groups = np.eye(5)[GROUP_OF] if inputs != "voice" else np.ones((NUM_CLASSES, 1))
    qualities = np.full((NUM_CLASSES, 2), 0.5)
    related = chosen("synth_cues", cues, {"separate": False, "relation": True})
    for name, quality in QUALITY.items():
        if not (related and name in RELATION):
            qualities[EXPRESSIONS.index(name)] = np.eye(2)[quality]
    if "voice" not in inputs:
        qualities = np.ones((NUM_CLASSES, 1))
    slopes = np.ones((NUM_CLASSES, 1))
    if "motion" in inputs:
        reach = SLOPE / slope_deviation(window, difficulty)
        edges = np.r_[-np.inf, np.linspace(-reach - 3, reach + 3, BINS - 1), np.inf]
        up, down = np.diff(norm.cdf(edges - reach)), np.diff(norm.cdf(edges + reach))
        slopes = np.tile((up + down) / 2, (NUM_CLASSES, 1))
        for name, direction in DIRECTION.items():
            slopes[EXPRESSIONS.index(name)] = up if direction > 0 else down
    relations = np.full((NUM_CLASSES, 2), 0.5)
    if related and inputs == "motion+voice":
        right = relation_accuracy(window, difficulty)
        for name, sign in RELATION.items():
            relations[EXPRESSIONS.index(name)] = np.array([right, 1 - right])[::sign]
    joint = np.einsum("cg,cq,cs,cr->cgqsr", groups, qualities, slopes, relations)
    return joint.reshape(NUM_CLASSES, -1)


def best_macro_f1(likelihood: np.ndarray, priors: np.ndarray, steps: int = 200) -> np.ndarray:
    """F1 of each class ``[8]`` under the randomised rule that maximises their mean.

    ``likelihood`` is P(observation | class) ``[8, n]``. Exponentiated-gradient ascent on the rule
    q(class | observation): F1_c = 2 TP_c / (P_c + predicted_c), whose gradient for q(c | o) is 2
    (p(o, c) - F1_c p(o) / 2) / (P_c + predicted_c).
    """
    present = priors > 0
    joint = _merged(likelihood.T * priors)  # [n, 8]
    total = joint.sum(1, keepdims=True)
    rule = joint / np.maximum(total, 1e-300)
    best = np.zeros(NUM_CLASSES)
    for step in range(steps):
        denominator = priors + (rule * total).sum(0)
        f1 = 2 * (rule * joint).sum(0) / np.where(present, denominator, 1)
        if f1.sum() > best.sum():
            best = f1
        gradient = np.where(
            present, (2 * joint - f1 * total) / np.where(present, denominator, 1), -np.inf
        )
        gradient = gradient / np.maximum(total, 1e-300)
        exponent = 0.2 / np.sqrt(1 + step / 50) * (gradient - gradient.max(1, keepdims=True))
        rule = rule * np.exp(exponent)
        rule /= rule.sum(1, keepdims=True)
    return best


def _merged(joint: np.ndarray) -> np.ndarray:
    """P(observation, class) ``[n, 8]`` with the observations of equal posterior,
    which deserve equal treatment, as one.
    """
    joint = joint[joint.sum(1) > 0]
    posterior = np.round(joint / joint.sum(1, keepdims=True), 9)
    _, row = np.unique(posterior, axis=0, return_inverse=True)
    merged = np.zeros((row.max() + 1, NUM_CLASSES))
    np.add.at(merged, row.ravel(), joint)
    return merged


def ceiling_row(
    inputs: str,
    window: int,
    protocol: str,
    priors: np.ndarray,
    difficulty: float = 0.0,
    cues: str = "separate",
) -> dict:
    """One row of ``ceilings.json`` for the class shares ``priors`` [8] of the
    validation frames or windows.
    """
    f1 = best_macro_f1(observations(inputs, window, difficulty, cues), priors / priors.sum())
    return {
        "inputs": inputs,
        "window": window,
        "protocol": protocol,
        "macro_f1": round(float(f1.mean()), 4),
        "f1": [round(float(x), 4) for x in f1],
        "pair_accuracy": round(pair_accuracy(window, difficulty), 4) if "motion" in inputs else 0.5,
    }
