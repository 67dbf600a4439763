"""Tables: frames of numbers in the shapes of the paper's tables 1 and 2 and of the poster, as CSV, Markdown and LaTeX.

Ours and published numbers stand in columns of their own and are never mixed; a table of generated data says so in its caption.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from emolib import paper
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.system.files import write_json, write_text

LATEX = str.maketrans(
    {
        "%": r"\%",
        "&": r"\&",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "±": r"$\pm$",
        "–": "--",
        "…": r"\ldots{}",
    }
)


def window_rows(
    runs: pd.DataFrame, ceilings: Mapping[tuple[int, str], float]
) -> list[dict[str, Any]]:
    """One row for each window length and protocol: mean over seeds, interval, ceiling, and what was published.

    ``runs``: one row a run with ``window``, ``seed``, ``<protocol>_macro_f1`` and ``<protocol>_macro_f1_low``/``_high``
    (resampled clips). With one seed the interval is that over clips, and ``interval_over`` says so.
    ``ceilings``: by (window, protocol); empty on real data. The paper does not name its protocol.
    """
    rows = []
    for window, group in runs.groupby("window"):
        for protocol in metrics.PROTOCOLS:
            values = group[f"{protocol}_macro_f1"].tolist()
            seeds = metrics.over_seeds(values)
            over_clips = [
                float(group[f"{protocol}_macro_f1_{edge}"].iloc[0]) for edge in ("low", "high")
            ]
            rows.append(
                {
                    "window": int(str(window)),
                    "protocol": protocol,
                    "macro_f1": seeds["mean"],
                    "interval": np.clip(seeds["interval"] or over_clips, 0, 1).tolist(),
                    "interval_over": "seeds" if seeds["interval"] else "clips",
                    "seeds": seeds["n"],
                    "values": [float(value) for value in values],
                    "ceiling": ceilings.get((int(str(window)), protocol)),
                    "paper_validation": paper.VALIDATION_MACRO_F1.get(int(str(window))),
                    "paper_test": paper.TEST_MACRO_F1.get(int(str(window))),
                    "v1_validation": paper.V1_VALIDATION_MACRO_F1.get(int(str(window))),
                }
            )
    return rows


def window_table(rows: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """The window ablation in the shape of the paper's tables 1 and 2, one row a window, from :func:`window_rows`."""
    ours = f"Ours, {origin}" if origin else "Ours"
    table = []
    for window in sorted({row["window"] for row in rows}):
        line: dict[str, Any] = {"Method": f"Ours ({window} frames)"}
        for row in (r for r in rows if r["window"] == window):
            line[f"{ours}, {row['protocol']}s"] = with_interval(row["macro_f1"], row["interval"])
            if any(r["ceiling"] is not None for r in rows):
                line[f"Ceiling, {row['protocol']}s"] = number(row["ceiling"])
        line["Interval over"] = (
            f"{row['seeds']} seeds" if row["interval_over"] == "seeds" else "clips"
        )
        table.append({**line, **_published(window)})
    return pd.DataFrame([{"Method": "Baseline (VGGFace)", **_published(None)}, *table])[
        list(table[0])
    ].fillna("–")


def _published(window: int | None) -> dict[str, str]:
    """The published columns of one row."""
    return {
        "Paper, validation": number(paper.VALIDATION_MACRO_F1.get(window), 4),
        "Paper, test": number(paper.TEST_MACRO_F1.get(window), 2),
        "Paper v1, validation": number(paper.V1_VALIDATION_MACRO_F1.get(window), 4),
    }


PUBLISHED: dict[
    str, tuple[Mapping[int | None, float], int]
] = {  # version: (macro-F1 by window, decimals as printed)
    "Camera-ready, validation (table 1)": (paper.VALIDATION_MACRO_F1, 4),
    "Camera-ready, test (table 2)": (paper.TEST_MACRO_F1, 2),
    "arXiv v1, validation (table 1)": (paper.V1_VALIDATION_MACRO_F1, 4),
    "Poster, validation": ({None: 0.25}, 2),
    "Poster, test": ({None: 0.25}, 2),
}


