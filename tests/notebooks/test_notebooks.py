"""The notebooks' form: what a reader, papermill and the pipeline rely on.

They are executed by the tests beside this one.
"""

import ast
import dataclasses
import json
import re
import statistics
import subprocess
import sys

import nbformat
import pytest
from bs4 import BeautifulSoup

from emolib.config import parse_settings, preset
from emolib.pipeline import committed, parameters
from emolib.pipeline.session import Session
from emolib.results.notebook_outputs import HIDDEN
from emolib.system.files import project_root

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))
STEMS = [path.stem for path in NOTEBOOKS]
MEDIAN_CELL, LONGEST_CELL = 6, 24  # lines; the longest is the training loop in plain sight
WIDEST = 88  # columns of a line of code
WORDS_PER_LINE = 8  # of prose to a line of code; about ten is aimed at
OTHER_IMPORTS = {"dataclasses", "numpy", "pandas", "torch", "ipywidgets", "IPython"}
HEADINGS = ("**Aim.**", "**Before you start.**", "**Time.**", "**Contents.**", "**References.**")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    content = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


def source(cell) -> str:
    return "".join(cell["source"])


def tags(cell) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def code(path):
    """Code cells that a reader sees, but for the parameters."""
    return [source(c) for c in cells(path, "code") if not tags(c) & {"parameters", HIDDEN}]


def all_code(path):
    return [source(cell) for cell in cells(path, "code")]


def prose(path) -> str:
    return "\n\n".join(source(cell) for cell in cells(path, "markdown"))


