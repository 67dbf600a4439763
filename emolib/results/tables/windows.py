"""Tables of the window ablation: ours beside what was published, version by version, and the test
set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emolib import paper
from emolib.evaluation import metrics
from emolib.results.tables.text import NONE, in_column, number, with_interval


def window_rows(
    runs: pd.DataFrame, ceilings: Mapping[tuple[int, str], float]
) -> list[dict[str, Any]]:
    """One row for each window length and protocol: mean over seeds, interval, ceiling, and what was
    published.

    ``runs``: one row a run with ``window``, ``seed``, ``<protocol>_macro_f1`` and
    ``<protocol>_macro_f1_low``/``_high`` (resampled clips). With one seed the interval is that over
    clips, and ``interval_over`` says so. ``ceilings``: by (window, protocol); empty on real data.
    The paper does not name its protocol.
    """
    rows = []
    for key, group in runs.groupby("window"):
        window = int(str(key))
        for protocol in metrics.PROTOCOLS:
            values = group[f"{protocol}_macro_f1"].tolist()
            seeds = metrics.over_seeds(values)
            low, high = (
                float(group[f"{protocol}_macro_f1_{edge}"].iloc[0]) for edge in ("low", "high")
            )
            rows.append(
                {
                    "window": window,
                    "protocol": protocol,
                    "macro_f1": seeds["mean"],
                    "interval": np.clip(seeds["interval"] or [low, high], 0, 1).tolist(),
                    "interval_over": "seeds" if seeds["interval"] else "clips",
                    "seeds": seeds["n"],
                    "values": [float(value) for value in values],
                    "ceiling": ceilings.get((window, protocol)),
                    "paper_validation": paper.VALIDATION_MACRO_F1.get(window),
                    "paper_test": paper.TEST_MACRO_F1.get(window),
                    "v1_validation": paper.V1_VALIDATION_MACRO_F1.get(window),
                }
            )
    return rows


def window_table(rows: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """The window ablation, ours and published side by side, one row a window, from
    :func:`window_rows`.
    """
    ours = in_column("Ours", origin)
    lines: list[dict[str, Any]] = []
    for window in sorted({row["window"] for row in rows}):
        line: dict[str, Any] = {"Method": f"Ours ({window} frames)"}
        for row in (row for row in rows if row["window"] == window):
            column = f"{ours}, {row['protocol']}s"
            line[column] = with_interval(row["macro_f1"], row["interval"])
            if any(other["ceiling"] is not None for other in rows):
                line[f"Ceiling, {row['protocol']}s"] = number(row["ceiling"])
        over = f"{row['seeds']} seeds" if row["interval_over"] == "seeds" else "clips"
        lines.append({**line, "Interval over": over, **_published(window)})
    baseline = {"Method": "Baseline (VGGFace)", **_published(None)}
    return pd.DataFrame([baseline, *lines])[list(lines[0])].fillna(NONE)


def window_overview(
    rows: Sequence[Mapping[str, Any]], *, origin: str, protocol: str = "frame"
) -> pd.DataFrame:
    """The window ablation in five columns, under one protocol, from :func:`window_rows`."""
    lines = []
    for row in (row for row in rows if row["protocol"] == protocol):
        lines.append(
            {
                "Window, frames": str(row["window"]),
                in_column(f"Ours, per {protocol}", origin): with_interval(
                    row["macro_f1"], row["interval"]
                ),
                "Best possible": number(row["ceiling"]),
                "Paper, validation": number(row["paper_validation"], 4),
                "Paper, test": number(row["paper_test"], 2),
            }
        )
    return pd.DataFrame(lines)


def _published(window: int | None) -> dict[str, str]:
    """The published columns of one row."""
    return {
        "Paper, validation": number(paper.VALIDATION_MACRO_F1.get(window), 4),
        "Paper, test": number(paper.TEST_MACRO_F1.get(window), 2),
        "Paper v1, validation": number(paper.V1_VALIDATION_MACRO_F1.get(window), 4),
    }


# version: (macro-F1 by window, decimals as printed)
Versions = Mapping[str, tuple[Mapping[int | None, float], int]]
PUBLISHED: Versions = {
    "Camera-ready, validation (table 1)": (paper.VALIDATION_MACRO_F1, 4),
    "Camera-ready, test (table 2)": (paper.TEST_MACRO_F1, 2),
    "arXiv v1, validation (table 1)": (paper.V1_VALIDATION_MACRO_F1, 4),
    "Poster, validation": ({None: 0.25}, 2),
    "Poster, test": ({None: 0.25}, 2),
}


def published_table(rows: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """What each published version says of each window, below ours, from :func:`window_rows`: do
    they agree on the best one?

    The poster prints one number without its window. ``Best - worst`` is the largest difference
    between two windows.
    """
    windows = sorted({row["window"] for row in rows} | {w for w in paper.VALIDATION_MACRO_F1 if w})
    ours: dict[str, tuple[Mapping[int | None, float], int]] = {}
    for protocol in metrics.PROTOCOLS:
        means = {row["window"]: row["macro_f1"] for row in rows if row["protocol"] == protocol}
        ours[f"{in_column('Ours', origin)}, {protocol}s"] = (means, 3)
    lines = []
    for name, (values, digits) in {**ours, **PUBLISHED}.items():
        by_window = {window: value for window, value in values.items() if window}
        split = name.split(", ")[-1]
        stated = paper.POSTER_MACRO_F1.get(split) if name.startswith("Poster") else None
        spread = max(by_window.values()) - min(by_window.values()) if by_window else None
        line = {"Version": name, "Baseline": number(values.get(None), digits)}
        for window in windows:
            line[f"{window} frames"] = number(by_window.get(window), digits)
        line["Window not stated"] = number(stated, 2)
        line["Best window"] = str(max(by_window, key=lambda w: by_window[w])) if by_window else NONE
        line["Best - worst"] = number(spread, digits)
        lines.append(line)
    return pd.DataFrame(lines)


def submission_table(rows: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """Submissions written and checked, from ``test_scores.rows``, scored where the truth is known.

    "0.53 of 0.62": macro-F1 over eight classes, and the most that is possible with the classes that
    the clips show.
    """
    ours = in_column("Ours", origin)
    lines = [{"Method": "Baseline (VGGFace)", "Paper, test": number(paper.TEST_MACRO_F1[None], 2)}]
    for row in rows:
        known = row["macro_f1"] is not None
        score = f"{row['macro_f1']:.2f} of {row['classes'] / 8:.2f}" if known else "hidden"
        lines.append(
            {
                "Method": f"Ours ({row['window']} frames)",
                "Submission, rows": f"{row['rows']:,}",
                "Rows filled by rule": f"{row['filled']:,}",
                f"{ours}, test": score,
                f"{ours}, accuracy": number(row["accuracy"], 2),
                "Paper, test": number(paper.TEST_MACRO_F1.get(row["window"]), 2),
            }
        )
    return pd.DataFrame(lines)[list(lines[-1])].fillna(NONE)


def ceiling_row(
    rows: Sequence[Mapping[str, Any]], *, inputs: str, window: int, protocol: str
) -> Mapping[str, Any] | None:
    """The row of ``ceilings.json`` for a set of inputs (``still``, ``motion+voice``, ...); None on
    real data, where none is known.
    """
    wanted = (inputs, window, protocol)
    keys = ("inputs", "window", "protocol")
    return next((row for row in rows if tuple(row[key] for key in keys) == wanted), None)
