"""The stronger recipe against the paper's: what each part gives alone,
and the whole with the seeds' probabilities averaged.

Smoothing and averaging need no training: they are applied to the probabilities
that finished runs have stored.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib import paper
from emolib.config import STRONG
from emolib.errors import EmolibError
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.results.tables import signed, with_interval
from emolib.studies import claims
from emolib.studies.variants import FULL, Variant
from emolib.windows import smooth

CLASSES = [f"p_{name}" for name in EXPRESSIONS]
EVIDENCE = {  # why each part is in the preset
    "class_targets": "with pairs, samples of one class are each other's negatives",
    "logit_adjustment": "Menon et al. 2021; not in the preset: it failed when the parts were chosen",
    "smoothing": f"published: {paper.SMOOTHING[0]:.3f} to {paper.SMOOTHING[25]:.3f} at 25 frames, "
    "by EmotiEffNet",
    "ensemble": "averages what another seed would have changed",
    "strong_single": "class targets, smoothing, and the mean of the windows that cover a frame",
    "strong": "the same with the ensemble",
}


def outputs(folder: Path) -> pd.DataFrame:
    """What a finished run gave every frame: ``clip``, ``frame``, ``label``,
    ``prediction`` and ``p_<Class>`` x 8.

    Raises EmolibError when the run has no predictions.
    """
    files = sorted((folder / "predictions").glob("*.parquet"))
    if not files:
        raise EmolibError(f"{folder}/predictions: empty; finish this run first")
    parts = [
        pd.read_parquet(path, columns=["frame", "label", "prediction", *CLASSES]).assign(
            clip=path.stem
        )
        for path in files
    ]
    return pd.concat(parts, ignore_index=True)


def decided(frames: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """``frames`` with other ``probabilities`` [n, 8] and the class that they favour."""
    return frames.assign(
        **dict(zip(CLASSES, probabilities.T, strict=True)), prediction=probabilities.argmax(axis=1)
    )


def smoothed(frames: pd.DataFrame, kind: str, half_width: int) -> pd.DataFrame:
    """``frames`` of :func:`outputs` with the probabilities of each clip smoothed over time."""
    rows = frames[CLASSES].to_numpy(np.float64)
    places = frames.groupby("clip", sort=False).indices
    result = np.empty_like(rows)
    for mine in places.values():
        result[mine] = smooth(rows[mine], kind, half_width)
    return decided(frames, result)


def ensemble(runs: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The mean probabilities of several seeds' :func:`outputs`.

    Raises EmolibError when they are not about the same frames.
    """
    first = runs[0]
    if any(
        not run[["clip", "frame", "label"]].equals(first[["clip", "frame", "label"]])
        for run in runs
    ):
        raise EmolibError("the runs predict different frames; average runs on the same data")
    return decided(first, np.mean([run[CLASSES].to_numpy(np.float64) for run in runs], axis=0))


def rows(variants: Sequence[Variant], runs: pd.DataFrame) -> list[dict[str, Any]]:
    """One row for the paper's recipe, each part of ``strong`` alone,
    and ``strong`` with one seed and as an ensemble.

    ``runs``: of ``sweep.run_variants`` for ``variants.RECIPE``. ``difference``: the row minus the
    paper's recipe, paired over clips;
    training anew is part of the interval where the row is a mean over seeds,
    not where it is one ensemble.
    """
    groups = claims.groups_of(variants, runs)
    found = {
        name: [outputs(Path(folder)) for folder in group["folder"]]
        for name, group in groups.items()
    }
    base, strong = found.pop(FULL), found.pop("strong")
    width = STRONG["smoothing_half_width"]
    titles = {variant.name: variant.title for variant in variants}
    candidates = {
        FULL: (titles[FULL], base),
        **{name: (titles[name], frames) for name, frames in found.items()},
        "smoothing": (
            f"Smoothing over ±{width} frames",
            [smoothed(run, STRONG["smoothing"], width) for run in base],
        ),
        "ensemble": (f"Ensemble of {len(base)} seeds", [ensemble(base)]),
        "strong_single": (titles["strong"], strong),
        "strong": (f"Preset strong, ensemble of {len(strong)} seeds", [ensemble(strong)]),
    }
    return [_row(name, title, frames, base) for name, (title, frames) in candidates.items()]


def _row(
    name: str, title: str, frames: list[pd.DataFrame], base: list[pd.DataFrame]
) -> dict[str, Any]:
    first = frames[0]
    values = [metrics.macro_f1(run["label"], run["prediction"]) for run in frames]
    over = metrics.over_seeds(values)
    label, clip = first["label"].to_numpy(), first["clip"].to_numpy()
    interval = (
        over["interval"]
        or metrics.score(label, first["prediction"].to_numpy(), clip, protocol="frame")[
            "macro_f1_interval"
        ]
    )
    row = {
        "name": name,
        "title": title,
        "seeds": len(frames),
        "macro_f1": over["mean"],
        "interval": np.clip(interval, 0, 1).tolist(),
    }
    row |= {"values": values, "ceiling": None, "trained": True}
    if name != FULL:
        paired = claims.compare(frames, base)
        row |= {"difference": paired["difference"], "difference_interval": paired["interval"]}
        row["verdict"] = claims.verdict(paired["interval"], len(base))
    return row


def table(found: Sequence[dict[str, Any]], *, origin: str) -> pd.DataFrame:
    """:func:`rows` as a table to print: is the row better than the paper's recipe,
    by the rule of ``claims``?
    """
    return pd.DataFrame(
        [
            {
                "Recipe": row["title"],
                f"Macro-F1, frames{origin and f', {origin}'}": with_interval(
                    row["macro_f1"], row["interval"]
                ),
                "This minus the paper's": signed(row["difference"], row["difference_interval"])
                if "difference" in row
                else "–",
                "Better": row.get("verdict", "–"),
                "Interval over": f"{row['seeds']} seeds" if row["seeds"] > 1 else "clips",
                "Why": EVIDENCE.get(row["name"], ""),
            }
            for row in found
        ]
    )
