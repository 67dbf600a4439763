"""The paper's table 2 through the submission path:
for each window a run's file along the official template, checked.

The test labels of Aff-Wild2 are hidden, so the score stays empty there;
the generated benchmark knows its own.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib.config import Experiment
from emolib.data.annotations import read_template
from emolib.data.layout import find_layout
from emolib.data.mark import is_synthetic
from emolib.data.synthetic import labels_of
from emolib.evaluation import metrics
from emolib.studies import submission

HIDDEN = {"macro_f1": None, "accuracy": None, "classes": None}  # where the truth is not known


def rows(
    runs: pd.DataFrame, experiment: Experiment, root: Path, folder: Path, *, progress: bool = True
) -> list[dict[str, Any]]:
    """One row a window: the first of its ``runs`` (of ``sweep.run``) predicts the test clips into
    ``folder``/window<T>.txt.

    Each has ``window``, ``rows``, ``filled``, ``clips``, and ``macro_f1``, ``accuracy`` and
    ``classes`` (how many of the eight the truth shows), None where the truth is hidden.
    Empty where the tree has no template with rows, and for other data sets, which have no
    submission.
    """
    if experiment.dataset != "affwild2":
        return []
    layout = find_layout(root, experiment.crops, need_annotations=False)
    templates = [path for path in layout.submission_templates() if has_rows(path)]
    if not templates:
        return []
    result = []
    for window, group in runs.groupby("window"):
        out = folder / f"window{window}.txt"
        written = submission.of_run(
            Path(group["folder"].iloc[0]), out, template=templates[0], progress=progress
        )
        row = {name: written[name] for name in ("rows", "filled", "clips")}
        known = score(out, templates[0], root) if is_synthetic(root) else HIDDEN
        result.append({"window": int(str(window)), **row, **known})
    return result


def has_rows(template: Path) -> bool:
    """Whether a template asks for anything: a tree without test clips has one
    with a header alone.
    """
    with open(template, encoding="utf-8-sig") as file:
        return len([line for _, line in zip(range(2), file, strict=False) if line.strip()]) == 2


def score(file: Path, template: Path, root: Path) -> dict[str, Any]:
    """Macro-F1 over all eight classes and accuracy of a valid submission
    against the generated truth.
    """
    asked = read_template(template)
    predicted = pd.read_csv(file, skiprows=1, header=None)[1].to_numpy()
    truth = {clip_id: labels_of(root, clip_id) for clip_id in asked.ids}
    # the template may ask for a line more than there are frames, as annotations have (docs/data.md)
    expected: list[int] = []
    for clip, frame in zip(asked.clip, asked.frame, strict=True):
        labels = truth[asked.ids[clip]]
        expected.append(labels[min(frame, len(labels)) - 1])
    label = np.array(expected)
    return {
        "macro_f1": metrics.macro_f1(label, predicted),
        "accuracy": float((label == predicted).mean()),
        "classes": len(np.unique(label)),
    }
