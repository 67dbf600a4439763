"""``emolib clean``: what is listed, what is freed, and above all what is not."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from emolib import cli
from emolib.config import preset
from emolib.errors import EmolibError, WrongCall
from emolib.features.prepare import prepare
from emolib.system import disk as holdings
from emolib.system.files import cache_root
from emolib.system.locks import locked

KEY = "0123456789abcdef"


def put(path: Path, size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A runs folder with two runs, every kind of cache, and things of the user's beside them."""
    root = tmp_path / "runs"
    monkeypatch.setenv("EMOLIB_RUNS", str(root))
    (tmp_path / "tree").mkdir()
    preset("demo").save(root / "demo" / "experiment.json")
    put(root / "demo" / "model.safetensors", 5000)
    preset("paper", data=str(tmp_path / "tree"), weights=str(root / "paper" / "weights")).save(
        root / "paper" / "experiment.json"
    )
    put(root / "paper" / "weights" / "model.safetensors")
    put(root / "cache" / "features" / KEY / "a.safetensors", 3000)
    put(root / "cache" / "features" / "mine" / "notes.txt")
    put(root / "cache" / "synthetic" / KEY / "ceilings.json")
    put(root / "cache" / "synthetic" / f".{KEY}.lock", 0)
    put(root / "cache" / "waveforms" / f"{KEY}.s16")
    put(root / "cache" / "index" / f"{KEY}.npz")
    put(root / "cache" / "other" / KEY)
    put(root / "my films" / "holiday.mp4")
    put(root / "README.md")
    put(tmp_path / "tree" / "00001.jpg")
    return root


