"""The paper's own tables: each as published, and ours in the same shape.

Tables 1 and 2 of the camera-ready have four columns; table 1 of arXiv v1 has accuracy beside
macro-F1; the poster has a table of two scores and a three-column table by class. Without our
numbers a function returns the table as published.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib import paper
from emolib.labels import EXPRESSIONS
from emolib.results.tables.classes import absent_classes
from emolib.results.tables.files import caption, write
from emolib.results.tables.text import NONE, in_column, number
from emolib.system.files import form_checked, read_record

CAPTIONS = {
    "table1": "Performance comparison on the EXPR challenge validation set",
    "table2": "Performance comparison on the EXPR challenge test set",
    "v1_table1": "Validation performance by window, with accuracy",
    "poster_table": "Macro-F1 on the validation and the test set",
    "poster_class_table": "Training ratio and F1 by class, validation set",
}
SOURCES = {
    "table1": "as published: camera-ready, table 1",
    "table2": "as published: camera-ready, table 2",
    "v1_table1": "as published: arXiv v1, table 1",
    "poster_table": "as published: poster",
    "poster_class_table": paper.CLASS_TABLE_SOURCE,
}


def table1(ours: Mapping[int, float] | None = None) -> pd.DataFrame:
    """Table 1 of the camera-ready, validation macro-F1 by window; ``ours``: window -> macro-F1."""
    return _four_columns(paper.VALIDATION_MACRO_F1 if ours is None else ours, 4)


def table2(ours: Mapping[int, float | None] | None = None) -> pd.DataFrame:
    """Table 2 of the camera-ready, test macro-F1 by window; ``ours``: window -> macro-F1, None
    where the truth is hidden.
    """
    return _four_columns(paper.TEST_MACRO_F1 if ours is None else ours, 2)


def _four_columns(scores: Mapping[Any, float | None], digits: int) -> pd.DataFrame:
    """Challenge, Metric, Method, Result; the baseline first, which is the challenge's and not ours
    to measure.
    """
    methods = {"Baseline": scores.get(None)}
    methods |= {f"Ours ({window} frames)": score for window, score in scores.items() if window}
    first = [""] * (len(methods) - 1)  # what holds for all rows stands in the first alone
    return pd.DataFrame(
        {
            "Challenge": ["EXPR", *first],
            "Metric": ["Macro F1", *first],
            "Method": list(methods),
            "Result": [number(score, digits) for score in methods.values()],
        }
    )


def v1_table1(ours: Mapping[int, tuple[float, float]] | None = None) -> pd.DataFrame:
    """Table 1 of arXiv v1: validation accuracy in percent, and macro-F1; ``ours``: window ->
    (accuracy, macro-F1), 0 to 1.
    """
    scores: dict[int, tuple[float, float]] = dict(ours or {})
    baseline = None if ours is not None else paper.V1_VALIDATION_MACRO_F1[None]
    if ours is None:
        for window, accuracy in paper.V1_VALIDATION_ACCURACY.items():
            scores[window] = (accuracy, paper.V1_VALIDATION_MACRO_F1[window])
    lines = [("Official Baseline (pre-trained VGGFace)", NONE, number(baseline, 4))]
    for window, (accuracy, macro_f1) in scores.items():
        name = f"Proposed Model ({window} frames)"
        lines.append((name, number(100 * accuracy, 2), number(macro_f1, 4)))
    return pd.DataFrame(lines, columns=["Method", "Acc. (%)", "Macro F1"])


def poster_table(ours: Mapping[str, float | None] | None = None) -> pd.DataFrame:
    """The poster's table of two scores, without their windows; ``ours``: ``validation`` and
    ``test`` macro-F1.
    """
    scores = paper.POSTER_MACRO_F1 if ours is None else ours
    baseline = paper.TEST_MACRO_F1[None] if ours is None else None
    lines = [
        ("Baseline", number(baseline, 2)),
        ("Ours(val)", number(scores["validation"], 2)),
        ("Ours(test)", number(scores["test"], 2)),
    ]
    return pd.DataFrame(lines, columns=["Method", "Macro F1"])


def poster_class_table(
    f1: Sequence[float] | np.ndarray | None = None,
    ratio: Sequence[float] | np.ndarray | None = None,
) -> pd.DataFrame:
    """The poster's three-column table; ours: ``f1`` [8] and ``ratio`` [8], shares of the training
    data, 0 to 1.
    """
    ratio = list(paper.TRAIN_RATIO.values()) if ratio is None else ratio
    f1 = list(paper.CLASS_F1.values()) if f1 is None else f1
    return pd.DataFrame(
        {
            "Label": EXPRESSIONS,
            "Train Ratio(%)": [number(100 * share, 2) for share in ratio],
            "F1": [number(value, 4) for value in f1],
        }
    )


def paper_tables(
    folder: Path,
    *,
    origin: str,
    runs: pd.DataFrame | None = None,
    tested: Sequence[Mapping[str, Any]] = (),
    score: Mapping[str, Any] | None = None,
    ratio: Sequence[float] | None = None,
    protocol: str = "frame",
    note: str = "",
) -> dict[str, pd.DataFrame]:
    """Write the paper's tables as published and, as ``<name>_ours``, in the same shape ours, into
    the run's ``figures``, ``folder``; returns them by name.

    ``runs``: of a sweep over windows, for ``table1``, ``v1_table1`` and, with ``tested`` (of
    ``test_scores.rows``), ``table2`` and ``poster_table``, whose one number is that of the longest
    window; ``score`` (of ``metrics.score``) with ``ratio`` [8]: for ``poster_class_table``. Ours
    are means over seeds under one ``protocol``; their captions end with ``note``.
    """
    pairs: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
    if runs is not None:
        macro_f1 = runs.groupby("window")[f"{protocol}_macro_f1"].mean().to_dict()
        test = {row["window"]: row["macro_f1"] for row in tested}
        longest = max(macro_f1)
        accuracy = _accuracies(runs, protocol)
        both = {window: (accuracy[window], macro_f1[window]) for window in macro_f1}
        stated = {"validation": macro_f1[longest], "test": test.get(longest)}
        pairs["table1"] = table1(), table1(macro_f1)
        pairs["table2"] = table2(), table2({window: test.get(window) for window in macro_f1})
        pairs["v1_table1"] = v1_table1(), v1_table1(both)
        pairs["poster_table"] = poster_table(), poster_table(stated)
    if score is not None:
        pairs["poster_class_table"] = poster_class_table(), _class_table(score, ratio)
    tables = {}
    for name, (published, ours) in pairs.items():
        source = f"{CAPTIONS[name]} ({SOURCES[name]})"
        tables[name] = write(published, name, folder, caption=source)
        text = f"{CAPTIONS[name]}, ours per {protocol}"
        made = caption(text, origin=origin, run=folder.parent, note=note)
        tables[f"{name}_ours"] = write(ours, f"{name}_ours", folder, caption=made)
    return tables


def _class_table(score: Mapping[str, Any], ratio: Sequence[float] | None) -> pd.DataFrame:
    """:func:`poster_class_table` of ours; a class that is not in the data has no numbers."""
    f1 = [entry["f1"] for entry in score["per_class"]]
    if ratio is None:
        return poster_class_table(f1)
    absent = absent_classes(score["per_class"], ratio)
    return poster_class_table(np.where(absent, np.nan, f1), np.where(absent, np.nan, ratio))


def side_by_side(tables: Mapping[str, pd.DataFrame], name: str, *, origin: str) -> pd.DataFrame:
    """One of :func:`paper_tables` as published, and beside it ours, row by row."""
    published, ours = tables[name], tables[f"{name}_ours"]
    key = "Method" if "Method" in ours else "Label"
    rows = [*ours[key], *(row for row in published[key] if row not in set(ours[key]))]
    aligned = published.set_index(key, drop=False).reindex(rows).reset_index(drop=True)
    return pd.concat({"as published": aligned, in_column("ours", origin): ours}, axis=1).fillna("")


def _accuracies(runs: pd.DataFrame, protocol: str) -> dict[Any, float]:
    """Mean accuracy over seeds by window, from each run's metrics.json."""
    paths = [Path(folder) / "metrics.json" for folder in runs["folder"]]
    accuracy = [_accuracy(path, protocol) for path in paths]
    return {
        window: float(np.mean(group))
        for window, group in pd.Series(accuracy, index=runs["window"]).groupby(level=0)
    }


def _accuracy(path: Path, protocol: str) -> float:
    score = read_record(path, protocol)[protocol]
    with form_checked(path):
        return float(score["accuracy"])
