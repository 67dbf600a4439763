"""Tables and a notebook's metrics on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emolib.results.tables.latex import latex
from emolib.results.tables.text import cell_text, markdown
from emolib.system.files import write_json, write_text


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
