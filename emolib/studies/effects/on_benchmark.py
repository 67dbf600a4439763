"""The related pair on the generated benchmark itself: does the demo's model learn it?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib.config import Experiment, preset
from emolib.data import synthetic
from emolib.data.synthetic.plan import RELATION
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.studies.comparison import predictions
from emolib.system.files import atomic_path
from emolib.training import sweep

FUSIONS = ("bidirectional", "concat")


def related_pair(folder: Path, seeds: Sequence[int], *, progress: bool = True) -> pd.DataFrame:
    """Train the demo with ``synth_cues=relation``, each fusion with each seed; one row a run.

    Columns: ``fusion``, ``seed``, ``macro_f1`` (per frame), ``ceiling`` (of both streams and their
    times), ``pair`` (:func:`pair_accuracy`), ``others`` (the mean F1 of all other classes); also in
    ``folder``/related_pair.csv. What is finished in ``folder`` is not trained again.
    """
    experiment = preset("demo", synth_cues="relation")
    grid = {"fusion": FUSIONS, "seed": list(seeds)}
    runs = sweep.run(experiment, grid, folder, record="related_runs", progress=progress)
    table = pd.DataFrame([_row(experiment, run) for run in runs.to_dict("records")])
    with atomic_path(folder / "related_pair.csv") as temporary:
        table.to_csv(temporary, index=False)
    return table


def _row(experiment: Experiment, run: dict[Any, Any]) -> dict[str, Any]:
    frames = predictions(Path(run["folder"]), probabilities=True)
    f1 = metrics.class_f1(frames["label"].to_numpy(), frames["prediction"].to_numpy())
    others = [c for c, name in enumerate(EXPRESSIONS) if name not in RELATION]
    root = synthetic.ensure(experiment, progress=False)
    return {
        "fusion": run["fusion"],
        "seed": run["seed"],
        "macro_f1": run["frame_macro_f1"],
        "ceiling": synthetic.ceiling(root, experiment, "frame"),
        "pair": pair_accuracy(frames),
        "others": float(np.asarray(f1)[others].mean()),
    }


def pair_accuracy(frames: pd.DataFrame) -> float:
    """Of the frames of each class of the related pair, the share that gives it a higher probability
    than the other one; the mean of the two. 0.5 is a coin.

    ``frames``: of ``comparison.predictions``, with probabilities.
    """
    first, second = RELATION
    shares = []
    for own, other in ((first, second), (second, first)):
        rows = frames[frames["label"] == EXPRESSIONS.index(own)]
        shares.append(float((rows[f"p_{own}"] > rows[f"p_{other}"]).mean()))
    return float(np.mean(shares))