def published_table(rows: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """What each published version says of each window, below ours, from :func:`window_rows`: do they agree on the best one?

    The poster prints one number without its window. ``Best - worst`` is the largest difference between two windows.
    """
    windows = sorted({row["window"] for row in rows} | {w for w in paper.VALIDATION_MACRO_F1 if w})
    versions: dict[str, tuple[Mapping[int | None, float], int]] = {
        f"Ours{origin and f', {origin}'}, {protocol}s": (
            {r["window"]: r["macro_f1"] for r in rows if r["protocol"] == protocol},
            3,
        )
        for protocol in metrics.PROTOCOLS
    }
    lines = []
    for name, (values, digits) in {**versions, **PUBLISHED}.items():
        of_windows = {window: value for window, value in values.items() if window}
        stated = (
            paper.POSTER_MACRO_F1.get(name.split(", ")[-1]) if name.startswith("Poster") else None
        )
        spread = max(of_windows.values()) - min(of_windows.values()) if of_windows else None
        lines.append(
            {
                "Version": name,
                "Baseline": number(values.get(None), digits),
                **{
                    f"{window} frames": number(of_windows.get(window), digits) for window in windows
                },
                "Window not stated": number(stated, 2),
                "Best window": str(max(of_windows, key=lambda w: of_windows[w]))
                if of_windows
                else "–",
                "Best - worst": number(spread, digits),
            }
        )
    return pd.DataFrame(lines)


def class_window_table(
    scores: Mapping[str, Mapping[int, float]],
    effects: Mapping[str, Mapping[str, Any]],
    *,
    origin: str,
) -> pd.DataFrame:
    """F1 by class and window, means over seeds; ``effects``: class -> ``metrics.difference`` of the longest minus the shortest."""
    lines = []
    for name, by_window in scores.items():
        effect = effects[name]
        line = {"Class": name} | {
            f"{window} frames{origin and f', {origin}'}": number(value)
            for window, value in by_window.items()
        }
        lines.append(
            line
            | {
                f"{max(by_window)} minus {min(by_window)} frames": signed(
                    effect["difference"], effect["interval"]
                )
            }
        )
    return pd.DataFrame(lines)


def submission_table(rows: Sequence[Mapping[str, Any]], *, origin: str) -> pd.DataFrame:
    """The shape of the paper's table 2, from ``testset.rows``: submissions written and checked, scored where the truth is known.

    "0.53 of 0.62": macro-F1 over eight classes, and the most that is possible with the classes that the clips show.
    """
    ours = f"Ours, {origin}" if origin else "Ours"
    lines = [{"Method": "Baseline (VGGFace)", "Paper, test": number(paper.TEST_MACRO_F1[None], 2)}]
    for row in rows:
        known = row["macro_f1"] is not None
        lines.append(
            {
                "Method": f"Ours ({row['window']} frames)",
                "Submission, rows": f"{row['rows']:,}",
                "Rows filled by rule": f"{row['filled']:,}",
                f"{ours}, test": f"{row['macro_f1']:.2f} of {row['classes'] / 8:.2f}"
                if known
                else "hidden",
                f"{ours}, accuracy": number(row["accuracy"], 2),
                "Paper, test": number(paper.TEST_MACRO_F1.get(row["window"]), 2),
            }
        )
    return pd.DataFrame(lines)[list(lines[-1])].fillna("–")


def influence_table(rows: Sequence[Mapping[str, Any]], count: int = 5) -> pd.DataFrame:
    """The ``count`` clips whose absence changes macro-F1 most, from ``metrics.influence``."""
    lines = []
    for row in rows[:count]:
        worst = int(np.argmax(np.abs(row["f1_change"])))
        lines.append(
            {
                "Clip left out": row["clip"],
                "Macro-F1 without it": number(row["macro_f1"]),
                "Change": f"{row['change']:+.3f}",
                "Class it moves most": EXPRESSIONS[worst],
                "Change of that F1": f"{row['f1_change'][worst]:+.3f}",
            }
        )
    return pd.DataFrame(lines)


def per_class_table(
    score: Mapping[str, Any],
    ratio: Sequence[float],
    *,
    ceiling: Sequence[float] | None,
    origin: str,
) -> pd.DataFrame:
    """Per-class F1 against the training ratio in the shape of the poster's table.

    ``score``: of ``metrics.score``; ``ratio`` [8]: shares of the training windows or frames; ``ceiling`` [8] or None.
    """
    ours = origin or "ours"
    rows = []
    for i, entry in enumerate(score["per_class"]):
        row = {
            "Class": entry["name"],
            f"Train ratio %, {ours}": number(100 * ratio[i], 2),
            **{
                f"{kind}, {ours}": with_interval(
                    entry[kind.lower()], entry[f"{kind.lower()}_interval"]
                )
                for kind in ("Precision", "Recall", "F1")
            },
        }
        if ceiling is not None:
            row["Ceiling"] = number(ceiling[i])
        row |= {
            "Train ratio %, paper": number(100 * paper.TRAIN_RATIO[entry["name"]], 2),
            "F1, paper": number(paper.CLASS_F1[entry["name"]], 4),
        }
        rows.append(row)
    mean = dict.fromkeys(rows[0], "") | {
        "Class": "Mean",
        f"F1, {ours}": with_interval(score["macro_f1"], score["macro_f1_interval"]),
    }
    mean |= {"F1, paper": number(float(np.mean(list(paper.CLASS_F1.values()))), 4)}
    if ceiling is not None:
        mean["Ceiling"] = number(float(np.mean(ceiling)))
    return pd.DataFrame([*rows, mean])


def clip_table(clips: Sequence[Any]) -> pd.DataFrame:
    """One row a clip (``affwild2.Clip``): split, frames, labelled frames, frames with a face, seconds, mean rate and its source."""
    return pd.DataFrame(
        {
            "clip": [clip.id for clip in clips],
            "split": [clip.split for clip in clips],
            "frames": [len(clip.labels) for clip in clips],
            "labelled": [int((clip.labels >= 0).sum()) for clip in clips],
            "faces": [int(clip.face_present.sum()) for clip in clips],
            "seconds": [
                clip.span(1, len(clip.labels))[1] if len(clip.labels) else 0.0 for clip in clips
            ],
            "fps": [clip.fps for clip in clips],
            "times from": [clip.time_source for clip in clips],
        }
    )


def ceiling_row(
    rows: Sequence[Mapping[str, Any]], *, inputs: str, window: int, protocol: str
) -> Mapping[str, Any] | None:
    """The row of ``ceilings.json`` for a set of inputs (``still``, ``motion+voice``, ...); None on real data, where none is known."""
    found = [
        row
        for row in rows
        if (row["inputs"], row["window"], row["protocol"]) == (inputs, window, protocol)
    ]
    return found[0] if found else None


def counts_table(counts: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """Frames of each class by split, and their shares beside the paper's training ratio."""
    table = pd.DataFrame({"Class": EXPRESSIONS})
    for split, values in counts.items():
        table[f"{split}, frames"] = np.asarray(values, dtype=int)
        table[f"{split}, %"] = [number(100 * value / max(sum(values), 1), 2) for value in values]
    table["paper train, %"] = [number(100 * paper.TRAIN_RATIO[name], 2) for name in EXPRESSIONS]
    return table


def number(value: Any, digits: int = 3) -> str:
    """A number with ``digits`` decimals, an en dash for none: missing is not zero."""
    return "–" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def with_interval(value: float, interval: Sequence[float]) -> str:
    """``0.912 [0.890, 0.931]``."""
    return f"{number(value)} [{number(interval[0])}, {number(interval[1])}]"


def signed(value: float, interval: Sequence[float]) -> str:
    """A difference: ``+0.012 [-0.003, +0.027]``."""
    return f"{value:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"


# files


def write(table: pd.DataFrame, name: str, folder: Path, *, caption: str) -> pd.DataFrame:
    """Write ``<folder>/<name>.csv``, ``.md`` and ``.tex`` (booktabs), each atomically; returns ``table`` for display."""
    write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", markdown(table, caption))
    write_text(folder / f"{name}.tex", latex(table, name, caption))
    return table


def markdown(table: pd.DataFrame, caption: str) -> str:
    """A Markdown table under its caption; numbers to the right."""
    texts = [[_text(cell) for cell in row] for row in table.itertuples(index=False)]
    rule = ["---"] + ["---:"] * (table.shape[1] - 1)
    lines = [
        "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"
        for row in [list(table.columns), rule, *texts]
    ]
    return f"{caption}\n\n" + "\n".join(lines) + "\n"


def latex(table: pd.DataFrame, name: str, caption: str) -> str:
    """A LaTeX table with booktabs rules."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"

    body = [line([_text(cell) for cell in row]) for row in table.itertuples(index=False)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption.translate(LATEX)}}}",
            rf"\label{{tab:{name.replace('_', '-')}}}",
            rf"\begin{{tabular}}{{l{'r' * (table.shape[1] - 1)}}}",
            r"\toprule",
            line(list(table.columns)),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _text(cell: Any) -> str:
    return number(cell, 4) if cell is None or isinstance(cell, float | np.floating) else str(cell)


def record(
    folder: Path,
    notebook: str,
    metrics: Mapping[str, Any],
    summary: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Write ``<folder>/records/<notebook>.json``: the notebook's named metrics and what it adds to the run's summary.

    Returns the metrics as a small table. The pipeline counts a notebook as finished only with this file.
    """
    write_json(
        folder / "records" / f"{notebook}.json",
        {"metrics": dict(metrics), "summary": dict(summary or {})},
    )
    return pd.DataFrame(
        {"metric": list(metrics), "value": [_text(value) for value in metrics.values()]}
    )
