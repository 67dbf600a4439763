"""Executed notebooks as parts of the report: nothing active, nothing fetched, no path of this
machine.
"""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emolib.results.notebook_outputs import HIDDEN, is_noise

PATHS = re.compile(r"(?<![\w.~/<])(?:/[^\s/\"'<>:,;)\]]+){2,}")  # absolute, of two parts or more
ACTIVE = [
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
]
REMOVED = ("id", "style", "border", "tabindex")  # attributes, beside those that hold code (onclick)


def notebook(path: Path) -> tuple[str, Any]:
    """The title and the cleaned body (BeautifulSoup) of one executed notebook; progress bars are
    left out.
    """
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
    hidden = TagRemovePreprocessor(remove_input_tags={HIDDEN}, enabled=True)
    exporter.register_preprocessor(hidden, enabled=True)
    body, _ = exporter.from_notebook_node(content)
    soup = BeautifulSoup(body, "html.parser")
    title = soup.find("h1")
    text = title.get_text() if title else path.stem
    if title:
        title.decompose()
    clean(soup, text)
    return text, soup


def clean(soup: Any, title: str) -> None:
    """In place: nothing active, nothing fetched, headings below the section's, tables with scopes,
    no paths, no ids.
    """
    for tag in soup.find_all(ACTIVE):
        tag.decompose()
    for prompt in soup.select("div.prompt"):
        prompt.decompose()
    for tag in soup.find_all(True):
        tag.attrs = {name: value for name, value in tag.attrs.items() if _is_kept(name)}
        if re.fullmatch(r"h[1-6]", tag.name):
            tag.name = f"h{min(6, int(tag.name[1]) + 2)}"
    for image in soup.find_all("img"):
        if not image.get("src", "").startswith("data:"):
            image.replace_with(image.get("alt") or "a picture that is not part of this page")
    for number, table in enumerate(soup.find_all("table"), 1):
        _scopes(table)
        region = {"class": "wide", "role": "region", "tabindex": "0"}
        region["aria-label"] = f"Table {number} of notebook {title}"
        table.wrap(soup.new_tag("div", attrs=region))
    for text in soup.find_all(string=PATHS):
        text.replace_with(without_paths(text))
    for tag in soup.find_all(["img", "a"]):
        for name in ("alt", "title", "href"):
            if tag.get(name):
                tag[name] = without_paths(tag[name])


def _is_kept(attribute: str) -> bool:
    return attribute not in REMOVED and not attribute.startswith("on")


def _scopes(table: Any) -> None:
    """Give a table's headers their scopes, and make empty ones plain cells."""
    for cell in table.find_all("th"):
        if cell.get_text(strip=True):
            cell["scope"] = "col" if cell.find_parent("thead") else "row"
        else:
            cell.name = "td"


def without_paths(text: str) -> str:
    """``text`` with every absolute path cut to its last part, ``…/name``."""
    return PATHS.sub(lambda match: "…/" + match[0].rsplit("/", 1)[-1], text)


def gallery(bodies: Sequence[Any]) -> str:
    """The figures of all notebooks, each once, with its alternative text and its title. A click
    opens one over the whole window, by CSS alone (``:target``).
    """
    images = {image["src"]: image for body in bodies for image in body.find_all("img")}
    figures = [_figure(number, image) for number, image in enumerate(images.values(), 1)]
    return f'<div class="gallery">{"".join(figures)}</div>'


def _figure(number: int, image: Any) -> str:
    alt = html.escape(image["alt"], quote=True)
    title = html.escape(image.get("title") or image["alt"])
    large = f'<a href="#figure-{number}"><img src="{image["src"]}" alt="{alt}"></a>'
    close = f'<a class="close" href="#figures">Close {title}</a>'
    return f'<figure id="figure-{number}">{close}{large}<figcaption>{title}</figcaption></figure>'


def section(stem: str, title: str, body: Any) -> str:
    """One notebook, folded up."""
    summary = f"<summary><h3>{html.escape(title)}</h3></summary>"
    content = f'<div class="notebook">{body}</div>'
    return f'<details id="{html.escape(stem)}">{summary}{content}</details>'
