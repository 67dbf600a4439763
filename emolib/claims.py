"""From numbers to words: the components that are taken away one at a time, what each claim says, and the rule that judges it.

The paper claims that temporal modelling, fusion in both directions and guidance by text each help (abstract, section 3).
The rule is stated here, before any number is known, so that a sentence in a notebook cannot go stale.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib import metrics
from emolib.config import Experiment, nearest
from emolib.errors import EmolibError, WrongCall
from emolib.tables import number, with_interval

FULL = "full"
RULE = (
    "A claim is *supported* when the 95 % interval of the paired difference (full model minus the variant; clips and seeds resampled) "
    "lies above zero, *not supported* when it lies below zero or when it holds zero and is narrower than "
    "0.02 to both sides, and otherwise *undecided*; with fewer than 3 seeds it is always undecided."
)
BASELINE_INPUTS = {"zero_shot": "still", "logistic": "still+voice", "frame_mlp": "still"}  # what they can know (synthetic.inputs_of)
NEGLIGIBLE = 0.02  # macro-F1; a difference that is surely smaller than this is none
MIN_SEEDS = 3


@dataclass(frozen=True)
class Variant:
    """One row of the ablation: what is changed against the full model, and the claim that is tested by it."""

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    claim: str = ""


COMPONENTS = (
    Variant(FULL, "Full model"),
    Variant("no_tcn", "Without TCN", {"tcn_blocks": 0}, "Temporal modelling by the TCN helps."),
    Variant("concat", "Concatenation, no cross-attention", {"fusion": "concat"}, "Fusion by cross-attention helps over concatenation."),
    Variant("visual_queries", "Faces attend to the voice only", {"fusion": "visual_queries"}, "The voice attending to faces helps."),
    Variant("audio_queries", "The voice attends to faces only", {"fusion": "audio_queries"}, "Faces attending to the voice helps."),
    Variant("no_contrastive", "Without contrastive term", {"contrastive_weight": 0.0}, "Guidance by text helps."),
    Variant(
        "class_targets",
        "Contrastive, class targets",
        {"contrastive_targets": "classes"},
        "Pairs as contrastive targets are better than classes.",
    ),
    Variant("unweighted", "Unweighted loss", {"class_weights": "none"}, "Class weights help."),
    Variant("visual", "Visual only", {"modalities": "visual", "fusion": "concat"}, "The voice helps."),
    Variant("audio", "Audio only", {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0}, "Faces help."),
)

CHOICES = (  # of the paper's silence (FACTS section 1), each switched alone
    Variant(FULL, "As in the preset"),
    Variant("label_majority", "Window label: majority", {"label_rule": "majority"}, "The last frame's label is the better window label."),
    Variant("label_centre", "Window label: centre frame", {"label_rule": "centre"}, "The last frame's label is better than the centre's."),
    Variant("stride_30", "Stride 30 frames", {"stride": 30}, "A stride of 15 frames is better than 30."),
    Variant("audio_track", "Sound of the whole track", {"audio_context": "track"}, "Encoding each window's sound alone is better."),
    Variant("fixed_30", "Fixed 30 fps", {"timing": "fixed_30"}, "True frame times help."),
    Variant("bilinear", "Bilinear resize", {"resize": "bilinear"}, "CLIP's bicubic filter helps."),
    Variant("raw_waveform", "Raw waveform", {"waveform_norm": "none"}, "Normalising the waveform helps."),
    Variant("frozen_scale", "Frozen logit scale", {"contrastive_scale": "frozen"}, "A learnable logit scale helps."),
    Variant("one_batch", "One batch an optimiser step", {"accumulation": 1}, "Two batches an optimiser step are better than one."),
    Variant("two_batches", "Two batches an optimiser step", {"accumulation": 2}, "One batch an optimiser step is better than two."),
    Variant("last_epoch", "Last epoch", {"selection": "last"}, "Choosing the best epoch on validation raises its score."),
)
VARIANTS = {"components": COMPONENTS, "choices": CHOICES}


def choose(experiment: Experiment, variants: Sequence[Variant], names: str = "") -> list[Variant]:
    """The full model, then the variants called ``names``, commas between them; all that change something when empty.

    Raises WrongCall for an unknown name and for a variant that ``experiment`` is already.
    """
    known = {variant.name: variant for variant in variants}
    same = [v.name for v in variants if v.name != FULL and all(getattr(experiment, key) == value for key, value in v.changes.items())]
    wanted = [name.strip() for name in names.split(",")] if names.strip() else [name for name in known if name not in same]
    for name in wanted:
        if name not in known:
            raise WrongCall(f"unknown variant {name!r}{nearest(name, known)}")
        if name in same:
            raise WrongCall(f"{name}: the experiment has {describe(known[name])} already; leave this variant out")
    return [known[FULL], *(known[name] for name in known if name in wanted and name != FULL)]


def describe(variant: Variant) -> str:
    """``name=value`` of every change, commas between them."""
    return ", ".join(f"{name}={value}" for name, value in variant.changes.items())


def plan(variants: Sequence[Variant], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The changes of every run, for ``sweep.run_variants``: each variant with each seed."""
    return [{**variant.changes, "seed": seed} for variant in variants for seed in seeds]


