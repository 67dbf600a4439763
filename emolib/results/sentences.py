"""Sentences that a number could contradict, computed from that number.

Notebooks show them as they come out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from emolib import paper
from emolib.labels import EXPRESSIONS

Row = Mapping[str, Any]
MOTION = ("Anger", "Disgust")  # in generated data, told apart by motion alone
AS_SURE = 0.01  # between mean confidence and accuracy
SMALL = 0.02  # macro-F1; between ceilings, what is smaller than this is no difference


def main_score(score: float, ceiling: float | None, still: float | None) -> str:
    """What a macro-F1 says about the inputs used, given the ceilings with and without motion."""
    if ceiling is None or still is None:
        return "The best possible score of these data is not known, so no ceiling judges this one."
    text = f"The model reaches {score:.3f} of at most {ceiling:.3f}."
    if score > ceiling + SMALL:
        return f"{text} It is above the ceiling, which nothing can be: look for a fault."
    if score > still:
        return (
            f"{text} Without motion nobody gets further than {still:.3f}, so this score needs "
            "motion *and* voice."
        )
    return (
        f"{text} That does not show that motion was used: a still face and the voice are enough "
        f"for {still:.3f}."
    )


def delays(seconds: Sequence[float], changes: int) -> str:
    """How long after each change of label the prediction followed, of ``changes`` in all."""
    if not changes:
        return "No label changes in this clip, so it cannot show a delay."
    counted = f"Of {changes} change{'s' * (changes > 1)} of label"
    if not len(seconds):
        return f"{counted}, the predictions follow none."
    if changes == 1:
        return f"The predictions follow the one change of label after {seconds[0]:.2f} s."
    return (
        f"{counted}, the predictions follow {len(seconds)}, after "
        f"{np.median(seconds):.2f} s in the median and {max(seconds):.2f} s at most."
    )


def window_gain(
    windows: tuple[int, int],
    difference: float,
    interval: Sequence[float] | None,
    ceilings: tuple[float | None, float | None],
) -> str:
    """What the longest window adds to the shortest, beside what the ceilings allow.

    ``windows`` and ``ceilings``: of the shortest, then of the longest.
    """
    shortest, longest = windows
    measured = f"{longest} frames against {shortest}: {difference:+.3f}"
    if interval is None:
        return f"{measured}. One seed has no interval: undecided."
    low, high = interval
    measured += f" [{low:+.3f}, {high:+.3f}], so the longer window is "
    measured += (
        "better." if low > 0 else "worse." if high < 0 else "neither better nor worse: undecided."
    )
    if None in ceilings:
        return f"{measured} On these data nobody knows how much is possible."
    possible = float(ceilings[1] or 0) - float(ceilings[0] or 0)
    text = (
        f"{measured} What can be known differs by {possible:.3f} "
        "(the distance between the ceilings)."
    )
    if difference > possible + SMALL:
        return (
            f"{text} The measured difference is larger: the short window's model stays further "
            "below its own ceiling, so it is also harder to train."
        )
    if difference < possible - SMALL:
        return (
            f"{text} The measured difference is smaller: "
            "the long window's model leaves some of it unused."
        )
    return f"{text} The measured difference is as large as that."


def decisions(rows: Sequence[Row]) -> str:
    """How many of the compared ``rows``, those with a verdict, are decided, and how."""
    judged = [row for row in rows if "verdict" in row]
    if not judged:
        return "Nothing is compared here."
    titles: dict[str, list[str]] = {"supported": [], "not supported": [], "undecided": []}
    for row in judged:
        titles[row["verdict"]].append(row["title"])
    undecided = titles.pop("undecided")
    seeds = min(row["seeds"] for row in judged)
    most = max(row["seeds"] for row in judged)
    number = f"{seeds} seed{'s' * (seeds > 1)} each" if seeds == most else f"up to {most} seeds"
    start = f"By the rule, with {number}, "
    if len(undecided) == len(judged):
        return start + f"all {len(judged)} comparisons are undecided."
    share = f"{len(judged) - len(undecided)} of {len(judged)} comparisons are decided. "
    named = [f"*{verdict}*: {', '.join(those)}." for verdict, those in titles.items() if those]
    return start + share + " ".join(named)


COSTS = ("Cost something", "Help", "Change no frame", "Cost less than 0.02", "Undecided")


def costs(rows: Sequence[Row]) -> str:
    """Which of the faults cost macro-F1; ``rows``: of ``claims.labelled``, those with a verdict."""
    judged = [row for row in rows if "verdict" in row]
    if not judged:
        return "No fault is switched on here."
    named: dict[str, list[str]] = {}
    for row in judged:
        named.setdefault(_cost(row), []).append(f"{row['label']} ({row['difference']:+.3f})")
    parts = [f"{what}: {', '.join(named[what])}" for what in COSTS if what in named]
    seeds = min(row["seeds"] for row in judged)
    return (
        f"By the rule, with {seeds} seed{'s' * (seeds > 1)} each, {len(judged)} faults, alone. "
        f"{'. '.join(parts)}."
    )


def _cost(row: Row) -> str:
    """Which of COSTS a fault is: what the verdict on its correction says of itself."""
    low, high = row["difference_interval"] or (-1.0, 1.0)
    if low == high == 0:
        return "Change no frame"
    if row["verdict"] == "supported":
        return "Cost something"
    if row["verdict"] == "undecided":
        return "Undecided"
    return "Help" if high < 0 else "Cost less than 0.02"


def known_answers(rows: Sequence[Row]) -> str:
    """Each verdict on a claim against the answer that the ceilings give, as a list in Markdown.

    ``rows``: of ``claims.rows``, the full model first. Where a part takes no information away
    (equal ceilings), the claim that it helps cannot follow from what is to be known, so "supported"
    is then not expected. A row whose ``asked`` is false has too few seeds for a verdict: its
    difference is told instead.
    """
    full = rows[0]["ceiling"]
    if full is None:
        return "On these data the right answers are not known."
    lines = []
    for row in rows:
        if not row.get("claim") or row.get("ceiling") is None:
            continue
        loss = full - row["ceiling"]
        needed = loss > SMALL
        expected = ("supported",) if needed else ("undecided", "not supported")
        reason = f"without it at most {row['ceiling']:.3f} of {full:.3f} is possible"
        if not needed:
            reason = "nothing that is to be known is lost without it"
        lines.append(
            f"- {row['claim']} {reason[0].upper()}{reason[1:]}, so *{' or '.join(expected)}* "
            f"is the right answer; {_came_out(row, expected, needed)}."
        )
    return "\n".join(lines)


def _came_out(row: Row, expected: tuple[str, ...], needed: bool) -> str:
    if not row.get("asked", True):
        return f"not asked of {row['seeds']} seeds, the difference is {row['difference']:+.3f}"
    agrees = "as expected" if row["verdict"] in expected else "**not** as expected"
    if needed and row["verdict"] == "undecided":
        agrees = "so an answer is still missing"
    return f"it came out as *{row['verdict']}*, {agrees}"


def poster_window() -> str:
    """Which window the poster's table by class is for: it does not say so itself."""
    mean = float(np.mean(list(paper.CLASS_F1.values())))
    equal = [
        window
        for window, score in paper.VALIDATION_MACRO_F1.items()
        if window and abs(score - mean) < 5e-5
    ]
    text = (
        f"The poster does not name the window of its table by class. The table's mean is {mean:.4f}"
    )
    if not equal:
        return f"{text}, which is the paper's score of no window."
    return (
        f"{text}, the paper's score for {equal[0]} frames: "
        f"that it is for {equal[0]} frames is an inference."
    )


