"""The report: one HTML page of a finished run that opens anywhere, without a network, and can be sent to a colleague.

Index, headline table, figures, reproducibility sheet, settings, then the executed notebooks by nbconvert. No scripts,
nothing fetched (a content security policy forbids it), no path of this machine. The style is ``assets/report.css``.
"""

import csv
import dataclasses
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import emolib
from emolib import paper
from emolib.config import Experiment, preset
from emolib.errors import EmolibError, WrongCall, nearest
from emolib.results import checklist
from emolib.results.notebook_outputs import HIDDEN, is_noise
from emolib.system.files import read_json, write_text

NEEDED = (
    "experiment.json",
    "metrics.json",
    "provenance.json",
    "summary.json",
    "figures/window_table.csv",
)
FIELDS = {  # of NEEDED, what the page shows
    "metrics.json": ("origin", "experiment", "parameters", "selection", "best_epoch"),
    "provenance.json": (
        "emolib",
        "git_commit",
        "git_dirty",
        "python",
        "platform",
        "packages",
        "device",
        "cores",
        "threads",
        "seed",
        "wall_seconds",
    ),
    "summary.json": ("notebooks",),
}
TABLES = {  # of figures/, below the headline table, where their notebooks have run
    "scores": "The main run",
    "per_class": "The main run by class",
    "test_table": "Test set",
    "components_claims": "Components",
    "choices_table": "Silent choices",
    "recipe_table": "Stronger recipe",
    "published_table": "The paper's numbers, by version",
}
PATHS = re.compile(r"(?<![\w.~/<])(?:/[^\s/\"'<>:,;)\]]+){2,}")  # absolute, of two parts or more
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
ACTIVE = (
    "script",
    "style",
    "link",
    "iframe",
    "object",
    "embed",
    "form",
    "input",
    "button",
    "video",
    "audio",
)
ORIGINS = {
    "synthetic": "The data or the encoders are generated: these numbers show that the method works as built, and say nothing about real "
    "faces. Compare their shape, never their height, with the paper's.",
    "random weights": "The encoders hold random weights: these numbers only show that everything runs.",
}
Cells = Sequence[Sequence[str]]


def write(run: Path, out: Path | None = None) -> Path:
    """Write the report of the run in folder ``run`` to ``out`` (by default ``report.html`` in that folder); returns its path.

    Notebook 07 is left out: it shows the people of a film. Raises WrongCall where there is no run, EmolibError naming
    what is missing in an unfinished one.
    """
    run = Path(run)
    _check(run)
    out = Path(out) if out else run / "report.html"
    if out.is_dir():
        raise WrongCall(
            f"{out} is a folder; give the name of a file, such as {out / 'report.html'}"
        )
    write_text(out, page(run))
    return out


