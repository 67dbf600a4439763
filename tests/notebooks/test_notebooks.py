"""The notebooks' form: what a reader, papermill and the pipeline rely on.

They are executed by the tests beside this one.
"""

import ast
import json
import re

import nbformat
import pytest

from emolib.config import parse_settings, preset
from emolib.pipeline import committed, parameters
from emolib.system.files import project_root

NOTEBOOKS = sorted((project_root() / "notebooks").glob("*.ipynb"))
LONGEST_CELL = 20  # lines
WORDS_PER_LINE = 8  # of prose to a line of code; about ten is aimed at
OTHER_IMPORTS = {"numpy", "pandas", "torch", "ipywidgets", "IPython"}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [
        cell
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == kind
    ]


def code(path):
    """Code cells but for the parameters."""
    return [
        "".join(cell["source"])
        for cell in cells(path, "code")
        if "parameters" not in cell["metadata"].get("tags", [])
    ]


def test_valid_and_for_any_python_kernel(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids) and not any(
        re.fullmatch(r"[0-9a-f]{8}", name) for name in ids
    ), "ids are names, not random"


def test_parameters_are_flat_literals_and_those_of_the_pipeline(path):
    values = parameters.defaults(path)
    assert {"preset", "name", "data", "weights", "settings"} <= set(values)
    assert preset(
        values["preset"],
        data=values["data"],
        weights=values["weights"],
        **parse_settings(values["settings"]),
    ) == preset("demo")
    parameters.check(
        path, {"preset": "demo", "name": "", "data": "", "weights": "", "settings": "epochs=3"}
    )


def test_opens_with_aim_and_contents(path):
    first = cells(path, "markdown")[0]
    text = "".join(first["source"])
    assert text.startswith("# ") and "**Aim.**" in text and "**Contents.**" in text


def test_short_cells_with_prose_before_each(path):
    assert max(len(source.split("\n")) for source in code(path)) <= LONGEST_CELL
    kinds = [cell["cell_type"] for cell in json.loads(path.read_text())["cells"]]
    for i, kind in enumerate(kinds):
        assert kind == "markdown" or kinds[i - 1] == "markdown" or i == kinds.index("code") + 1, (
            f"cell {i + 1} has no prose before it"
        )
    words = sum(len("".join(cell["source"]).split()) for cell in cells(path, "markdown"))
    assert words >= WORDS_PER_LINE * sum(len(source.split("\n")) for source in code(path))


def test_imports_only_emolib_and_the_basics(path):
    for source in code(path):
        for node in ast.walk(ast.parse(source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= OTHER_IMPORTS | {"emolib"}


def test_every_figure_has_an_alt_text_and_is_saved(path):
    shows = saves = 0
    for source in code(path):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "figures.show":
                shows += 1
                assert [keyword.arg for keyword in node.keywords] == ["alt"]
            saves += isinstance(node, ast.Call) and ast.unparse(node.func) == "figures.save"
    assert shows == saves > 0


def test_ends_with_its_record(path):
    assert code(path)[-1].find(f'tables.record(\n    folder,\n    "{path.stem}"') >= 0


def test_committed_outputs_hold_no_noise(path):
    text = path.read_text(encoding="utf-8")
    assert not committed.HOME.search(text) and path.stat().st_size < 1_000_000
    for cell in cells(path, "code"):
        assert set(cell["metadata"]) <= {"tags", "jupyter"}
        for output in cell["outputs"]:
            assert output["output_type"] != "error" and output.get("name") != "stderr"
            html = "".join(output.get("data", {}).get("text/html", ""))
            assert "<img" not in html or re.search(r'<img [^>]*alt="[^"]{10,}" title="[^"]+"', html)
            picture = "image/png" in output.get("data", {})
            assert not picture or "<img" in html, "a figure without alt text"
