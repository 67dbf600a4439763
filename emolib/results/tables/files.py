"""Tables with their captions, and a notebook's metrics, on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emolib.features.origin import labelled
from emolib.results.tables.latex import latex
from emolib.results.tables.text import cell_text, markdown
from emolib.results.trainings import arithmetics
from emolib.system.files import write_json, write_text


def caption(text: str, *, origin: str, run: Path | None, note: str = "") -> str:
    """``text`` with what the numbers are made from: ``Scores (synthetic, trained in bfloat16)``,
    and ``note`` behind a semicolon.

    ``run``: the folder of the run whose models were scored, for the arithmetic of their trainings;
    None for a table without scores.
    """
    names = " and ".join(arithmetics(run)) if run else ""
    trained = f"trained in {names}" if names else ""
    made_from = ", ".join(filter(None, [origin, trained]))
    return "; ".join(filter(None, [labelled(text, made_from), note]))


def write(table: pd.DataFrame, name: str, folder: Path, *, caption: str) -> pd.DataFrame:
    """Write ``<folder>/<name>.csv``, ``.md`` and ``.tex`` (booktabs), each atomically; returns
    ``table`` for display.
    """
    write_text(folder / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    write_text(folder / f"{name}.md", markdown(table, caption))
    write_text(folder / f"{name}.tex", latex(table, name, caption))
    return table


def record(
    folder: Path,
    notebook: str,
    metrics: Mapping[str, Any],
    summary: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Write ``<folder>/records/<notebook>.json``: the notebook's named metrics and what it adds to
    the run's summary.

    Returns the metrics as a small table. The pipeline counts a notebook as finished only with this
    file.
    """
    content = {"metrics": dict(metrics), "summary": dict(summary or {})}
    write_json(folder / "records" / f"{notebook}.json", content, sealed=True)
    values = [cell_text(value) for value in metrics.values()]
    return pd.DataFrame({"metric": list(metrics), "value": values})
