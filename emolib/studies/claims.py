"""From numbers to words: runs of variants compared in pairs with the full model, and the rule that
judges each claim.

The paper claims that temporal modelling, fusion in both directions and guidance by text each help
(abstract, section 3). The rule is stated here, before any number is known, so that a sentence in a
notebook cannot go stale.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib.config import Experiment
from emolib.evaluation.intervals import PERCENT
from emolib.labels import EXPRESSIONS
from emolib.results.tables.text import NONE, in_column, number, signed, with_interval
from emolib.studies.comparison import (
    class_windows,
    compare,
    groups_of,
    predictions,
    predictions_of,
    scored,
)
from emolib.studies.variants import FULL, Variant, describe

__all__ = [
    "RULE",
    "baseline_rows",
    "ceilings",
    "choices_table",
    "class_windows",
    "compare",
    "faults_table",
    "groups_of",
    "imbalance_table",
    "labelled",
    "predictions",
    "rarest",
    "rows",
    "table",
    "verdict",
]

RULE = (
    f"A claim is *supported* when the {PERCENT} interval of the paired difference (full model "
    "minus the variant; clips and seeds resampled) lies above zero, *not supported* when it lies "
    "below zero or when it holds zero and is narrower than 0.02 to both sides, and otherwise "
    "*undecided*; with fewer than 3 seeds it is always undecided. The intervals are not widened "
    "for the number of claims: of forty that are false, about one comes out as supported."
)
NEGLIGIBLE = 0.02  # macro-F1; a difference that is surely smaller than this is none
MIN_SEEDS = 3
BASELINE_INPUTS = {  # what each baseline can know, as synthetic.inputs_of names it
    "zero_shot": "still",
    "logistic": "still+voice",
    "frame_mlp": "still",
}


def verdict(interval: Sequence[float] | None, seeds: int) -> str:
    """``supported``, ``not supported`` or ``undecided`` by :data:`RULE`, for an interval of (full
    minus variant).
    """
    if interval is None or seeds < MIN_SEEDS:
        return "undecided"
    low, high = interval
    if low > 0:
        return "supported"
    return "not supported" if high < 0 or max(-low, high) < NEGLIGIBLE else "undecided"


def rows(
    variants: Sequence[Variant],
    runs: pd.DataFrame,
    ceilings: Mapping[str, float],
    classes: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """One row a variant: mean macro-F1 over seeds with interval, ceiling, difference to the full
    model and verdict.

    ``runs``: of ``sweep.run_variants`` for ``variants.plan``, in its order; the frame protocol.
    ``ceilings``: by name. ``classes``: rows get the mean F1 of these alone as well, with its
    difference (``part``, ``part_difference``).
    """
    frames = predictions_of(groups_of(variants, runs))
    result = []
    for variant in variants:
        row = _described(variant) | scored(frames[variant.name])
        row["ceiling"] = ceilings.get(variant.name)
        if variant.name != FULL:
            paired = compare(frames[FULL], frames[variant.name])
            row |= {"difference": paired["difference"], "difference_interval": paired["interval"]}
            row["verdict"] = verdict(paired["interval"], row["seeds"])
        if classes is not None:
            part = compare(frames[FULL], frames[variant.name], classes)
            row |= {"part": part["b"], "part_difference": part["difference"]}
            row["part_interval"] = part["interval"]
        result.append(row)
    return result


def labelled(
    rows: Sequence[Mapping[str, Any]], variants: Sequence[Variant]
) -> list[dict[str, Any]]:
    """:func:`rows` of ``variants`` that each switch one point, which stands first in ``label``."""
    labels = [f"{v.choice}: {v.title}" if v.choice else v.title for v in variants]
    return [{**row, "label": label} for row, label in zip(rows, labels, strict=True)]


def _described(variant: Variant) -> dict[str, Any]:
    """What a row says of its variant, before any number."""
    return {
        "name": variant.name,
        "title": variant.title,
        "component": variant.component,
        "claim": variant.claim,
        "trained": True,
    }


def baseline_rows(table: pd.DataFrame, ceilings: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows of ``baselines.run`` in the shape of :func:`rows`: fitted once, interval over clips, no
    claim.
    """
    return [
        {
            "name": row["name"],
            "title": row["title"],
            "component": "",
            "claim": "",
            "seeds": 1,
            "macro_f1": row["frame_macro_f1"],
            "interval": [row["frame_macro_f1_low"], row["frame_macro_f1_high"]],
            "values": [],
            "ceiling": ceilings.get(row["name"]),
            "trained": False,
        }
        for row in table.to_dict("records")
    ]