@pytest.fixture
def clean(root, monkeypatch, capsys):
    """Call ``emolib clean`` with arguments and answers; returns exit code, stdout and stderr."""

    def run(*arguments, answers=()):
        left = list(answers)

        def answer(question):
            print(question, end="")
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr("builtins.input", answer)
        monkeypatch.setattr(sys, "argv", ["emolib", "clean", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert left == [], "not everything was asked"
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_list_names_sizes_and_what_is_kept(clean, root):
    before = files(root)
    code, out, _ = clean()
    assert code == 0 and files(root) == before and "nothing freed" in out
    found = {h.name: h for h in holdings.holdings()}
    assert list(found) == [
        "demo",
        "paper",
        "cache/synthetic",
        "cache/features",
        "cache/waveforms",
        "cache/index",
    ]
    assert (
        found["demo"].bytes == 5000 + (root / "demo" / "experiment.json").stat().st_size
        and found["cache/features"].bytes == 3000
    )
    assert "kept: a run was given" in found["paper"].kept and str(root / "paper" / "weights") in out
    assert "my films" not in out and "other" not in out


def test_asking_decides(clean, root):
    before = files(root)
    for answers in ([""], ["cache", ""], ["cache", "n"], ["cache", "maybe"]):
        assert clean(answers=answers)[0] == 0 and files(root) == before, answers
    code, out, _ = clean(answers=["cache", "y"])
    assert (
        code == 0
        and "freed 0.0 MB: cache/synthetic, cache/features, cache/waveforms, cache/index" in out
    )
    gone = {
        path
        for path in before
        if re.match(rf"cache/(features|synthetic|waveforms|index)/\.?{KEY}", path)
    }
    assert len(gone) == 5 and files(root) == before - gone


def test_scripts_say_yes_to_what_they_name(clean, root):
    before = files(root)
    code, _, err = clean("--yes")
    assert code == 2 and "--yes answers for what is named" in err and files(root) == before
    code, out, _ = clean("demo", "--yes", "--json")
    result = json.loads(out)
    assert code == 0 and not (root / "demo").exists() and result["freed_bytes"] > 5000
    assert {row["name"]: row["freed"] for row in result["holdings"]}["demo"] and (
        root / "cache" / "features" / KEY
    ).is_dir()
    code, out, _ = clean("cache", "--json")
    assert json.loads(out)["freed_bytes"] == 0, "JSON never asks, so it frees nothing without --yes"
    clean(str(root / "cache" / "features"), "--yes")
    assert (
        not (root / "cache" / "features" / KEY).exists()
        and (root / "cache" / "index" / f"{KEY}.npz").exists()
    )


def test_everything_is_only_what_is_emolibs(clean, root, tmp_path):
    code, out, _ = clean("all", "--yes")
    assert code == 0 and "paper" in out
    left = {
        "README.md",
        "my films/holiday.mp4",
        "paper/experiment.json",
        "paper/weights/model.safetensors",
        "cache/features/mine/notes.txt",
    }
    assert files(root) == left | {f"cache/other/{KEY}"}
    assert (tmp_path / "tree" / "00001.jpg").is_file()


@pytest.mark.parametrize(
    "word",
    [
        "nothing",
        "my films",
        "README.md",
        "..",
        "../tree",
        "/",
        "cache/other",
        "demo/model.safetensors",
        ".",
    ],
)
def test_anything_else_is_refused_and_nothing_removed(clean, root, monkeypatch, word):
    monkeypatch.chdir(root)
    before = files(root.parent)
    code, _, err = clean("demo", word, "--yes")
    assert code == 2 and "is nothing of emolib's" in err and files(root.parent) == before
    with pytest.raises(WrongCall, match="did you mean 'demo'"):
        holdings.chosen(["demos"], holdings.holdings())


def test_links_are_not_followed(clean, root, tmp_path):
    outside = tmp_path / "elsewhere"
    preset("demo").save(outside / "run" / "experiment.json")
    put(outside / "film.mp4")
    put(outside / "cache" / f"{KEY}.npz")
    (root / "linked").symlink_to(outside / "run")
    (root / "demo" / "film.mp4").symlink_to(outside / "film.mp4")
    (root / "demo" / "folder").symlink_to(outside)
    (root / "cache" / "features" / "fedcba9876543210").symlink_to(outside)
    for path in (root / "cache" / "index").iterdir():
        path.unlink()
    (root / "cache" / "index").rmdir()
    (root / "cache" / "index").symlink_to(outside / "cache")
    before = files(outside)
    assert "linked" not in {h.name for h in holdings.holdings()}
    clean("all", "--yes")
    assert (
        not (root / "demo").exists() and files(outside) == before and (root / "linked").is_symlink()
    )


def test_data_in_a_generated_tree_given_by_path_stay(clean, root):
    tree = root / "cache" / "synthetic" / KEY
    preset("demo", data=str(tree)).save(root / "mine" / "experiment.json")
    clean("cache", "--yes")
    assert (tree / "ceilings.json").is_file() and not (root / "cache" / "features" / KEY).exists()


@pytest.mark.parametrize(
    "lock", ["demo/.lock", f"cache/synthetic/.{KEY}.lock", f"cache/features/{KEY}/.claims/clip"]
)
def test_what_is_in_use_is_refused(clean, root, lock):
    put(root / lock, 0)
    name = lock.split("/")[0] if lock.startswith("demo") else "/".join(lock.split("/")[:2])
    with locked(root / lock):
        before = files(root)
        code, _, err = clean(name, "--yes")
        assert code == 1 and "in use" in err and files(root) == before
    assert clean(name, "--yes")[0] == 0 and not (root / lock).exists()


def test_a_stopped_clean_leaves_no_half_run_and_the_next_frees_it(clean, root, monkeypatch):
    def stop(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(holdings.shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            holdings.free(holdings.chosen(["demo"], holdings.holdings()))
    assert not (root / "demo").exists()
    assert {h.name for h in holdings.holdings()} >= {"left over"}
    clean("all", "--yes")
    assert [path.name for path in root.iterdir() if path.name.startswith(holdings.LEFT_OVER)] == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_one_line(root):
    root.chmod(0o500)
    try:
        with pytest.raises(EmolibError, match="cannot be removed"):
            holdings.free(holdings.chosen(["demo"], holdings.holdings()))
    finally:
        root.chmod(0o700)


def test_no_runs_folder_is_an_empty_list(clean, tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "none"))
    code, out, _ = clean()
    assert code == 0 and "nothing freed" in out and holdings.holdings() == []


def test_a_run_fills_the_caches_that_are_known_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    clips = {"synth_train_clips": 2, "synth_validation_clips": 1, "synth_test_clips": 0}
    tiny = preset("demo", window=10, synth_seconds=1.0, precision="strict", **clips)
    prepare(tiny, progress=False)
    assert {folder.name for folder in cache_root().iterdir()} == set(holdings.CACHES)
