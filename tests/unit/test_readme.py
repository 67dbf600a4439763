"""README tells the truth: its tables and numbers are in generated files, its links exist,
its commands work.
"""

import json
import re
import shlex
import subprocess

import pytest
import typer

from emolib.cli import app
from emolib.config import parse_settings, preset
from emolib.system.files import project_root

ROOT = project_root()
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Numbers that are no results: settings, versions, names, facts of the data set and of the paper.
PLAIN = (
    "arXiv 2603.11971",
    "Wav2Vec 2.0",
    "2 CPU cores",
    "Python 3.11",
    "1.2 GB",
    "7 GB",
    "tables 1 and 2",
    "01 to 06 and 11; notebook 05",
    "What can 70 videos decide?",
)
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")


def page(name: str) -> str:
    """A page of docs/."""
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_it_fits_on_few_screens_and_says_what_the_numbers_are_from():
    assert len(README.splitlines()) <= 150
    assert README.index("](figures/architecture.svg)") < README.index("## ")
    opening = README.split("## Quick start")[0]
    assert "no Aff-Wild2 scores" in opening and "generated benchmark" in opening


def commands(text: str) -> list[list[str]]:
    """Every ``emolib ...`` in code, as words."""
    blocks = [
        line
        for block in re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    spans = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = [
        shlex.split(line, comments=True) for line in (*blocks, *spans) if line.startswith("emolib ")
    ]
    assert found
    return found


def test_marked_blocks_are_the_generated_files(tmp_path):
    """As committed: a demo run on another machine writes its own figures over
    those of the checkout.
    """
    from readme import BLOCK, filled

    archive = subprocess.run(
        ["git", "archive", "HEAD", "README.md", "figures"], cwd=ROOT, capture_output=True
    )
    if archive.returncode:
        pytest.skip("no git checkout here")
    subprocess.run(["tar", "-x", "-C", str(tmp_path)], input=archive.stdout, check=True)
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert BLOCK.search(text)
    assert filled(text, tmp_path) == text, (
        "run: .venv/bin/python scripts/readme.py, and commit README with the figures"
    )
    assert filled(text.replace("0.", "9."), tmp_path) != text.replace("0.", "9.")


def test_captions_of_committed_tables_are_sentences_and_not_objects():
    for table in (ROOT / "figures" / "demo").glob("*.md"):
        caption = table.read_text(encoding="utf-8").partition("\n")[0]
        assert caption[0].isupper() and "{" not in caption, table.name


def test_every_link_and_picture_exists():
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in t] + re.findall(
        r'<img src="([^"]+)"', README
    )
    assert len(targets) > 15
    assert [t for t in targets if not (ROOT / t).exists()] == []
    assert len(re.findall(r'<img [^>]*alt="[^"]+"', README)) == README.count("<img ")


def test_every_verb_exists():
    verbs = set(typer.main.get_command(app).commands)
    named = {words[1] for words in commands(README) if not words[1].startswith("--")}
    assert named and named <= verbs, named - verbs
    make = {
        line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line
    }
    assert set(re.findall(r"(?:`|^)make ([a-z]+)\b", README, re.MULTILINE)) <= make


@pytest.mark.parametrize("words", commands(README), ids=" ".join)
def test_every_command_parses_and_every_setting_exists(words):
    command, arguments = typer.main.get_command(app), words[1:]
    if arguments[0].startswith("--"):
        assert arguments[0] in {
            option for parameter in command.params for option in parameter.opts
        } | {"--help"}
        return
    if "--help" not in arguments and arguments[1:]:  # a verb alone is its name
        with command.commands[arguments[0]].make_context(arguments[0], arguments[1:]) as context:
            for text in (*context.params.get("set_", ()), *context.params.get("grid", ())):
                preset("paper", **parse_settings(text.split(",")[0]))


def test_every_setting_of_the_checklist_changes_the_experiment():
    spans = re.findall(r"`(--set [^`]+)`", page("differences"))
    settings = [
        parse_settings(span.removeprefix("--set ").replace(" --set ", ",")) for span in spans
    ]
    assert len(settings) >= 10
    for values in settings:
        for name, value in values.items():
            assert getattr(preset("paper"), name) != value, (
                f"{name}={value} is what preset paper has already"
            )
        assert preset("paper", **values).fingerprint("train") != preset("paper").fingerprint(
            "train"
        )


def generated() -> set[str]:
    """Every number in the tables of figures/; the summary holds so many that any would be there."""
    return {
        number
        for path in (ROOT / "figures").rglob("*")
        if path.suffix in (".csv", ".md")
        for number in NUMBER.findall(path.read_text())
    }


def untraced(text: str) -> list[str]:
    """Numbers of the prose, and of comments in code blocks,
    that are in no generated file and no plain ones either.
    """
    text = re.sub(r"<!-- figures.*?<!-- end -->", "", text, flags=re.DOTALL)
    text = re.sub(
        r"```\w*\n(.*?)```",
        lambda block: "\n".join(re.findall(r"#.*", block[1])),
        text,
        flags=re.DOTALL,
    )
    text = re.sub(
        r"`[^`]*`|\[notebook \d\d\]\([^)]*\)|^\| \d\d \||\]\([^)]*\)|<img[^>]*>|^\d\. ",
        "",
        text,
        flags=re.MULTILINE,
    )
    for phrase in PLAIN:
        text = text.replace(phrase, "")
    return [number for number in NUMBER.findall(text) if number not in generated()]


def test_every_number_is_in_a_generated_file():
    assert untraced(README) == []
    assert [phrase for phrase in PLAIN if phrase not in README] == [], "no longer in README"
    for false, number in (
        ("in 7.3 minutes", "7.3"),
        ("| 0.9123 |", "0.9123"),
        ("1.07 times the memory", "1.07"),
        ("# 396 s", "396"),
    ):
        assert untraced(f"{README}\n{false}\n") == [number]


def test_notebooks_without_outputs_are_named():
    empty = []
    for path in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        cells = [
            cell
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "code"
        ]
        empty += [] if any(cell["outputs"] for cell in cells) else [path.name[:2]]
    named = re.search(
        r"Committed without outputs, because they train for long: ([\d, ]+)\.", README
    )
    assert (named[1].split(", ") if named else []) == empty
