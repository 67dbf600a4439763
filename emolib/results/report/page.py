"""The whole page: three sentences and a curve, index, headline table, figures, reproducibility
sheet, settings, then the executed notebooks.

No scripts, nothing fetched (a content security policy forbids it), no path of this machine. The
frame of the page is ``assets/report.html``, its style ``assets/report.css``.
"""

import html
from contextlib import nullcontext
from pathlib import Path
from string import Template

import emolib
from emolib import paper
from emolib.config import Experiment
from emolib.errors import WrongCall
from emolib.results.report.finished import check, notebooks
from emolib.results.report.notebooks import gallery, notebook, section
from emolib.results.report.opening import opening
from emolib.results.report.parts import banner, results, settings, sheet
from emolib.system.files import read_json, write_text
from emolib.system.runs import writing


def write(run: Path, out: Path | None = None) -> Path:
    """Write the report of the run in folder ``run`` to ``out`` (by default ``report.html`` in that
    folder); returns its path.

    The notebook of a reader's own video is left out: it shows people. Raises WrongCall where there
    is no run, EmolibError naming what is missing in an unfinished one, or the process that writes
    into the run now.
    """
    run = Path(run)
    check(run)
    out = Path(out) if out else run / "report.html"
    if out.is_dir():
        example = out / "report.html"
        raise WrongCall(f"{out} is a folder; give the name of a file, such as {example}")
    # Only a page in the run's own folder is written into the run.
    with writing(run) if out.resolve().is_relative_to(run.resolve()) else nullcontext():
        write_text(out, page(run))
    return out


def page(run: Path) -> str:
    """The whole page as HTML text."""
    provenance = read_json(run / "provenance.json")
    experiment = Experiment.load(run / "experiment.json")
    books = {path.stem: notebook(path) for path in notebooks(run)}
    newest_first = [body for _, body in reversed(books.values())]
    folded = [section(stem, *book) for stem, book in books.items()]
    parts = {
        "results": ("Results", results(run)),
        "figures": ("Figures", gallery(newest_first)),
        "reproducibility": ("Reproducibility sheet", sheet(run)),
        "settings": ("Settings", settings(experiment)),
        "notebooks": ("Notebooks", "".join(folded)),
    }
    links = [f'<li><a href="#{key}">{title}</a></li>' for key, (title, _) in parts.items()]
    main = [_part(key, title, body) for key, (title, body) in parts.items()]
    assets = Path(emolib.__file__).parent / "assets"
    return Template((assets / "report.html").read_text(encoding="utf-8")).substitute(
        name=html.escape(run.resolve().name),
        style=(assets / "report.css").read_text(encoding="utf-8"),
        paper=html.escape(f"{paper.TITLE}, arXiv {paper.ARXIV}"),
        preset=experiment.preset,
        opening=opening(run, experiment),
        banner=banner(run, experiment),
        links="".join(links),
        main="".join(main),
        version=html.escape(str(provenance["emolib"])),
    )


def _part(key: str, title: str, body: str) -> str:
    heading = f'<h2 id="{key}-title">{title}</h2>'
    return f'<section id="{key}" aria-labelledby="{key}-title">{heading}{body}</section>'
