"""Tables by class: counts, scores against the training ratio, and F1 by window."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emolib import paper
from emolib.labels import EXPRESSIONS
from emolib.results.tables.text import ABSENT, NONE, in_column, number, signed, with_interval


def counts_table(counts: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Frames of each class by split, and their shares beside the paper's training ratio.

    A class that no split has is said to be absent, and has no numbers.
    """
    absent = np.sum([*counts.values()], axis=0) == 0
    table = pd.DataFrame({"Class": named(absent)})
    for split, values in counts.items():
        frames = np.asarray(values, dtype=int)
        shares = [number(100 * value / max(sum(values), 1), 2) for value in values]
        table[f"{split}, frames"] = np.where(absent, NONE, frames) if absent.any() else frames
        table[f"{split}, %"] = np.where(absent, NONE, shares)
    table["paper train, %"] = [number(100 * paper.TRAIN_RATIO[name], 2) for name in EXPRESSIONS]
    return table


def named(absent: Sequence[bool]) -> list[str]:
    """The classes' names; behind that of an ``absent`` one ([8]) it says so."""
    pairs = zip(EXPRESSIONS, absent, strict=True)
    return [f"{name}, {ABSENT}" if missing else name for name, missing in pairs]


def per_class_table(
    score: Mapping[str, Any],
    ratio: Sequence[float],
    *,
    ceiling: Sequence[float] | None,
    origin: str,
) -> pd.DataFrame:
    """Per-class F1 against the training ratio, ours beside the poster's.

    ``score``: of ``metrics.score``; ``ratio`` [8]: shares of the training windows or frames;
    ``ceiling`` [8] or None. A class that neither was trained on nor is annotated has no scores.
    """
    ours = origin or "ours"
    absent = absent_classes(score["per_class"], ratio)
    rows = []
    for index, (entry, name) in enumerate(zip(score["per_class"], named(absent), strict=True)):
        share = None if absent[index] else 100 * ratio[index]
        row = {"Class": name, f"Train ratio %, {ours}": number(share, 2)}
        for kind in ("precision", "recall", "f1"):
            text = with_interval(entry[kind], entry[f"{kind}_interval"])
            row[f"{kind.capitalize()}, {ours}"] = NONE if absent[index] else text
        if ceiling is not None:
            row["Ceiling"] = number(ceiling[index])
        row["Train ratio %, paper"] = number(100 * paper.TRAIN_RATIO[entry["name"]], 2)
        row["F1, paper"] = number(paper.CLASS_F1[entry["name"]], 4)
        rows.append(row)
    mean = dict.fromkeys(rows[0], "")
    mean["Class"] = "Mean"
    mean[f"F1, {ours}"] = with_interval(score["macro_f1"], score["macro_f1_interval"])
    mean["F1, paper"] = number(float(np.mean(list(paper.CLASS_F1.values()))), 4)
    if ceiling is not None:
        mean["Ceiling"] = number(float(np.mean(ceiling)))
    return pd.DataFrame([*rows, mean])


def absent_classes(per_class: Sequence[Mapping[str, Any]], ratio: Sequence[float]) -> list[bool]:
    """Which classes nothing is annotated with: [8], by the scores of ``metrics.score`` and the
    shares ``ratio`` [8] of the training data.
    """
    pairs = zip(per_class, ratio, strict=True)
    return [entry["support"] == 0 and not share for entry, share in pairs]


def class_window_table(
    scores: Mapping[str, Mapping[int, Sequence[float]]],
    effects: Mapping[str, Mapping[str, Any]],
    *,
    origin: str,
) -> pd.DataFrame:
    """F1 by class and window, means over seeds, from ``claims.class_windows``.

    ``scores``: class -> window -> F1 of each seed; ``effects``: class -> ``metrics.difference`` of
    the longest window minus the shortest.
    """
    lines = []
    for name, by_window in scores.items():
        line = {"Class": name}
        for window, values in by_window.items():
            line[in_column(f"{window} frames", origin)] = number(float(np.mean(values)))
        change = f"{max(by_window)} minus {min(by_window)} frames"
        line[change] = signed(effects[name]["difference"], effects[name]["interval"])
        lines.append(line)
    return pd.DataFrame(lines)
