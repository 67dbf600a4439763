"""Numbers and tables as text. Missing is not zero: it is an en dash."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

NONE = "–"
ABSENT = "not in this data set"  # said of a class that nothing is annotated with


def number(value: Any, digits: int = 3) -> str:
    """A number with ``digits`` decimals, an en dash for none."""
    return NONE if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def with_interval(value: float, interval: Sequence[float]) -> str:
    """``0.912 [0.890, 0.931]``."""
    return f"{number(value)} [{number(interval[0])}, {number(interval[1])}]"


def signed(value: float, interval: Sequence[float]) -> str:
    """A difference: ``+0.012 [-0.003, +0.027]``."""
    return f"{value:+.3f} [{interval[0]:+.3f}, {interval[1]:+.3f}]"


def in_column(name: str, origin: str) -> str:
    """The name of a column of ours, with what its numbers are made from: ``Ours, synthetic``."""
    return f"{name}, {origin}" if origin else name


def cell_text(cell: Any) -> str:
    """What a cell shows: floats with four decimals, the rest as it is."""
    is_number = cell is None or isinstance(cell, float | np.floating)
    return number(cell, 4) if is_number else str(cell)


def markdown(table: pd.DataFrame, caption: str) -> str:
    """A Markdown table under its caption; numbers to the right."""
    rule = ["---"] + ["---:"] * (table.shape[1] - 1)
    rows = [list(table.columns), rule]
    rows += [[cell_text(cell) for cell in row] for row in table.itertuples(index=False)]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    return f"{caption}\n\n" + "\n".join(lines) + "\n"