# A rank correlation of eight classes that chance gives once in twenty times.
BY_CHANCE = 0.7


def imbalance(correlation: float, published: float) -> str:
    """What the rank correlation of F1 and training ratio says here, beside the poster's."""
    relation = "no more than chance gives"
    if abs(correlation) >= BY_CHANCE:
        relation = f"a clear {'positive' if correlation > 0 else 'negative'} relation"
    return (
        f"Here the rank correlation is {correlation:.2f}, {relation}; "
        f"on the poster it is {published:.2f}. Eight points carry little: with eight classes, "
        f"one of about {BY_CHANCE} comes by chance once in twenty times."
    )


def confidence(calibration: Mapping[str, Any]) -> str:
    """Is the model as sure as it is right? ``calibration``: of ``metrics.calibration``."""
    sure, right = calibration["confidence"], calibration["accuracy"]
    text = f"The mean confidence is {sure:.3f}, and {right:.3f} of the predictions are right"
    if abs(sure - right) < AS_SURE:
        return f"{text}: on the whole the model is as sure as it may be."
    verdict = "surer than it may be" if sure > right else "less sure than it may be"
    return f"{text}: the model is {verdict}."


def class_gains(
    windows: tuple[int, int], gains: Mapping[str, Mapping[str, Any]], synthetic: bool
) -> str:
    """Which classes gain or lose by the longest window; ``windows``: the shortest and the longest.

    ``gains``: of ``claims.class_windows``. ``synthetic``: only motion can then be known better.
    """
    shortest, longest = windows
    classes = {name: gains[name]["interval"] for name in EXPRESSIONS if name in gains}
    better = [name for name, (low, _) in classes.items() if low > 0]
    worse = [name for name, (_, high) in classes.items() if high < 0]
    text = (
        f"From {shortest} to {longest} frames, classes that gain, with an interval above zero: "
        f"{', '.join(better) or 'none'}; that lose, with one below zero: "
        f"{', '.join(worse) or 'none'}."
    )
    trained = [name for name in better if name not in MOTION]
    if synthetic and trained:
        text += f" No window knows more of {', '.join(trained)}: that gain is one of training."
    return text


