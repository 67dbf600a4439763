"""What docstrings, comments and pages cite is in the repository,
under the heading that they name.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Names of papers that no reader has.
OUTSIDE = re.compile(r"\b(FACTS|DESIGN|SYNTH)\b|\bissues? #?\d")
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


NAMED_TEST = re.compile(r"`((?:unit|integration|notebooks)/[\w/]+\.py)::(\w+)`")


def test_every_example_of_damage_has_a_test_and_every_kind_has_two():
    page = (ROOT / "docs" / "trust.md").read_text()
    kinds = [kind for kind in page.split("\n## ")[1:] if "| example |" in kind]
    for kind in kinds:
        rows = [line for line in kind.splitlines() if line.startswith("| ")][2:]
        assert len(rows) >= 2, kind[:40]
        assert all(NAMED_TEST.search(row) or "the same" in row for row in rows), kind[:40]
        assert NAMED_TEST.search(rows[0])
    named = set(NAMED_TEST.findall(page))
    missing = [
        (path, test)
        for path, test in named
        if f"\ndef {test}(" not in (ROOT / "tests" / path).read_text()
    ]
    assert missing == []
    assert len(kinds) == 10 and len(named) > 45


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


PAGES = (
    "CONTRIBUTING.md",
    "README.md",
    *(f"docs/{page.name}" for page in (ROOT / "docs").iterdir()),
)
QUOTED = re.compile(r"`([\w./-]+)`")
TOPS = ("emolib/", "tests/", "docs/", "notebooks/", "figures/", "scripts/")
FILE_OF_OURS = re.compile(r"[\w-]+\.(py|toml|yml|lock|md)")


def is_missing(word: str) -> bool:
    """Whether ``word`` names a file, folder or module of the repository that does not exist."""
    if word.startswith(TOPS):
        return "NN_" not in word and not (ROOT / word).exists()  # NN_: a notebook's number
    if word.startswith("emolib."):
        path = ROOT / word.replace(".", "/")
        parent = path.parent.with_suffix(".py")  # the last part may be a name in a module
        return not (path.is_dir() or path.with_suffix(".py").is_file() or parent.is_file())
    if FILE_OF_OURS.fullmatch(word):
        return not ((ROOT / word).is_file() or any((ROOT / "emolib").rglob(word)))
    return False


def test_every_path_in_backticks_exists():
    missing, paths = [], 0
    for page in PAGES:
        words = QUOTED.findall((ROOT / page).read_text())
        paths += sum(word.startswith(TOPS) for word in words)
        missing += [f"{page}: {word}" for word in words if is_missing(word)]
    assert missing == []
    assert paths > 50


def test_a_path_that_does_not_exist_would_be_found():
    for word in ("emolib/optimisers.py", "emolib.tcn.gate.Gate", "no_such.py", "docs/none.md"):
        assert is_missing(word)
    for word in ("emolib/tcn.py", "emolib.data.structure", "affwild2.py", "frame_rates.csv"):
        assert not is_missing(word)
