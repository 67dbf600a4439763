"""Tables: frames of numbers in the shapes of the paper's and the poster's tables, as CSV, Markdown
and LaTeX.

Ours and published numbers stand in columns or tables of their own and are never mixed; a table of
generated data says so in its caption or in its columns' names.
"""

from emolib.results.tables.classes import (
    class_window_table,
    counts_table,
    per_class_table,
)
from emolib.results.tables.clips import clip_table, influence_table
from emolib.results.tables.files import caption, record, write
from emolib.results.tables.latex import latex
from emolib.results.tables.paper_shapes import (
    paper_tables,
    poster_class_table,
    poster_table,
    side_by_side,
    table1,
    table2,
    v1_table1,
)
from emolib.results.tables.text import markdown, number, signed, with_interval
from emolib.results.tables.windows import (
    ceiling_row,
    published_table,
    submission_table,
    window_overview,
    window_rows,
    window_table,
)

__all__ = [
    "caption",
    "ceiling_row",
    "class_window_table",
    "clip_table",
    "counts_table",
    "influence_table",
    "latex",
    "markdown",
    "number",
    "paper_tables",
    "per_class_table",
    "poster_class_table",
    "poster_table",
    "published_table",
    "record",
    "side_by_side",
    "signed",
    "submission_table",
    "table1",
    "table2",
    "v1_table1",
    "window_overview",
    "window_rows",
    "window_table",
    "with_interval",
    "write",
]
