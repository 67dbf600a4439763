"""From numbers to words: runs of variants compared in pairs with the full model,
and the rule that judges each claim.

The paper claims that temporal modelling, fusion in both directions and guidance by text each help
(abstract, section 3). The rule is stated here, before any number is known,
so that a sentence in a notebook cannot go stale.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib.config import Experiment
from emolib.errors import EmolibError
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.results.tables import number, signed, with_interval
from emolib.studies.variants import FULL, Variant

RULE = (
    "A claim is *supported* when the 95 % interval of the paired difference (full model minus the "
    "variant; clips and seeds resampled) "
    "lies above zero, *not supported* when it lies below zero or when it "
    "holds zero and is narrower than "
    "0.02 to both sides, and otherwise *undecided*; "
    "with fewer than 3 seeds it is always undecided. "
    "The intervals are not widened for the number of claims: "
    "of twenty that are false, one may come out as supported."
)
BASELINE_INPUTS = {
    "zero_shot": "still",
    "logistic": "still+voice",
    "frame_mlp": "still",
}  # what they can know (synthetic.inputs_of)
NEGLIGIBLE = 0.02  # macro-F1; a difference that is surely smaller than this is none
MIN_SEEDS = 3


def predictions(folder: Path) -> pd.DataFrame:
    """What a finished run predicted: ``clip``, ``frame``,
    ``label`` and ``prediction`` of every frame, clips in order.

    Raises EmolibError when the run has no predictions.
    """
    files = sorted((folder / "predictions").glob("*.parquet"))
    if not files:
        raise EmolibError(f"{folder}/predictions: empty; finish this run first")
    parts = [
        pd.read_parquet(path, columns=["frame", "label", "prediction"]).assign(clip=path.stem)
        for path in files
    ]
    return pd.concat(parts, ignore_index=True)


def compare(
    ours: Sequence[pd.DataFrame],
    theirs: Sequence[pd.DataFrame],
    classes: Sequence[int] | None = None,
) -> dict[str, Any]:
    """``metrics.difference`` in the frame protocol between runs of two variants,
    each a list with one frame a seed.

    Raises EmolibError when they are not about the same frames.
    """
    first = ours[0]
    for other in (*ours, *theirs):
        if not (
            other["clip"].equals(first["clip"])
            and other["frame"].equals(first["frame"])
            and other["label"].equals(first["label"])
        ):
            raise EmolibError("the runs predict different frames; compare runs on the same data")
    a, b = (np.stack([run["prediction"].to_numpy() for run in runs]) for runs in (ours, theirs))
    return metrics.difference(
        first["label"].to_numpy(), a, b, first["clip"].to_numpy(), classes=classes
    )


def verdict(interval: Sequence[float] | None, seeds: int) -> str:
    """``supported``, ``not supported`` or ``undecided`` by :data:`RULE`,
    for an interval of (full minus variant).
    """
    if interval is None or seeds < MIN_SEEDS:
        return "undecided"
    low, high = interval
    if low > 0:
        return "supported"
    return "not supported" if high < 0 or max(-low, high) < NEGLIGIBLE else "undecided"


def groups_of(variants: Sequence[Variant], runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of ``sweep.run_variants`` for ``variants.plan`` by variant:
    as many for each as there are seeds.
    """
    count = len(runs) // len(variants)
    return {
        variant.name: runs.iloc[i * count : (i + 1) * count] for i, variant in enumerate(variants)
    }


