"""README tells the truth: its tables are the generated files, its links and commands exist."""

import re
import sys

from emolib.files import project_root

ROOT = project_root()
sys.path.insert(0, str(ROOT / "scripts"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_marked_blocks_are_the_generated_files():
    from readme import BLOCK, filled

    assert BLOCK.search(README)
    assert filled(README, ROOT) == README, "run: .venv/bin/python scripts/readme.py"
    assert filled(README.replace("0.", "9."), ROOT) != README.replace("0.", "9.")


def test_every_link_and_picture_exists():
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in t]
    assert len(targets) > 10
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_every_verb_exists():
    import typer

    from emolib.cli import app

    verbs = set(typer.main.get_command(app).commands)
    named = set(re.findall(r"`emolib ([a-z]+)", README))
    assert named and named <= verbs, named - verbs
    make = {line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    assert set(re.findall(r"(?:`|^)make ([a-z]+)\b", README, re.MULTILINE)) <= make
