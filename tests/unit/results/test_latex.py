r"""LaTeX that fits: what a table's environment is, and, where a TeX is installed, no overfull box
in two columns.
"""

import re
import shutil
import subprocess

import pandas as pd
import pytest

from emolib.results.tables import latex
from emolib.results.tables.latex import COLUMN, TEXT, text_width

LONG = "Choosing the best epoch on validation raises its score, which nobody doubts."
SCORE = "0.912 [0.890, 0.931]"
NARROW = pd.DataFrame({"Method": ["Ours (10 frames)", "50 % of a_b & c"], "Result": ["0.28", "–"]})
CLAIMS = pd.DataFrame({"Claim": [LONG, "Short."], "Outcome": ["undecided", "supported"]})
WIDE = pd.DataFrame({f"Macro-F1 of part {i}": [SCORE, SCORE] for i in range(5)})
WIDEST = pd.DataFrame({f"Macro-F1 of part {i}": [SCORE, SCORE] for i in range(12)})
MIXED = pd.DataFrame(
    {"Choice": [LONG], "Why": [LONG[::-1]], **{f"T = {i}": [SCORE] for i in range(4)}}
)
TABLES = {"narrow": NARROW, "claims": CLAIMS, "wide": WIDE, "widest": WIDEST, "mixed": MIXED}
DOCUMENT = r"""\documentclass[10pt,twocolumn,letterpaper]{article}
\usepackage{times,graphicx,booktabs}
\setlength{\textwidth}{6.875in}\setlength{\columnsep}{0.3125in}
\setlength{\oddsidemargin}{-0.1875in}\hfuzz=0.05pt
\begin{document}
\typeout{COLUMN \the\columnwidth}
%s
\end{document}
"""


@pytest.mark.parametrize(
    ("name", "environment", "scaled"),
    [
        ("narrow", "table", False),
        ("claims", "table", False),
        ("wide", "table*", False),
        ("widest", "table*", True),
        ("mixed", "table*", False),
    ],
)
def test_a_table_takes_one_column_where_it_can(name, environment, scaled):
    text = latex(TABLES[name], name, "A caption")
    assert rf"\begin{{{environment}}}" in text and rf"\end{{{environment}}}" in text
    assert (r"\resizebox" in text) == scaled
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]


def test_long_texts_are_broken_into_lines_and_numbers_are_not():
    text = latex(MIXED, "mixed", "A caption")
    (head,) = re.findall(r"begin\{tabular\}\{@\{\}(.*)@\{\}\}", text)
    assert re.fullmatch(r"(p\{[\d.]+pt\}){2}r{4}", head)
    widths = [float(width) for width in re.findall(r"p\{([\d.]+)pt\}", head)]
    assert sum(widths) + 4 * text_width(SCORE) < TEXT
    assert text.count(r"\raggedright") == 2


def test_what_latex_reads_as_commands_is_escaped():
    text = latex(NARROW, "a_b", "50 % of {it}\\ ^~")
    assert r"50 \% of a\_b \& c" in text and r"\label{tab:a-b}" in text
    assert r"\caption{50 \% of \{it\}\textbackslash{} \textasciicircum{}\textasciitilde{}}" in text


def test_a_minus_is_one_and_a_name_keeps_its_hyphens():
    table = pd.DataFrame({"Clip": ["138-30-1920x1080"], "Change": ["-0.1 [-0.2, +0.1]"]})
    text = latex(table, "x", "y")
    assert "138-30-1920x1080 & $-$0.1 [$-$0.2, +0.1]" in text


def test_a_header_wider_than_its_cells_is_stacked():
    table = pd.DataFrame({"Macro-F1 without it": ["0.1"], "x": ["0.2"]})
    assert r"\shortstack{Macro-F1 \\ without it}" in latex(table, "x", "y")


def overfull(body: str, folder) -> list[str]:
    """The boxes that stick out of a two-column page of the CVPR template's measures."""
    (folder / "page.tex").write_text(DOCUMENT % body, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    (column,) = re.findall(r"COLUMN ([\d.]+)pt", done.stdout)
    assert abs(float(column) - COLUMN) < 0.5, "the measures of the template"
    return re.findall(r"Overfull .*", done.stdout)


def has_tex() -> bool:
    """Whether there is a TeX with what the page needs."""
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        return False
    files = ["booktabs.sty", "graphicx.sty", "ptmr7t.tfm"]
    return subprocess.run(["kpsewhich", *files], capture_output=True).returncode == 0


needs_tex = pytest.mark.skipif(not has_tex(), reason="no pdflatex with booktabs and Times here")


@needs_tex
def test_no_table_sticks_out(tmp_path):
    body = "\n".join(latex(table, name, f"Caption of {name}") for name, table in TABLES.items())
    assert overfull(body, tmp_path) == []


@needs_tex
def test_an_overfull_box_would_be_seen(tmp_path):
    assert overfull(r"\noindent\rule{300pt}{1pt}", tmp_path)
