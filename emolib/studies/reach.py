"""How near the model comes to the ceilings of the generated benchmark, over seeds and draws."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from emolib.config import Experiment
from emolib.data import synthetic
from emolib.errors import WrongCall
from emolib.training import sweep

RUN = ["amp", "synth_seed", "window", "seed"]
# What is asked of the demo (docs/benchmark.md, What the demo reaches): the mean distance to the
# ceiling at each window, and the largest of any run.
MEAN_GAP = {10: 0.05, 15: 0.05, 30: 0.03, 60: 0.03}
WORST_GAP = 0.08
RISING = 0.9  # share of the pairs of seed and draw whose curve rises with the ceilings


def runs(
    experiment: Experiment,
    folder: Path,
    *,
    windows: Sequence[int] = (10, 15, 30, 60),
    seeds: Sequence[int] = tuple(range(42, 52)),
    draws: Sequence[int] = (7, 8, 9),
    arithmetics: Sequence[str] = ("bf16",),
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train every window with every seed on every draw; one row a run.

    Columns: ``amp``, ``synth_seed`` (the draw), ``window``, ``seed``, ``macro_f1`` (per frame),
    ``ceiling``, ``gap`` (ceiling less score), ``code``. What is finished in ``folder`` is not
    trained again. Raises WrongCall for real data, which have no ceiling.
    """
    if experiment.data:
        raise WrongCall("real data have no ceiling: leave data empty, for the generated benchmark")
    grid = {"synth_seed": draws, "amp": arithmetics, "window": windows, "seed": seeds}
    table = sweep.run(experiment, grid, Path(folder), workers=workers, progress=progress)
    ceilings = []
    for draw, window in zip(table["synth_seed"], table["window"], strict=True):
        variant = experiment.replace(synth_seed=int(draw), window=int(window))
        tree = synthetic.ensure(variant, progress=False)
        ceilings.append(synthetic.ceiling(tree, variant, "frame"))
    scores = table[[*RUN, "code"]].assign(macro_f1=table["frame_macro_f1"], ceiling=ceilings)
    return scores.assign(gap=scores["ceiling"] - scores["macro_f1"])


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """One row an arithmetic and window: mean score and ceiling, mean and worst gap, and whether
    both are within what is asked.
    """
    rows = []
    for (amp, window), group in scores.groupby(["amp", "window"]):
        allowed = MEAN_GAP[int(window)]
        mean, worst = group["gap"].mean(), group["gap"].max()
        rows.append(
            {
                "arithmetic": amp,
                "T": int(window),
                "runs": len(group),
                "macro-F1": group["macro_f1"].mean(),
                "ceiling": group["ceiling"].mean(),
                "mean gap": mean,
                "allowed": allowed,
                "worst gap": worst,
                "reached": bool(mean <= allowed and worst <= WORST_GAP),
            }
        )
    return pd.DataFrame(rows)


def rising(scores: pd.DataFrame, windows: Sequence[int] = (10, 30, 60)) -> pd.DataFrame:
    """In how many pairs of seed and draw the score rises along ``windows``, per arithmetic."""
    curves = scores.pivot(index=["amp", "synth_seed", "seed"], columns="window", values="macro_f1")
    steps = curves[list(windows)].diff(axis=1).iloc[:, 1:]
    counts = (steps > 0).all(axis=1).groupby("amp").agg(["sum", "size"]).reset_index()
    counts.columns = pd.Index(["arithmetic", "rising", "of"])
    return counts.assign(reached=counts["rising"] >= RISING * counts["of"])