@each_notebook
def test_valid_and_for_any_python_kernel(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    random = [name for name in ids if re.fullmatch(r"[0-9a-f]{8}", name)]
    assert len(set(ids)) == len(ids) and not random, "ids are names, not random"


@each_notebook
def test_parameters_are_flat_literals_and_those_of_the_pipeline(path):
    values = parameters.defaults(path)
    assert {"preset", "name", "data", "weights", "settings"} <= set(values)
    places = {name: values[name] for name in ("data", "weights")}
    chosen = preset(values["preset"], **places, **parse_settings(values["settings"]))
    assert chosen == preset("demo")
    parameters.check(path, {**dict.fromkeys(("name", "data", "weights"), ""), "settings": "a=1"})


@each_notebook
def test_papermill_reads_every_parameter(path):
    """It warns about a line that it cannot read, and about a parameter on such a line."""
    from papermill.inspection import _infer_parameters
    from papermill.iorw import load_notebook_node

    inferred = [p.name for p in _infer_parameters(load_notebook_node(str(path)))]
    assert inferred == list(parameters.defaults(path))


@each_notebook
def test_opens_with_what_a_reader_needs_to_know(path):
    first = source(cells(path, "markdown")[0])
    assert first.startswith(f"# {int(path.name[:2])}. ")
    assert [heading for heading in HEADINGS if heading not in first] == []


@each_notebook
def test_theory_references_expectations_and_exercises(path):
    text = prose(path)
    assert text.count("$$") >= 2, "an equation"
    assert "](https://arxiv.org/abs/2603.11971)" in text, "a link to the paper"
    assert len(re.findall(r"\]\(https://", text)) >= 2, "links to what it builds on"
    assert re.search(r"[Yy]ou should see|[Ll]ook for|[Rr]ead ", text)
    exercises = text.split("\n## Exercises", 1)[1]
    assert 2 <= len(re.findall(r"^\*\*\d\.\*\*", exercises, re.MULTILINE)) <= 3
    assert exercises.count("<details><summary>Solution</summary>") == exercises.count("</details>")
    assert exercises.count("<details>") >= 2 and "Predict, then check" in exercises


@each_notebook
def test_links_lead_to_the_previous_and_the_next(path):
    place, text = STEMS.index(path.stem), prose(path)
    neighbours = [STEMS[i] for i in (place - 1, place + 1) if 0 <= i < len(STEMS)]
    for neighbour in neighbours:
        assert text.count(f"({neighbour}.ipynb)") >= 2, "at the top and at the end"
    linked = set(re.findall(r"\(([^()]+)\.ipynb\)", text))
    assert linked <= set(STEMS)


@each_notebook
def test_short_cells_with_prose_before_each(path):
    lines = [len(cell.split("\n")) for cell in code(path)]
    assert statistics.median(lines) <= MEDIAN_CELL and max(lines) <= LONGEST_CELL
    kinds = [cell["cell_type"] for cell in json.loads(path.read_text())["cells"]]
    first = kinds.index("code")
    for i, kind in enumerate(kinds):  # the set-up follows the parameters
        assert kind == "markdown" or kinds[i - 1] == "markdown" or i == first + 1, i
    assert len(prose(path).split()) >= WORDS_PER_LINE * sum(lines)


@each_notebook
def test_no_line_of_code_is_wide(path):
    wide = [line for cell in all_code(path) for line in cell.split("\n") if len(line) > WIDEST]
    assert wide == []


@each_notebook
def test_plumbing_is_hidden_for_jupyterlab_and_nbconvert_alike(path):
    hidden = [cell for cell in cells(path, "code") if HIDDEN in tags(cell)]
    for cell in hidden:
        assert cell["metadata"]["jupyter"] == {"source_hidden": True}, "for JupyterLab"
        assert cell["metadata"]["transient"] == {"remove_source": True}, "for nbconvert"
    assert "session.begin(preset, name, data, weights, settings" in source(hidden[0])
    for cell in cells(path, "code"):
        plumbing = re.search(r"^(import|from) |\.record\(", source(cell), re.MULTILINE)
        assert not plumbing or cell in hidden, source(cell)[:80]


@each_notebook
def test_imports_only_emolib_and_the_basics(path):
    for cell in all_code(path):
        for node in ast.walk(ast.parse(cell)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= OTHER_IMPORTS | {"emolib"}


@each_notebook
def test_asks_the_session_for_what_it_has(path):
    code = "\n".join(source(cell) for cell in cells(path, "code"))
    asked = {node.attr for node in ast.walk(ast.parse(code)) if _is_of_session(node)}
    fields = {field.name for field in dataclasses.fields(Session)}
    assert asked and asked <= fields | set(vars(Session))


def _is_of_session(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "here"
    )


@each_notebook
def test_every_figure_has_an_alternative_text(path):
    texts = []
    for cell in all_code(path):
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".show"):
                if ast.unparse(node.func) == "architecture.show":
                    continue
                (alt,) = [k.value for k in node.keywords if k.arg == "alt"]
                texts.append(ast.unparse(alt))
    assert texts and min(map(len, texts)) > 20


@each_notebook
def test_ends_with_its_record(path):
    assert re.search(rf'\.record\(\s*(folder,\s*)?"{path.stem}"', all_code(path)[-1])


@each_notebook
def test_committed_outputs_hold_no_noise(path):
    text = path.read_text(encoding="utf-8")
    assert committed.home_path(text) is None and path.stat().st_size < 2_000_000
    for cell in cells(path, "code"):
        assert set(cell["metadata"]) <= {"tags", "jupyter", "transient"}
        for output in cell["outputs"]:
            assert output["output_type"] != "error" and output.get("name") != "stderr"
            html = "".join(output.get("data", {}).get("text/html", ""))
            assert "<img" not in html or re.search(r'<img [^>]*alt="[^"]{10,}" title="[^"]+"', html)
            picture = "image/png" in output.get("data", {})
            assert not picture or "<img" in html, "a figure without alt text"


def test_nbconvert_hides_the_plumbing_without_options(tmp_path):
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", str(tmp_path)]
    folder = project_root() / "notebooks"
    subprocess.run([*command, NOTEBOOKS[0].name], cwd=folder, check=True, capture_output=True)
    text = (tmp_path / f"{NOTEBOOKS[0].stem}.html").read_text(encoding="utf-8")
    page = BeautifulSoup(text, "html.parser").get_text()
    assert "number_of_windows" in page, "code to read is there"
    assert "session.begin" not in page and "here.record" not in page
