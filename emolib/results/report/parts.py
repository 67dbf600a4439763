"""Parts of the report that are made of numbers: tables, the reproducibility sheet, settings, and
the banner above them.
"""

import csv
import dataclasses
import html
from collections.abc import Sequence
from pathlib import Path

from emolib.config import Experiment, preset
from emolib.errors import EmolibError
from emolib.evaluation.identity import differences
from emolib.results import checklist
from emolib.results.report.notebooks import without_paths
from emolib.system.files import read_json

TABLES = {  # of figures/, below the headline table, where their notebooks have run
    "scores": "The main run",
    "per_class": "The main run by class",
    "test_table": "Test set",
    "components_claims": "Components",
    "choices_table": "Silent choices",
    "faults_table": "Faults of the released code",
    "recipe_table": "Stronger recipe",
    "published_table": "The paper's numbers, by version",
}
ORIGINS = {
    "synthetic": "The data or the encoders are generated: these numbers show that the method "
    "works as built, and say nothing about real faces. Compare the shape of the curves with the "
    "paper's, not their level.",
    "random weights": "The encoders hold random weights: these numbers only show that "
    "everything runs.",
}
FACES = "This page shows faces of the data set; its licence says who may see them."


def banner(run: Path, experiment: Experiment) -> str:
    """What the numbers are made from, and, with data of one's own, whose faces the page shows."""
    origin = str(read_json(run / "metrics.json")["origin"])
    notes = {name.capitalize(): text for name, text in ORIGINS.items() if name in origin}
    if experiment.data:
        notes["Faces"] = FACES
    if said := differences([run])[run]:
        notes["Not current"] = f"This run was {said}."
    lines = [f"<strong>{name}.</strong> {text}" for name, text in notes.items()]
    return "".join(f'<p class="banner" role="note">{line}</p>' for line in lines)


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of texts; the first cell of each row is its header. Wide ones scroll inside a
    region of their own.
    """
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    text = html.escape(caption, quote=True)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{text}">'
        f"<table><caption><span>{text}</span></caption>"
        f"<thead><tr>{top}</tr></thead><tbody>{''.join(map(_row, rows))}</tbody></table></div>"
    )


def _row(cells: Sequence[str]) -> str:
    name, *values = map(html.escape, cells)
    body = "".join(f"<td>{value}</td>" for value in values)
    return f'<tr><th scope="row">{name}</th>{body}</tr>'


def results(run: Path) -> str:
    """The headline table and the scores of the main run, as the notebooks wrote them."""
    figures = run / "figures"
    others = [name for name in TABLES if (figures / f"{name}.csv").is_file()]
    return "".join(_written(figures / name) for name in ["window_table", *others])


def _written(path: Path) -> str:
    """A table of ``figures/``: its CSV under the caption that its Markdown begins with."""
    with open(path.with_suffix(".csv"), encoding="utf-8", newline="") as file:
        head, *rows = list(csv.reader(file))
    try:
        caption = path.with_suffix(".md").read_text(encoding="utf-8").split("\n", 1)[0]
    except FileNotFoundError:
        caption = TABLES.get(path.name, path.name)
    heading = f"<h3>{TABLES[path.name]}</h3>" if path.name in TABLES else ""
    return heading + table(caption, head, rows)


def sheet(run: Path) -> str:
    """The reproducibility sheet, and how many clips and frames each split has.

    Raises EmolibError when a run of its ablations is damaged or of another version.
    """
    try:
        rows = checklist.rows(run)
    except EmolibError as error:
        remedy = f"or free this run (`emolib clean {run.resolve().name}`) and run it again"
        raise EmolibError(f"{error}, {remedy}") from error
    splits = run / "figures" / "data_overview"
    overview = _written(splits) if splits.with_suffix(".csv").is_file() else ""
    return table("What made these numbers", ("What", "Value"), rows) + overview


def settings(experiment: Experiment) -> str:
    """Every setting with its meaning and source, beside the value of preset ``paper``. Folders go
    by their names only.
    """
    here, reference = (dataclasses.asdict(each) for each in (experiment, preset("paper")))
    for folder in ("data", "weights"):
        here[folder] = Path(here[folder]).name
    rows = []
    for field in dataclasses.fields(Experiment):
        value, other = here[field.name], reference[field.name]
        other = "same" if value == other else str(other)
        meaning, source = field.metadata["doc"], field.metadata["source"]
        rows.append((field.name, without_paths(str(value)), other, meaning, source))
    head = ("Setting", "Here", "Preset paper", "Meaning", "Source")
    return table("All settings of the main run", head, rows)
