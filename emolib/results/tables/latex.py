"""LaTeX that fits: a table in one column of the CVPR template, in both where it must be, wide texts
in lines.

Needs ``booktabs``, and ``graphicx`` for the tables that are scaled; the template loads both. Widths
are estimated with the metrics of STIX, a Times like the template's own font.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pandas as pd
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from emolib.results.tables.text import cell_text

COLUMN, TEXT = 237.13, 496.85  # TeX points: \columnwidth and \textwidth of the CVPR template
FONT = 8  # points, \footnotesize
GAP = 8.0  # points between columns
NARROWEST = 55.0  # points, of a column whose texts are broken into lines
HEADER_LINES = 3  # about as many as a header that is wider than its cells is broken into
SAFETY = 1.06  # of the estimate: the fonts differ a little
NUMBER = re.compile(r"[-+−–±\d.,:%\[\]() k]*")
MINUS = re.compile(r"(?<![\w-])-(?=\d)")  # of a number, not in a name
SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "%": r"\%",
        "&": r"\&",
        "_": r"\_",
        "#": r"\#",
        "$": r"\$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "−": r"$-$",
        "–": "--",
        "…": r"\ldots{}",
    }
)


@dataclass
class Column:
    """One column: its header in lines, its cells, and how wide it is; ``wraps``: its texts may be
    broken into lines.
    """

    header: list[str]
    cells: list[str]
    natural: float  # points
    wraps: bool
    width: float | None = None  # points, set where texts are broken

    @property
    def specification(self) -> str:
        """Its letter in the head of ``tabular``."""
        if self.width is not None:
            return f"p{{{self.width:.1f}pt}}"
        return "r" if all(NUMBER.fullmatch(cell) for cell in self.cells) else "l"

    def text(self, index: int) -> str:
        """One cell of the body."""
        text = MINUS.sub("$-$", self.cells[index].translate(SPECIAL))
        return rf"\raggedright {text}" if self.width is not None else text


def latex(table: pd.DataFrame, name: str, caption: str) -> str:
    """The table with booktabs rules. One that is wider than a column goes over both, as a
    supplement would have it.
    """
    rows = [[cell_text(cell) for cell in row] for row in table.itertuples(index=False)]
    columns = [_column(str(header), [row[i] for row in rows]) for i, header in enumerate(table)]
    environment, scaled = _fit(columns)
    heads = [_stack(column.header) for column in columns]
    lines = [_line(heads)]
    body = [_line([column.text(i) for column in columns]) for i in range(len(rows))]
    specification = "".join(column.specification for column in columns)
    tabular = [
        rf"\begin{{tabular}}{{@{{}}{specification}@{{}}}}",
        r"\toprule",
        *lines,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    if scaled:
        tabular = [r"\resizebox{\linewidth}{!}{%", *tabular, "}"]
    return "\n".join(
        [
            rf"\begin{{{environment}}}",
            r"\centering",
            r"\footnotesize",
            rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}",
            rf"\caption{{{caption.translate(SPECIAL)}}}",
            rf"\label{{tab:{name.replace('_', '-')}}}",
            *tabular,
            rf"\end{{{environment}}}",
            "",
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \tabularnewline"


def _stack(lines: Sequence[str]) -> str:
    """A header in lines, one above the other."""
    texts = [line.translate(SPECIAL) for line in lines]
    if len(texts) == 1:
        return texts[0]
    stacked = r" \\ ".join(texts)
    return rf"\shortstack{{{stacked}}}"


def _column(header: str, cells: list[str]) -> Column:
    """A column whose header is broken where it is wider than the cells."""
    widest = max(map(text_width, cells), default=0.0)
    longest_word = max(map(text_width, header.split()), default=0.0)
    lines = _broken(header, max(widest, longest_word, text_width(header) / HEADER_LINES))
    natural = max([widest, *map(text_width, lines)])
    wraps = any(" " in cell and not NUMBER.fullmatch(cell) for cell in cells)
    return Column(lines, cells, natural, wraps and natural > NARROWEST)


def _broken(text: str, width: float) -> list[str]:
    """``text`` in lines of at most ``width`` points, broken at spaces."""
    lines: list[str] = []
    for word in text.split() or [""]:
        together = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(together) <= width:
            lines[-1] = together
        else:
            lines.append(word)
    return lines


def _fit(columns: list[Column]) -> tuple[str, bool]:
    """The environment that holds the columns, and whether they have to be scaled; sets the width of
    broken texts.
    """
    gaps = GAP * (len(columns) - 1)
    for environment, available in (("table", COLUMN), ("table*", TEXT)):
        if sum(column.natural for column in columns) + gaps <= available:
            return environment, False
        if _break_texts(columns, available - gaps):
            return environment, False
    return "table*", True


def _break_texts(columns: list[Column], available: float) -> bool:
    """Give each column that wraps a share of what the others leave; False, and nothing set, where
    that is too little.
    """
    wrapped = [column for column in columns if column.wraps]
    rest = available - sum(column.natural for column in columns if not column.wraps)
    if not wrapped or rest < sum(_least(column) for column in wrapped):
        return False
    spare = rest - sum(_least(column) for column in wrapped)
    wish = sum(column.natural - _least(column) for column in wrapped)
    for column in wrapped:
        more = spare * (column.natural - _least(column)) / wish if wish > 0 else 0.0
        column.width = min(column.natural, _least(column) + more)
        column.header = _broken(" ".join(column.header), column.width)
    return True


def _least(column: Column) -> float:
    """How narrow a column's texts may be broken: no word is cut, and none has more than about four
    lines.
    """
    words = [word for text in [" ".join(column.header), *column.cells] for word in text.split()]
    return max(NARROWEST, column.natural / 4, *map(text_width, words))


@cache
def text_width(text: str) -> float:
    """Width of ``text`` in TeX points at the table's size, somewhat on the wide side."""
    font = FontProperties(family="STIXGeneral", size=FONT)
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return SAFETY * width * 72.27 / 72
