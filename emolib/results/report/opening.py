"""How the report opens: the day, three sentences on what came out, and the curve."""

import base64
import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from emolib.config import Experiment
from emolib.evaluation.intervals import PERCENT
from emolib.results.report.parts import ORIGINS
from emolib.system.files import form_checked, read_json

CURVE = "window_curve.png"  # of figures/
ALT = "Macro-F1 by window length: ours with seeds and intervals, and beside it the paper's."


def opening(run: Path, experiment: Experiment) -> str:
    """The day on which the run was finished, what it reaches, which window is best, what the
    numbers are of; then the curve. As HTML.
    """
    names = ("metrics", "summary", "provenance")
    metrics, summary, made = (read_json(run / f"{name}.json") for name in names)
    with form_checked(run / "metrics.json"):
        reached = score(metrics["frame"], experiment, made["arithmetic"])
    with form_checked(run / "summary.json"):
        rows = [row for row in summary.get("window_table", ()) if row["protocol"] == "frame"]
        compared = best_window(rows)
    with form_checked(run / "provenance.json"):
        date = day(made["date"])
    text = html.escape(" ".join([reached, compared, kind(str(metrics["origin"]))]))
    return f'<p class="date">{date}</p><p class="opening">{text}</p>{_curve(run)}'


def day(date: str) -> str:
    """When the run was finished; ``date``: of provenance.json, ``2026-11-27``."""
    finished = datetime.fromisoformat(date)
    return f"Finished on {finished.day} {finished:%B %Y}"


def score(frame: Mapping[str, Any], experiment: Experiment, arithmetic: str) -> str:
    """What the main run reaches; ``frame``: of metrics.json; ``arithmetic``: of training."""
    low, high = frame["macro_f1_interval"]
    return (
        f"With windows of {experiment.window} frames the model, trained in {arithmetic}, reaches "
        f"a macro-F1 of {frame['macro_f1']:.3f} per frame on the validation clips "
        f"({PERCENT} interval over clips {low:.3f} to {high:.3f})."
    )


def best_window(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which window scores highest; ``rows``: of ``tables.window_rows`` under one protocol."""
    if len(rows) < 2:
        return "Other windows were not compared."
    best, *_, worst = sorted(rows, key=lambda row: -row["macro_f1"])
    seeds = f"{best['seeds']} seed{'s' * (best['seeds'] > 1)}"
    return (
        f"Of the {len(rows)} window lengths compared, {best['window']} frames score highest with "
        f"{best['macro_f1']:.3f} and {worst['window']} frames lowest with {worst['macro_f1']:.3f} "
        f"(means of {seeds})."
    )


def kind(origin: str) -> str:
    """What the numbers are of, in one sentence."""
    if not any(name in origin for name in ORIGINS):
        return "These are scores on real data with trained encoders."
    return f"These are no scores on real faces: data or encoders are marked “{origin}”."


def _curve(run: Path) -> str:
    """The window curve, where its notebook has drawn it."""
    path = run / "figures" / CURVE
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img class="curve" src="data:image/png;base64,{data}" alt="{ALT}">'