def rows(
    variants: Sequence[Variant],
    runs: pd.DataFrame,
    ceilings: Mapping[str, float],
    classes: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """One row a variant: mean macro-F1 over seeds with interval, ceiling,
    difference to the full model and verdict.

    ``runs``: of ``sweep.run_variants`` for ``variants.plan``, in its order; the frame protocol.
    ``ceilings``: by name.
    ``classes``: rows get the mean F1 of these alone as well,
    with its difference (``part``, ``part_difference``).
    """
    groups = groups_of(variants, runs)
    frames = {
        name: [predictions(Path(folder)) for folder in group["folder"]]
        for name, group in groups.items()
    }
    result = []
    for variant in variants:
        group = groups[variant.name]
        over = metrics.over_seeds(group["frame_macro_f1"])
        interval = over["interval"] or [
            float(group[f"frame_macro_f1_{edge}"].iloc[0]) for edge in ("low", "high")
        ]
        row = {
            "name": variant.name,
            "title": variant.title,
            "claim": variant.claim,
            "seeds": over["n"],
            "macro_f1": over["mean"],
            "interval": np.clip(interval, 0, 1).tolist(),
            "values": [float(value) for value in group["frame_macro_f1"]],
            "ceiling": ceilings.get(variant.name),
            "trained": True,
        }
        if variant.name != FULL:
            paired = compare(frames[FULL], frames[variant.name])
            row |= {"difference": paired["difference"], "difference_interval": paired["interval"]}
            row["verdict"] = verdict(paired["interval"], over["n"])
        if classes is not None:
            part = compare(frames[FULL], frames[variant.name], classes)
            row |= {
                "part": part["b"],
                "part_difference": part["difference"],
                "part_interval": part["interval"],
            }
        result.append(row)
    return result


def class_windows(
    runs: pd.DataFrame,
) -> tuple[dict[str, dict[int, float]], dict[str, dict[str, Any]]]:
    """Of a sweep over ``window`` and ``seed``: F1 by class name and window, means over seeds, frame
    protocol; and for each class ``metrics.difference`` of the longest window minus the shortest.
    """
    frames = {
        int(str(window)): [predictions(Path(f)) for f in group["folder"]]
        for window, group in runs.groupby("window")
    }
    by_window = {
        w: np.mean([metrics.class_f1(run["label"], run["prediction"]) for run in found], axis=0)
        for w, found in frames.items()
    }
    longest, shortest = frames[max(frames)], frames[min(frames)]
    scores = {
        name: {window: float(f1[c]) for window, f1 in by_window.items()}
        for c, name in enumerate(EXPRESSIONS)
    }
    return scores, {name: compare(longest, shortest, [c]) for c, name in enumerate(EXPRESSIONS)}


def rarest(ratio: Sequence[float], count: int = 3) -> list[int]:
    """The ``count`` classes with the smallest share of the training data, the rarest first."""
    return [int(c) for c in np.argsort(ratio, kind="stable")[:count]]


def baseline_rows(table: pd.DataFrame, ceilings: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows of ``baselines.run`` in the shape of :func:`rows`:
    fitted once, interval over clips, no claim.
    """
    columns = ["name", "title", "frame_macro_f1", "frame_macro_f1_low", "frame_macro_f1_high"]
    return [
        {
            "name": name,
            "title": title,
            "claim": "",
            "seeds": 1,
            "macro_f1": value,
            "interval": [low, high],
            "values": [],
            "ceiling": ceilings.get(name),
            "trained": False,
        }
        for name, title, value, low, high in table[columns].itertuples(index=False)
    ]


def table(found: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """:func:`rows` and :func:`baseline_rows` as a table to print."""
    lines = []
    for row in found:
        line = {
            "Variant": row["title"],
            f"Macro-F1, frames{origin and f', {origin}'}": with_interval(
                row["macro_f1"], row["interval"]
            ),
        }
        if any(other["ceiling"] is not None for other in found):
            line["Ceiling"] = number(row["ceiling"])
        line["Full minus this"] = _difference(row)
        line["Interval over"] = f"{row['seeds']} seeds" if row["seeds"] > 1 else "clips"
        lines.append(line)
    return pd.DataFrame(lines)


def choices_table(
    found: Sequence[Mapping[str, Any]],
    variants: Sequence[Variant],
    experiment: Experiment,
    *,
    origin: str,
) -> pd.DataFrame:
    """The silent choices: what the paper, the released code and ``experiment`` have,
    what is switched to, and its effect.
    """
    by_name, lines = {variant.name: variant for variant in variants}, []
    for row in found:
        variant = by_name[row["name"]]
        ours = ", ".join(f"{key}={getattr(experiment, key)}" for key in variant.changes)
        lines.append(
            {
                "Choice": variant.choice or "none",
                "Paper": variant.paper or "–",
                "Released code": variant.released or "–",
                "Ours": ours or "–",
                "Switched to": variant.title,
                f"Macro-F1, frames{origin and f', {origin}'}": with_interval(
                    row["macro_f1"], row["interval"]
                ),
                "Ours minus switched": _difference(row),
                "Outcome for ours": row.get("verdict", "–"),
            }
        )
    return pd.DataFrame(lines)


def imbalance_table(
    found: Sequence[Mapping[str, Any]], classes: Sequence[int], *, origin: str
) -> pd.DataFrame:
    """Treatments of the class imbalance: macro-F1, and the mean F1 of the rarest ``classes``,
    each with its difference.
    """
    names = ", ".join(EXPRESSIONS[c] for c in classes)
    return pd.DataFrame(
        [
            {
                "Treatment": row["title"],
                f"Macro-F1, frames{origin and f', {origin}'}": with_interval(
                    row["macro_f1"], row["interval"]
                ),
                "Weights minus this": _difference(row),
                f"F1 of {names}": number(row["part"]),
                "Weights minus this, these classes": _difference(row, "part_"),
            }
            for row in found
        ]
    )


def _difference(row: Mapping[str, Any], prefix: str = "") -> str:
    """The difference of a row with its interval and sign;
    a dash for the full model and for baselines.
    """
    if "difference" not in row:
        return "–"
    interval = row["part_interval"] if prefix else row["difference_interval"]
    return signed(row[f"{prefix}difference"], interval)


def sentences(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every claim with its outcome, the difference it rests on and its interval."""
    return pd.DataFrame(
        [
            {
                "Claim": row["claim"],
                "Outcome": row["verdict"],
                "Full minus variant": _difference(row),
            }
            for row in found
            if row["claim"]
        ]
    )


def ceilings(root: Path, experiment: Experiment, variants: Sequence[Variant]) -> dict[str, float]:
    """The best possible macro-F1, frame protocol, for what each variant or baseline sees,
    by name; empty for real data.
    """
    from emolib.data import synthetic

    known = {
        (row["inputs"], row["window"]): row["macro_f1"]
        for row in synthetic.ceilings(root)
        if row["protocol"] == "frame"
    }
    sees = {
        variant.name: synthetic.inputs_of(experiment.replace(**variant.changes))
        for variant in variants
    } | BASELINE_INPUTS
    wanted = {name: (inputs, experiment.window) for name, inputs in sees.items()}
    return {name: known[key] for name, key in wanted.items() if key in known}