def predictions(folder: Path) -> pd.DataFrame:
    """What a finished run predicted: ``clip``, ``frame``, ``label`` and ``prediction`` of every frame, clips in order.

    Raises EmolibError when the run has no predictions.
    """
    files = sorted((folder / "predictions").glob("*.parquet"))
    if not files:
        raise EmolibError(f"{folder}/predictions: empty; finish this run first")
    parts = [pd.read_parquet(path, columns=["frame", "label", "prediction"]).assign(clip=path.stem) for path in files]
    return pd.concat(parts, ignore_index=True)


def compare(ours: Sequence[pd.DataFrame], theirs: Sequence[pd.DataFrame]) -> dict[str, Any]:
    """``metrics.difference`` in the frame protocol between runs of two variants, each a list with one frame a seed.

    Raises EmolibError when they are not about the same frames.
    """
    first = ours[0]
    for other in (*ours, *theirs):
        if not (other["clip"].equals(first["clip"]) and other["frame"].equals(first["frame"]) and other["label"].equals(first["label"])):
            raise EmolibError("the runs predict different frames; compare runs on the same data")
    a, b = (np.stack([run["prediction"].to_numpy() for run in runs]) for runs in (ours, theirs))
    return metrics.difference(first["label"].to_numpy(), a, b, first["clip"].to_numpy())


def verdict(interval: Sequence[float] | None, seeds: int) -> str:
    """``supported``, ``not supported`` or ``undecided`` by :data:`RULE`, for an interval of (full minus variant)."""
    if interval is None or seeds < MIN_SEEDS:
        return "undecided"
    low, high = interval
    if low > 0:
        return "supported"
    return "not supported" if high < 0 or max(-low, high) < NEGLIGIBLE else "undecided"


def rows(variants: Sequence[Variant], runs: pd.DataFrame, ceilings: Mapping[str, float]) -> list[dict[str, Any]]:
    """One row a variant: mean macro-F1 over seeds with interval, ceiling, difference to the full model and verdict.

    ``runs``: of ``sweep.run_variants`` for :func:`plan`, in its order; the frame protocol. ``ceilings``: by name.
    """
    count = len(runs) // len(variants)
    groups = {variant.name: runs.iloc[i * count : (i + 1) * count] for i, variant in enumerate(variants)}
    frames = {name: [predictions(Path(folder)) for folder in group["folder"]] for name, group in groups.items()}
    result = []
    for variant in variants:
        group = groups[variant.name]
        over = metrics.over_seeds(group["frame_macro_f1"])
        interval = over["interval"] or [float(group[f"frame_macro_f1_{edge}"].iloc[0]) for edge in ("low", "high")]
        row = {
            "name": variant.name, "title": variant.title, "claim": variant.claim, "seeds": over["n"], "macro_f1": over["mean"],
            "interval": np.clip(interval, 0, 1).tolist(), "values": [float(value) for value in group["frame_macro_f1"]],
            "ceiling": ceilings.get(variant.name), "trained": True,
        }  # fmt: skip
        if variant.name != FULL:
            paired = compare(frames[FULL], frames[variant.name])
            row |= {"difference": paired["difference"], "difference_interval": paired["interval"]}
            row["verdict"] = verdict(paired["interval"], over["n"])
        result.append(row)
    return result


def baseline_rows(table: pd.DataFrame, ceilings: Mapping[str, float]) -> list[dict[str, Any]]:
    """Rows of ``baselines.run`` in the shape of :func:`rows`: fitted once, interval over clips, no claim."""
    columns = ["name", "title", "frame_macro_f1", "frame_macro_f1_low", "frame_macro_f1_high"]
    return [
        {
            "name": name, "title": title, "claim": "", "seeds": 1, "macro_f1": value, "interval": [low, high], "values": [],
            "ceiling": ceilings.get(name), "trained": False,
        }
        for name, title, value, low, high in table[columns].itertuples(index=False)
    ]  # fmt: skip


def table(found: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """:func:`rows` and :func:`baseline_rows` as a table to print."""
    lines = []
    for row in found:
        line = {"Variant": row["title"], f"Macro-F1, frames{origin and f', {origin}'}": with_interval(row["macro_f1"], row["interval"])}
        if any(other["ceiling"] is not None for other in found):
            line["Ceiling"] = number(row["ceiling"])
        paired = "difference" in row
        line["Full minus this"] = with_interval(row["difference"], row["difference_interval"]) if paired else "–"
        line["Interval over"] = f"{row['seeds']} seeds" if row["seeds"] > 1 else "clips"
        lines.append(line)
    return pd.DataFrame(lines)


def sentences(found: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every claim with its outcome, the difference it rests on and its interval."""
    return pd.DataFrame([
        {"Claim": row["claim"], "Outcome": row["verdict"], "Full minus variant": with_interval(row["difference"], row["difference_interval"])}
        for row in found
        if row["claim"]
    ])  # fmt: skip


def ceilings(root: Path, experiment: Experiment, variants: Sequence[Variant]) -> dict[str, float]:
    """The best possible macro-F1, frame protocol, for what each variant or baseline sees, by name; empty for real data."""
    from emolib.data import synthetic

    known = {(row["inputs"], row["window"]): row["macro_f1"] for row in synthetic.ceilings(root) if row["protocol"] == "frame"}
    sees = {variant.name: synthetic.inputs_of(experiment.replace(**variant.changes)) for variant in variants} | BASELINE_INPUTS
    wanted = {name: (inputs, experiment.window) for name, inputs in sees.items()}
    return {name: known[key] for name, key in wanted.items() if key in known}