def weakest_pair(confusion: Sequence[Sequence[int]]) -> str:
    """The two classes that are confused most, by the share of the annotated class."""
    counts = np.asarray(confusion, float)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    np.fill_diagonal(share, 0)
    if not share.any():
        return "Nothing is confused."
    row, column = np.unravel_index(share.argmax(), share.shape)
    return (
        f"Most often {EXPRESSIONS[row]} is taken for {EXPRESSIONS[column]}: "
        f"in {share[row, column]:.0%} of the frames that are annotated as {EXPRESSIONS[row]}."
    )


EQUAL = 0.995  # cosine; prompts that are closer than this are as good as one


def prompts(cosine: np.ndarray) -> str:
    """How alike the prompts of the classes are; ``cosine`` [8, 8] of each pair."""
    pairs = [(cosine[i, j], i, j) for i in range(len(cosine)) for j in range(i)]
    lowest, highest = min(pairs)[0], max(pairs)[0]
    text = f"Between different classes the cosine lies between {lowest:.2f} and {highest:.2f}."
    same = [f"{EXPRESSIONS[j]} and {EXPRESSIONS[i]}" for value, i, j in pairs if value > EQUAL]
    if same:
        text += f" Nearly equal, with a cosine above {EQUAL}: {', '.join(same)}."
        text += " The text hardly tells these apart."
    return text


def beside_default(mine: float, default: float | None) -> str:
    """My run's macro-F1 beside the default run's."""
    if default is None:
        return (
            "The default run is not finished, so there is nothing to compare with: "
            "run this notebook unchanged once."
        )
    return (
        f"Yours has {mine:.3f} and the default {default:.3f} in the frame protocol: "
        f"{mine - default:+.3f}. "
        "One seed each: read the intervals before you believe it."
    )