def rarest(ratio: Sequence[float], count: int = 3) -> list[int]:
    """The ``count`` classes with the smallest share of the training data, the rarest first."""
    return [int(c) for c in np.argsort(ratio, kind="stable")[:count]]


def table(rows: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """:func:`rows` and :func:`baseline_rows` as a table to print."""
    known = any(row["ceiling"] is not None for row in rows)
    lines = []
    for row in rows:
        line = {"Variant": row["title"], _score_column(origin): _score(row)}
        if known:
            line["Ceiling"] = number(row["ceiling"])
        line["Full minus this"] = difference_text(row)
        line["Interval over"] = interval_over(row)
        lines.append(line)
    return pd.DataFrame(lines)


def choices_table(
    rows: Sequence[Mapping[str, Any]],
    variants: Sequence[Variant],
    experiment: Experiment,
    *,
    origin: str,
) -> pd.DataFrame:
    """The silent choices: what the paper, the released code and ``experiment`` have, what is
    switched to, and its effect.
    """
    by_name = {variant.name: variant for variant in variants}
    lines = []
    for row in rows:
        variant = by_name[row["name"]]
        ours = [f"{name}={getattr(experiment, name)}" for name in variant.changes]
        lines.append(
            {
                "Choice": variant.choice or "none",
                "Paper": variant.paper or NONE,
                "Released code": variant.released or NONE,
                "Ours": ", ".join(ours) or NONE,
                "Switched to": variant.title,
                _score_column(origin): _score(row),
                "Ours minus switched": difference_text(row),
                "Outcome for ours": row.get("verdict", NONE),
            }
        )
    return pd.DataFrame(lines)


def faults_table(
    rows: Sequence[Mapping[str, Any]], variants: Sequence[Variant], *, origin: str
) -> pd.DataFrame:
    """What the released code does wrong, the setting that repeats it, and what that costs;
    ``rows``: of :func:`labelled`.
    """
    by_name = {variant.name: variant for variant in variants}
    return pd.DataFrame(
        [
            {
                "Released code": row["label"],
                "Setting": describe(by_name[row["name"]]) or NONE,
                _score_column(origin): _score(row),
                "Cost": difference_text(row),
                "Outcome for ours": row.get("verdict", NONE),
            }
            for row in rows
        ]
    )


def imbalance_table(
    rows: Sequence[Mapping[str, Any]], classes: Sequence[int], *, origin: str
) -> pd.DataFrame:
    """Treatments of the class imbalance: macro-F1, and the mean F1 of the rarest ``classes``, each
    with its difference.
    """
    names = ", ".join(EXPRESSIONS[c] for c in classes)
    return pd.DataFrame(
        [
            {
                "Treatment": row["title"],
                _score_column(origin): _score(row),
                "Weights minus this": difference_text(row),
                f"F1 of {names}": number(row["part"]),
                "Weights minus this, these classes": difference_text(row, "part"),
            }
            for row in rows
        ]
    )


def difference_text(row: Mapping[str, Any], kind: str = "") -> str:
    """The difference of a row with its interval and sign; a dash for the full model and for
    baselines. ``kind``: ``part``.
    """
    if "difference" not in row:
        return NONE
    if kind == "part":
        return signed(row["part_difference"], row["part_interval"])
    return signed(row["difference"], row["difference_interval"])


def interval_over(row: Mapping[str, Any]) -> str:
    """What the interval of a row's score is over."""
    return f"{row['seeds']} seeds" if row["seeds"] > 1 else "clips"


def _score_column(origin: str) -> str:
    return in_column("Macro-F1, frames", origin)


def _score(row: Mapping[str, Any]) -> str:
    return with_interval(row["macro_f1"], row["interval"])


def ceilings(root: Path, experiment: Experiment, variants: Sequence[Variant]) -> dict[str, float]:
    """The best possible macro-F1, frame protocol, for what each variant or baseline sees, by name;
    empty for real data.
    """
    from emolib.data import synthetic

    known = {
        row["inputs"]: row["macro_f1"]
        for row in synthetic.ceilings(root)
        if row["protocol"] == "frame" and row["window"] == experiment.window
    }
    sees = dict(BASELINE_INPUTS)
    for variant in variants:
        sees[variant.name] = synthetic.inputs_of(experiment.replace(**variant.changes))
    return {name: known[inputs] for name, inputs in sees.items() if inputs in known}
