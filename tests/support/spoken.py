"""What the notebooks say in words, computed once more from a run's ``summary.json``.

A number in the summary that makes a shown sentence false gives another sentence here, and
:func:`contradictions` names it.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from bs4 import BeautifulSoup

from emolib import paper
from emolib.evaluation import metrics
from emolib.results import sentences

Summary = Mapping[str, Any]


def spoken(summary: Summary) -> dict[str, list[str]]:
    """Number of a notebook -> its sentences, of those notebooks that the summary knows."""
    speakers = {
        "03": ("prompt_cosines", _model),
        "04": ("scores", _training),
        "05": ("class_gains", _windows),
        "06": ("train_ratio", _classes),
        "07": ("components_table", _components),
        "09": ("choices_table", _choices),
        "10": ("recipe_table", _recipe),
    }
    return {
        number: list(said(summary)) for number, (key, said) in speakers.items() if key in summary
    }


def _model(summary: Summary) -> Iterator[str]:
    yield sentences.prompts(np.array(summary["prompt_cosines"]))


def _training(summary: Summary) -> Iterator[str]:
    frame = summary["scores"]["frame"]
    ceiling = {
        row["inputs"]: row["macro_f1"]
        for row in summary["ceilings"]
        if (row["window"], row["protocol"]) == (summary["window"], "frame")
    }
    best, still = ceiling.get("motion+voice"), ceiling.get("still+voice")
    yield sentences.main_score(frame["macro_f1"], best, still)
    yield sentences.weakest_pair(frame["confusion"])
    yield sentences.delays(**summary["delays"])
    yield sentences.confidence(summary["calibration"])


def _windows(summary: Summary) -> Iterator[str]:
    rows = {row["window"]: row for row in summary["window_table"] if row["protocol"] == "frame"}
    pair = min(rows), max(rows)
    short, long = (rows[window] for window in pair)
    paired = metrics.over_seeds(np.subtract(long["values"], short["values"]))
    ceilings = short["ceiling"], long["ceiling"]
    yield sentences.window_gain(pair, paired["mean"], paired["interval"], ceilings)
    synthetic = "synthetic" in summary["origin"]
    yield sentences.class_gains(pair, summary["class_gains"], synthetic)


def _classes(summary: Summary) -> Iterator[str]:
    yield sentences.poster_window()
    f1 = pd.Series([entry["f1"] for entry in summary["scores"]["frame"]["per_class"]])
    ours = f1.corr(pd.Series(summary["train_ratio"]), method="spearman")
    poster = pd.DataFrame({"f1": paper.CLASS_F1, "ratio": paper.TRAIN_RATIO})
    yield sentences.imbalance(ours, poster["f1"].corr(poster["ratio"], method="spearman"))


def _components(summary: Summary) -> Iterator[str]:
    yield sentences.known_answers(summary["components_table"])


def _choices(summary: Summary) -> Iterator[str]:
    yield sentences.decisions(summary["choices_table"])
    if "faults_table" in summary:
        yield sentences.costs(summary["faults_table"])


def _recipe(summary: Summary) -> Iterator[str]:
    yield sentences.decisions(summary["recipe_table"])
    yield sentences.decisions(summary["imbalance_table"])


def contradictions(summary: Summary, folder: Path) -> list[str]:
    """Sentences of the summary that the executed notebooks in ``folder`` do not say, each after its
    notebook's number; notebooks without outputs say nothing and are left out.
    """
    missing = []
    for number, said in spoken(summary).items():
        shown = texts(folder, number)
        missing += [f"{number}: {text}" for text in said if shown and text not in shown]
    if "recipe" in summary and recipe_rows(folder) != summary["recipe"]:
        missing.append("04: the recipe's rows, each with the source of the paper's value")
    return missing


def texts(folder: Path, number: str) -> list[str]:
    """Everything that the cells of a notebook have shown as Markdown."""
    return [
        "".join(output["data"]["text/markdown"])
        for _, output in _outputs(folder, number)
        if "text/markdown" in output.get("data", {})
    ]


def recipe_rows(folder: Path) -> list[str]:
    """Settings in notebook 04's table of the recipe that have a meaning and a source there."""
    (table,) = [
        "".join(output["data"]["text/html"])
        for cell, output in _outputs(folder, "04")
        if cell == "recipe" and "text/html" in output.get("data", {})
    ]
    page = BeautifulSoup(table, "html.parser")
    head = [cell.get_text() for cell in page.select("thead th")]
    columns = [head.index(name) - 1 for name in ("meaning", "source of that value")]
    rows = []
    for row in page.select("tbody tr"):
        cells = [cell.get_text(strip=True) for cell in row.select("td")]
        if all(cells[column] and "..." not in cells[column] for column in columns):
            rows.append(row.th.get_text())
    return rows


def _outputs(folder: Path, number: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of its cell, and each output of a notebook."""
    (path,) = folder.glob(f"{number}_*.ipynb")
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            yield cell["id"], output
