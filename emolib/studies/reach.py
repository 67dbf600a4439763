"""How near the model comes to the ceilings of the generated benchmark, over seeds and draws."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from emolib.config import Experiment
from emolib.data import synthetic
from emolib.errors import WrongCall
from emolib.evaluation import metrics
from emolib.system.files import atomic_path
from emolib.training import sweep

SEEDS = ",".join(str(seed) for seed in range(42, 52))
# What is asked of the demo (docs/benchmark.md, What the demo reaches): the mean distance from the
# ceiling at each window, and the largest of any run.
MEAN_GAP = {10: 0.05, 15: 0.05, 30: 0.03, 60: 0.03}
WORST_GAP = 0.08
OUTCOMES = ("better", "undecided", "worse")  # of a longer window against a shorter one


def runs(
    experiment: Experiment,
    folder: Path,
    *,
    draws: Sequence[int] = (7, 8, 9),
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train each of the experiment's windows with each of its seeds on each draw; one row a run.

    Columns: ``amp``, ``synth_seed`` (the draw), ``window``, ``seed``, ``macro_f1`` (per frame),
    ``ceiling``, ``gap`` (ceiling less score), ``code`` (the hash of the code that made the run);
    also in ``folder``/reach_<amp>.csv. What is finished in ``folder`` is not trained again.
    Raises WrongCall for real data, which have no ceiling, and for a window without a stated gap.
    """
    if experiment.data:
        raise WrongCall("real data have no ceiling: leave data empty, for the generated benchmark")
    windows = experiment.window_list()
    if unknown := set(windows) - set(MEAN_GAP):
        raise WrongCall(f"windows={unknown}: choose among {sorted(MEAN_GAP)}")
    grid = {"synth_seed": draws, "window": windows, "seed": experiment.seed_list()}
    table = sweep.run(experiment, grid, Path(folder), workers=workers, progress=progress)
    ceilings = [_ceiling(experiment, row.synth_seed, row.window) for row in table.itertuples()]
    scores = table[[*grid, "code"]].assign(
        amp=experiment.amp, macro_f1=table["frame_macro_f1"], ceiling=ceilings
    )
    scores["gap"] = scores["ceiling"] - scores["macro_f1"]
    with atomic_path(Path(folder) / f"reach_{experiment.amp}.csv") as temporary:
        scores.to_csv(temporary, index=False)
    return scores


def _ceiling(experiment: Experiment, draw: int, window: int) -> float:
    variant = experiment.replace(synth_seed=int(draw), window=int(window))
    return synthetic.ceiling(synthetic.ensure(variant, progress=False), variant, "frame")


def summary(scores: pd.DataFrame) -> pd.DataFrame:
    """One row a window: mean score and ceiling, mean and largest gap, and whether both are within
    what is asked.
    """
    rows = []
    for window, group in scores.groupby("window"):
        mean, largest = group["gap"].mean(), group["gap"].max()
        rows.append(
            {
                "T": int(window),
                "runs": len(group),
                "macro_f1": group["macro_f1"].mean(),
                "lowest": group["macro_f1"].min(),
                "ceiling": group["ceiling"].mean(),
                "mean_gap": mean,
                "largest_gap": largest,
                "reached": bool(mean <= MEAN_GAP[int(window)] and largest <= WORST_GAP),
            }
        )
    return pd.DataFrame(rows)


def text(summary: pd.DataFrame) -> str:
    """The summary as a table of three decimals."""
    return summary.to_string(index=False, float_format=lambda value: f"{value:.3f}")


def rising(scores: pd.DataFrame, windows: Sequence[int] = (10, 30, 60)) -> str:
    """In how many pairs of seed and draw the score rises along ``windows``, in words."""
    steps = _curves(scores).reindex(columns=list(windows)).diff(axis=1).iloc[:, 1:]
    count = int((steps > 0).all(axis=1).sum())
    order = " < ".join(f"T = {window}" for window in windows)
    return f"{order} in {count} of {len(steps)} pairs of seed and draw"


def length_verdicts(scores: pd.DataFrame, count: int = 3) -> pd.DataFrame:
    """How often ``count`` seeds call a longer window better, by the rule of notebook 05: one row
    for each two windows, with the outcomes of every choice of so many seeds of each draw.

    Choices of one draw share seeds and clips, so they count as far fewer independent verdicts.
    """
    curves = _curves(scores)
    rows = []
    for shorter, longer in combinations(curves.columns, 2):
        gains = (curves[longer] - curves[shorter]).groupby(level="synth_seed")
        judged = Counter(
            _length_verdict(chosen) for _, gain in gains for chosen in combinations(gain, count)
        )
        outcomes = {outcome: judged[outcome] for outcome in OUTCOMES}
        rows.append({"T": longer, "against": shorter, "choices": judged.total(), **outcomes})
    return pd.DataFrame(rows)


def _length_verdict(gains: Sequence[float]) -> str:
    """The rule of notebook 05 for the longer window's ``gains``, one of each seed."""
    interval = metrics.over_seeds(gains)["interval"]
    low, high = interval or (-1.0, 1.0)  # one seed decides nothing
    return "better" if low > 0 else "worse" if high < 0 else "undecided"


def _curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Macro-F1 with a row for each draw and seed, and a column for each window."""
    return scores.pivot(index=["synth_seed", "seed"], columns="window", values="macro_f1")
