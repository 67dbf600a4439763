"""``summary.json`` of a run: what its finished notebooks have recorded;
and its window table for the terminal.
"""

import contextlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emolib.config import Experiment
from emolib.evaluation.intervals import PERCENT
from emolib.features.origin import origin
from emolib.pipeline.finished import finished, key, record_path
from emolib.system.files import project_root, read_record, runs_root

PACKAGES = (
    "emolib",
    "torch",
    "open_clip_torch",
    "transformers",
    "numpy",
    "pandas",
    "matplotlib",
    "av",
    "papermill",
)


def summarise(folder: Path, experiment: Experiment, given: str = "") -> dict[str, Any]:
    """What the finished notebooks have recorded; a part whose notebook has not run is absent.

    ``given``: the content of the run's data and weights, as ``finished.content_of_given`` has it.
    """
    summary: dict[str, Any] = {
        "preset": experiment.preset,
        "name": folder.name,
        "experiment": experiment.fingerprint("train"),
        "origin": origin(experiment),
        "smoothed": experiment.smoothed(),
        "notebooks": {},
        "versions": versions(),
    }
    for path in sorted((project_root() / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        if not finished(folder, path, key(path, experiment, given)):
            continue
        record = read_record(record_path(folder, path), "metrics", "summary")
        seconds = duration(folder / "notebooks" / path.name)
        summary["notebooks"][path.stem] = {"seconds": seconds, "metrics": record["metrics"]}
        summary.update(record["summary"])
    durations = [entry["seconds"] or 0 for entry in summary["notebooks"].values()]
    summary["seconds"] = round(sum(durations), 1)
    return summary


def duration(copy: Path) -> float | None:
    """How many seconds the execution took, from papermill's own marks."""
    seconds = read_record(copy, "metadata")["metadata"].get("papermill", {}).get("duration")
    return None if seconds is None else round(seconds, 1)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that the numbers depend on, without importing them."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            installed[package] = importlib.metadata.version(package)
    return installed


def window_text(summary: Mapping[str, Any]) -> str:
    """The window table for the terminal, with what kind of data it is from."""
    folder = runs_root() / summary["name"]
    if "window_table" not in summary:
        return f"done: {folder}; no window table yet (notebook 05)"
    rows = summary["window_table"]
    scored = f"macro-F1 [{PERCENT} interval]"
    heading = (
        f"{'window':>8} {'protocol':>9} {scored:>28} {'ceiling':>8} | "
        f"{'paper val.':>10} {'paper test':>10}"
    )
    lines = [_title(summary, rows), heading, *map(_line, rows), str(folder / "summary.json")]
    return "\n".join(lines)


def _title(summary: Mapping[str, Any], rows: list[Mapping[str, Any]]) -> str:
    """Over what the intervals are, and what kind of data the scores are of."""
    counted = {
        f"{row['seeds']} seed{'s' * (row['seeds'] > 1)}, interval over {row['interval_over']}"
        for row in rows
    }
    kind = "validation"
    if summary["origin"]:
        kind = (
            f"{summary['origin'].upper()}: "
            "compare the shape of the curves, not their level, with the paper's real data"
        )
    smoothed = summary["smoothed"].removeprefix(",")
    return f"Ours ({'; '.join(sorted(counted))}) on {kind}" + (
        f"; frames{smoothed}" * bool(smoothed)
    )


def _line(row: Mapping[str, Any]) -> str:
    """One window and protocol."""
    low, high = row["interval"]
    score = f"{row['macro_f1']:.3f} [{low:.3f}, {high:.3f}]"
    ceiling, validation, test = (
        "–" if row[key] is None else f"{row[key]:.3f}"
        for key in ("ceiling", "paper_validation", "paper_test")
    )
    return (
        f"{row['window']:>8} {row['protocol']:>9} {score:>28} {ceiling:>8} | "
        f"{validation:>10} {test:>10}"
    )
