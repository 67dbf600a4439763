"""What docstrings, comments and pages cite is in the repository,
under the heading that they name.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = re.compile(
    r"\b(FACTS|DESIGN|SYNTH)\b|\bissues? #?\d"
)  # papers of ours that no reader has
FILE = re.compile(r"`((?:emolib|tests|scripts)/[\w/.]+)`")
CITED = re.compile(r"\b((?:docs/\w+|CONTRIBUTING|README)\.md)(?:, (?=[A-Z])([^.;)\"`|]+))?")


def texts() -> dict[str, str]:
    """Every committed text by its path, with line breaks and comment signs as one space."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    kinds = (".py", ".md", ".ipynb", ".toml", ".tex", ".csv", ".yml")
    paths = [ROOT / name for name in listed if name.endswith(kinds) or name == "Makefile"]
    return {
        str(path.relative_to(ROOT)): re.sub(r"\s+(?:#\s+)?", " ", path.read_text())
        for path in paths
        if path.exists() and path != Path(__file__)
    }


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)


def test_nothing_cites_what_a_reader_does_not_have():
    found = {
        path: [match.group(0) for match in OUTSIDE.finditer(text)] for path, text in texts().items()
    }
    assert {path: words for path, words in found.items() if words} == {}


def test_every_file_that_a_page_names_exists():
    pages = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {path for page in pages for path in FILE.findall(page.read_text())}
    assert {path for path in named if not (ROOT / path).exists()} == set()
    assert len(named) > 10


def test_every_cited_page_and_heading_exists():
    wrong, cited = [], 0
    for path, text in texts().items():
        for page, heading in CITED.findall(text):
            cited += 1
            if not (ROOT / page).is_file():
                wrong.append(f"{path}: no page {page}")
            elif heading and not any(heading.startswith(h) for h in headings(ROOT / page)):
                wrong.append(f"{path}: {page} has no heading that begins {heading[:40]!r}")
    assert wrong == []
    assert cited > 30
