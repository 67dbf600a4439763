"""The set-up files agree with each other: pyproject.toml, requirements.lock,
environment.yml, Makefile, CITATION.cff, wheel.
"""

import re
import runpy
import shutil
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from emolib import __version__, paper

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = runpy.run_path(str(ROOT / "scripts" / "lock.py"))


def stated() -> set[tuple[str, str]]:
    """(name, specifier) of every dependency in pyproject.toml, extras included."""
    return {(canonicalize_name(needed.name), str(needed.specifier)) for needed in LOCK["wanted"]()}


def locked() -> dict[str, str]:
    lines = [
        line
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    ]
    return dict(line.split("==") for line in lines)


def test_conda_lists_what_pip_installs():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda, pip = (
        [part for part in environment["dependencies"] if isinstance(part, str)],
        environment["dependencies"][-1]["pip"],
    )
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    assert pip[-1] == "-e ."
    listed = [Requirement(line) for line in pip[:-1]]
    assert {
        (canonicalize_name(needed.name), str(needed.specifier)) for needed in listed
    } == stated()
    assert len(listed) == len(stated())


def test_lock_is_name_and_version_only():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    assert len(packages) > 100
    assert [
        line for line in packages if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)
    ] == []
    assert list(locked()) == sorted(locked())


def test_lock_covers_the_dependencies():
    versions = locked()
    for needed in LOCK["wanted"]():
        assert needed.specifier.contains(versions[canonicalize_name(needed.name)]), needed
    try:
        closure = LOCK["closure"](LOCK["wanted"]())
    except PackageNotFoundError as missing:
        pytest.skip(f"{missing} is not installed here, so the closure is not known")
    assert set(closure) <= set(versions)


def test_make_help_lists_every_public_target():
    shown = subprocess.run(
        ["make", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    for target in (
        "demo",
        "check",
        "test",
        "long",
        "lint",
        "notebooks",
        "lab",
        "lock",
        "clean",
        "help",
    ):
        assert re.search(rf"make {target} +[A-Z]", shown), target


def test_make_refuses_an_old_python(tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "-C", str(tmp_path), "lint", f"PYTHON={old}"], capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "needs Python 3.11 or newer" in done.stdout
    assert not (tmp_path / ".venv").exists()


def test_citation_names_the_paper_and_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (
        citation["cff-version"] == "1.2.0"
        and citation["message"]
        and citation["authors"]
        and citation["title"]
    )
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert PROJECT["version"] == __version__
    (reference,) = citation["references"]
    assert reference["title"] == paper.TITLE
    assert [author["family-names"] for author in reference["authors"]] == ["Byeon", "Kim", "Lim"]
    assert any(paper.ARXIV in identifier["value"] for identifier in reference["identifiers"])


def test_set_up_files_name_no_host():
    for name in (
        "Makefile",
        "requirements.lock",
        "environment.yml",
        "pyproject.toml",
        ".ci/run",
        "CITATION.cff",
    ):
        assert not re.search(r"https?://|index-url|trusted-host", (ROOT / name).read_text()), name
