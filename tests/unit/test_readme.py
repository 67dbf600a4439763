"""README tells the truth: its tables and numbers are in generated files, its links exist,
its commands work.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

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
    "7 GB",
    "1.6 GB",
    "tables 1 and 2",
    "01 to 06 in order",
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
    """As committed: a demo run on another machine writes its own
    figures over those of the checkout.
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
    """Every number in the tables of figures/."""
    return {
        number
        for path in (ROOT / "figures").rglob("*")
        if path.suffix in (".csv", ".json", ".md")
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


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A copy of the checkout, as far as a run needs it,
    and a small tree in Aff-Wild2's layout beside it.
    """
    root = tmp_path_factory.mktemp("page")
    hidden = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("emolib", "notebooks"):
        shutil.copytree(ROOT / name, root / "checkout" / name, ignore=hidden)
    clips = [
        "synth_train_clips=8",
        "synth_validation_clips=3",
        "synth_test_clips=1",
        "synth_seconds=3.0",
    ]
    words = [
        "synth",
        "--out",
        str(root / "Aff-Wild2"),
        "--quiet",
        *(word for clip in clips for word in ("--set", clip)),
    ]
    subprocess.run(
        [sys.executable, "-m", "emolib", *words],
        cwd=root / "checkout",
        check=True,
        capture_output=True,
    )
    (root / "weights").mkdir()
    return root


# The page's commands as they stand;
# only what is slow is replaced: the demo's encoders, one epoch, one seed, one window.
SHIM = """
    #!/bin/sh
    case "$1" in
        run | extract) set -- "$@" --quiet --set epochs=1 --set seeds=42 --set width=32 \\
            --set visual_encoder=synthetic --set audio_encoder=synthetic --set frame_stride=30 \\
            --set window=15 --set windows=15 --set batch_size=8 --set class_weights=none ;;
    esac
    exec "{python}" -m emolib "$@"
"""


@pytest.mark.timeout(1800)
def test_from_download_to_submission(place):
    commands_section = page("affwild2").split("\n## Commands", 1)[1]
    block = re.findall(r"```bash\n(.*?)```", commands_section, re.DOTALL)[0]
    verbs = [words[1] for words in commands(f"```\n{block}```")]
    assert verbs == ["doctor", "extract", "run", "report", "submit", "submit"]
    shim = place / "bin" / "emolib"
    shim.parent.mkdir()
    shim.write_text(textwrap.dedent(SHIM).lstrip().format(python=sys.executable))
    shim.chmod(0o755)
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("EMOLIB_RUNS", "PYTHONPATH")
    }
    env |= {
        "PATH": f"{shim.parent}:{env['PATH']}",
        "TREE": str(place / "Aff-Wild2"),
        "WEIGHTS": str(place / "weights"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        ["bash", "-euc", block], cwd=place / "checkout", env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "Ready for training." in done.stdout and "valid" in done.stdout.splitlines()[-1]
    run = place / "checkout" / "runs" / "paper"
    assert (run / "report.html").stat().st_size > 100_000
    assert (run / "figures" / "window_table.md").is_file()
    assert not (place / "checkout" / "figures").exists(), "a run writes into runs/ only"
    template = next((place / "Aff-Wild2" / "names_of_videos_in_each_test_set").glob("*example.txt"))
    rows = [
        (place / "checkout" / "submission.txt").read_text().splitlines(),
        template.read_text().splitlines(),
    ]
    assert len(rows[0]) == len(rows[1]) > 40 and rows[0][0].startswith("image_location,Neutral")