def page(run: Path) -> str:
    """The whole page as HTML text."""
    metrics = read_json(run / "metrics.json")
    experiment = Experiment.load(run / "experiment.json")
    books = {path.stem: notebook(path) for path in notebooks(run)}
    parts = {
        "results": ("Results", results(run)),
        "figures": ("Figures", gallery([body for _, body in reversed(books.values())])),
        "reproducibility": ("Reproducibility sheet", sheet(run)),
        "settings": ("Settings", settings(experiment)),
        "notebooks": ("Notebooks", "".join(section(stem, *book) for stem, book in books.items())),
    }
    name = html.escape(run.resolve().name)
    links = "".join(f'<li><a href="#{key}">{title}</a></li>' for key, (title, _) in parts.items())
    main = "".join(
        f'<section id="{key}" aria-labelledby="{key}-title"><h2 id="{key}-title">{title}</h2>{body}</section>'
        for key, (title, body) in parts.items()
    )
    style = (Path(emolib.__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>emolib: {name}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="color-scheme" content="light dark">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<style>\n{style}</style>\n</head>\n<body>\n'
        f'<a class="skip" href="#results">Skip to the results</a>\n<header><h1>Run “{name}”</h1><p>{html.escape(paper.TITLE)}, '
        f"arXiv {paper.ARXIV}; preset <code>{experiment.preset}</code></p>{banner(metrics, experiment)}</header>\n"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n<main>{main}</main>\n'
        f"<footer><p>Made by emolib {html.escape(str(read_json(run / 'provenance.json')['emolib']))}.</p></footer>\n</body>\n</html>\n"
    )


def _check(run: Path) -> None:
    """Refuse a folder that is no run, or one that is not finished."""
    if not (run / "experiment.json").is_file():
        others = [path.parent.name for path in run.parent.glob("*/experiment.json")]
        raise WrongCall(
            f"{run}: no run there{nearest(run.name, others)}; `emolib run` makes the demo's"
        )
    experiment = Experiment.load(run / "experiment.json")
    missing = [name for name in NEEDED if not (run / name).is_file()]
    missing += [] if notebooks(run) else ["notebooks/"]
    remedy = f"`emolib run --preset {experiment.preset} --name {run.resolve().name}`"
    if missing:
        raise EmolibError(
            f"{run}: the run is not finished ({', '.join(missing)} missing); {remedy} goes on where it stopped"
        )
    for name, fields in FIELDS.items():
        content = read_json(run / name)
        lacking = (
            [field for field in fields if field not in content]
            if isinstance(content, dict)
            else fields
        )
        if lacking:
            first = (
                ""
                if name == "summary.json"
                else f"delete metrics.json and notebooks/ in {run}; then "
            )
            raise EmolibError(
                f"{run / name}: written by another version of emolib, lacks {', '.join(lacking)}; {first}{remedy} writes it anew"
            )


def notebooks(run: Path) -> list[Path]:
    """The run's executed notebooks that ended well (the pipeline has marked them), without 08: videos show people."""
    found = sorted((run / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    return [
        path for path in found if path.name[:2] != "08" and "emolib" in read_json(path)["metadata"]
    ]


def banner(metrics: Mapping[str, Any], experiment: Experiment) -> str:
    """What the numbers are made from, and, with data of one's own, whose faces the page shows."""
    origin = str(metrics["origin"])
    lines = [
        f"<strong>{name.capitalize()}.</strong> {text}"
        for name, text in ORIGINS.items()
        if name in origin
    ]
    if experiment.data:
        lines.append(
            "<strong>Faces.</strong> This page shows faces of the data set; its licence says who may see them."
        )
    return "".join(f'<p class="banner" role="note">{line}</p>' for line in lines)


# tables


def table(caption: str, head: Sequence[str], rows: Cells) -> str:
    """An HTML table of texts; the first cell of each row is its header. Wide ones scroll inside a region of their own."""
    top = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{html.escape(row[0])}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    text = html.escape(caption, quote=True)
    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{text}"><table><caption><span>{text}</span></caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def results(run: Path) -> str:
    """The headline table and the scores of the main run, as the notebooks wrote them."""
    names = [
        "window_table",
        *(name for name in TABLES if (run / "figures" / f"{name}.csv").is_file()),
    ]
    return "".join(_written(run / "figures" / name) for name in names)


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

    Raises EmolibError when a run of its ablations is of another version.
    """
    try:
        rows = checklist.rows(run)
    except KeyError as error:
        remedy = f"free this run (`emolib clean {run.resolve().name}`) and run it again"
        raise EmolibError(
            f"{run}: an ablation's run was written by another version of emolib, lacks {error}; {remedy}"
        ) from error
    splits = run / "figures" / "data_overview"
    return table("What made these numbers", ("What", "Value"), rows) + (
        _written(splits) if splits.with_suffix(".csv").is_file() else ""
    )


def settings(experiment: Experiment) -> str:
    """Every setting with its meaning and source, beside the value of preset ``paper``. Folders go by their names only."""
    mine, theirs = dataclasses.asdict(experiment), dataclasses.asdict(preset("paper"))
    rows = []
    for field in dataclasses.fields(Experiment):
        value = (
            Path(mine[field.name]).name if field.name in ("data", "weights") else mine[field.name]
        )
        other = "same" if value == theirs[field.name] else str(theirs[field.name])
        rows.append(
            (
                field.name,
                without_paths(str(value)),
                other,
                field.metadata["doc"],
                field.metadata["source"],
            )
        )
    return table(
        "All settings of the main run",
        ("Setting", "Here", "Preset paper", "Meaning", "Source"),
        rows,
    )


# notebooks


def notebook(path: Path) -> tuple[str, Any]:
    """The title and the cleaned body (BeautifulSoup) of one executed notebook; progress bars are left out."""
    import nbformat
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter
    from nbconvert.preprocessors import TagRemovePreprocessor

    content = nbformat.read(path, as_version=4)
    content.metadata.pop("widgets", None)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_noise(output)]
    exporter = HTMLExporter(template_name="basic", exclude_anchor_links=True)
    exporter.register_preprocessor(
        TagRemovePreprocessor(remove_input_tags={HIDDEN}, enabled=True), enabled=True
    )
    body, _ = exporter.from_notebook_node(content)
    soup = BeautifulSoup(body, "html.parser")
    title = soup.find("h1")
    text = title.get_text() if title else path.stem
    if title:
        title.decompose()
    clean(soup, text)
    return text, soup


def clean(soup: Any, title: str) -> None:
    """In place: nothing active, nothing fetched, headings below the section's, tables with scopes, no paths, no ids."""
    for tag in soup.find_all(ACTIVE):
        tag.decompose()
    for tag in soup.find_all(True):
        for name in [
            name
            for name in tag.attrs
            if name in ("id", "style", "border", "tabindex") or name.startswith("on")
        ]:
            del tag[name]
        if re.fullmatch(r"h[1-6]", tag.name):
            tag.name = f"h{min(6, int(tag.name[1]) + 2)}"
    for image in soup.find_all("img"):
        if not image.get("src", "").startswith("data:"):
            image.replace_with(image.get("alt") or "a picture that is not part of this page")
    for prompt in soup.select("div.prompt"):
        prompt.decompose()
    for number, found in enumerate(soup.find_all("table"), 1):
        _scopes(found)
        label = f"Table {number} of notebook {title}"
        found.wrap(
            soup.new_tag(
                "div",
                attrs={"class": "wide", "role": "region", "tabindex": "0", "aria-label": label},
            )
        )
    for text in soup.find_all(string=PATHS):
        text.replace_with(without_paths(text))
    for tag in soup.find_all(["img", "a"]):
        tag.attrs |= {
            name: without_paths(tag[name]) for name in ("alt", "title", "href") if tag.get(name)
        }


def _scopes(found: Any) -> None:
    """Give a table's headers their scopes, and make empty ones plain cells."""
    for cell in found.find_all("th"):
        if cell.get_text(strip=True):
            cell["scope"] = "col" if cell.find_parent("thead") else "row"
        else:
            cell.name = "td"


def without_paths(text: str) -> str:
    """``text`` with every absolute path cut to its last part, ``…/name``."""
    return PATHS.sub(lambda match: "…/" + match[0].rsplit("/", 1)[-1], text)


def gallery(bodies: Sequence[Any]) -> str:
    """The figures of all notebooks, each once, with its alternative text; its title is the caption."""
    figures = {image["src"]: image for body in bodies for image in body.find_all("img")}
    items = []
    for image in figures.values():
        alt, title = (
            html.escape(image["alt"], quote=True),
            html.escape(image.get("title") or image["alt"]),
        )
        items.append(
            f'<figure><img src="{image["src"]}" alt="{alt}"><figcaption>{title}</figcaption></figure>'
        )
    return f'<div class="gallery">{"".join(items)}</div>'


def section(stem: str, title: str, body: Any) -> str:
    """One notebook, folded up."""
    return f'<details id="{html.escape(stem)}"><summary><h3>{html.escape(title)}</h3></summary><div class="notebook">{body}</div></details>'
