"""Whose run a folder holds: edit the model and the old score is no longer today's."""

import contextlib
import importlib
import json
import os
import shutil
import sys
import warnings
from pathlib import Path

import pytest

import emolib
from emolib.data.affwild2 import read_tree
from emolib.data.annotations import read_labels
from emolib.errors import EmolibError, EmolibWarning, WrongCall
from emolib.evaluation import identity
from emolib.features.prepare import Data
from emolib.features.protocols import index_of
from emolib.features.spans import samples_of
from emolib.features.window_sets import window_set
from emolib.system import disk
from emolib.system.code import code_hash, files_of
from emolib.system.device import training_dtype
from emolib.system.files import read_json, write_json, write_text
from emolib.training import claim as claims
from emolib.training import run as training
from emolib.training.claim import EARLIER, FILES, claim, is_complete
from emolib.training.cuda_graph import Replays
from emolib.training.state import load_state
from tests.support.forks import exit_code, fork
from tests.support.windowsets import tiny

PACKAGE = Path(emolib.__file__).parent
SMALL = (
    "width=16,attention_heads=2,tcn_blocks=1,window=10,epochs=1,batch_size=4,class_weights=none,"
    "synth_train_clips=4,synth_validation_clips=2,synth_test_clips=0,synth_seconds=2.0"
)


@pytest.fixture
def by(monkeypatch):
    """A function that lets other code be loaded, by its hash."""

    def use(code: str) -> None:
        for module in (identity, claims):
            monkeypatch.setattr(module, "LOADED", code)
        monkeypatch.setattr(identity, "code_on_disk", lambda: code)

    use("code_a")
    return use


def finished(folder: Path, score: float) -> None:
    """Put every file of a run into ``folder``."""
    write_text(folder / "predictions" / "clip.parquet", str(score))
    for name in FILES:
        if name not in ("predictions", "experiment.json", "metrics.json"):
            write_text(folder / name, str(score))
    write_json(folder / "metrics.json", {"score": score})


def test_a_complete_run_of_this_code_is_taken(tmp_path, by):
    assert claim(tiny(), tmp_path) is None and not is_complete(tmp_path)
    finished(tmp_path, 0.4)
    assert claim(tiny(), tmp_path) == {"score": 0.4} and is_complete(tmp_path)
    with pytest.raises(WrongCall, match="another experiment"):
        claim(tiny(seed=9), tmp_path)


def test_a_run_of_other_code_is_kept_aside_and_made_anew(tmp_path, by):
    claim(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    by("code_b")
    assert not is_complete(tmp_path)
    with pytest.warns(EmolibWarning, match=r"other code than this; kept in .*code_a"):
        assert claim(tiny(), tmp_path) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [EARLIER, "experiment.json"]
    kept = tmp_path / EARLIER / "code_a"
    assert sorted(path.name for path in kept.iterdir()) == sorted(FILES)
    assert "code_a" in identity.of_other_code(kept) and not identity.of_other_code(tmp_path)
    finished(tmp_path, 0.5)
    assert claim(tiny(), tmp_path) == {"score": 0.5}


def test_an_undone_edit_brings_the_old_run_back(tmp_path, by):
    claim(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    for code in ("code_b", "code_a"):
        by(code)
        with pytest.warns(EmolibWarning):
            result = claim(tiny(), tmp_path)
        if code == "code_b":
            finished(tmp_path, 0.5)
    assert result == {"score": 0.4} == claim(tiny(), tmp_path)
    assert (tmp_path / "predictions" / "clip.parquet").read_text() == "0.4"
    assert read_json(tmp_path / EARLIER / "code_b" / "metrics.json") == {"score": 0.5}
    assert list((tmp_path / EARLIER / "code_a").iterdir()) == []


@pytest.mark.parametrize("stop", range(len(FILES)))
def test_a_move_that_was_stopped_is_ended(tmp_path, by, monkeypatch, stop):
    claim(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    by("code_b")
    moved, replace = [], Path.replace

    def stopping(path, target):
        if len(moved) == stop and Path(target).parent.name == "code_a":
            raise KeyboardInterrupt
        moved.append(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        claim(tiny(), tmp_path)
    assert not is_complete(tmp_path)
    monkeypatch.setattr(Path, "replace", replace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmolibWarning)
        assert claim(tiny(), tmp_path) is None
    kept = tmp_path / EARLIER / "code_a"
    assert sorted(path.name for path in kept.iterdir()) == sorted(FILES)


def test_a_state_begun_by_other_code_is_not_resumed(tmp_path, by):
    claim(tiny(), tmp_path)
    (tmp_path / "state.pt").touch()
    by("code_b")
    with pytest.warns(EmolibWarning, match="other code"):
        claim(tiny(), tmp_path)
    assert not (tmp_path / "state.pt").exists()


def test_a_run_of_a_version_that_did_not_note_its_code_is_not_todays(tmp_path, by):
    tiny().save(tmp_path / "experiment.json")
    finished(tmp_path, 0.4)
    assert "earlier version" in identity.of_other_code(tmp_path)
    with pytest.warns(EmolibWarning, match="unknown"):
        assert claim(tiny(), tmp_path) is None


def test_files_that_nobody_knows_are_not_todays_numbers(tmp_path, by):
    """Such as a copy of some of a run's files, or a move that was stopped before an edit."""
    finished(tmp_path, 0.4)
    with pytest.warns(EmolibWarning, match="unknown"):
        assert claim(tiny(), tmp_path) is None
    assert not (tmp_path / "state.pt").exists()
    assert read_json(tmp_path / EARLIER / "unknown" / "metrics.json") == {"score": 0.4}


def test_what_was_put_aside_comes_back_for_its_own_experiment_alone(tmp_path, by):
    claim(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    by("code_b")
    with pytest.warns(EmolibWarning):
        claim(tiny(), tmp_path)
    (tmp_path / "experiment.json").unlink()
    by("code_a")
    assert claim(tiny(seed=9), tmp_path) is None
    assert read_json(tmp_path / EARLIER / "code_a" / "metrics.json") == {"score": 0.4}


def test_code_edited_under_a_running_kernel_is_told(tmp_path, by, monkeypatch):
    claim(tiny(), tmp_path)
    monkeypatch.setattr(identity, "code_on_disk", lambda: "code_c")
    with pytest.warns(EmolibWarning, match="restart the kernel"):
        claim(tiny(), tmp_path)


def test_every_module_that_trains_or_scores_counts():
    texts = [path.read_text() for path in files_of(identity.MODULES)]
    assert len(texts) > 20 and code_hash(texts) == identity.LOADED
    for place in (0, len(texts) // 2, -1):
        edited = list(texts)
        edited[place] += "\nedited = True\n"
        assert code_hash(edited) != identity.LOADED, identity.MODULES[place]


def test_what_decides_a_number_counts():
    """Labels, windows, their sound, arithmetic, replayed steps and the saved state."""
    deciding = (
        read_tree,
        read_labels,
        index_of,
        samples_of,
        Data,
        window_set,
        training_dtype,
        Replays,
        load_state,
    )
    for each in deciding:
        assert each.__module__ in identity.MODULES, each


def train(root: Path) -> tuple[dict, str]:
    """(printed result, standard error) of ``emolib train --json`` by the package in ``root``."""
    output, said = root / "output", root / "said"

    def work() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "emolib"]:
            del sys.modules[name]
        sys.path.insert(0, str(root))
        os.environ["EMOLIB_RUNS"] = str(root / "runs")
        words = ["train", "--quiet", "--json", "--name", "x", "--set", SMALL]
        sys.argv = ["emolib", *words]
        with (
            output.open("w") as out,
            said.open("w") as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            importlib.import_module("emolib.cli").main()

    assert exit_code(fork(work)) == 0, said.read_text()[-3000:]
    return json.loads(output.read_text()), said.read_text()


def test_an_edited_temporal_block_is_trained_anew(tmp_path):
    """Where a run's identity is its settings alone, the second call prints the first's metrics."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "emolib", ignore=ignored)
    first, _ = train(tmp_path)
    tcn = tmp_path / "emolib" / "tcn.py"
    source = tcn.read_text()
    marker = "class TemporalBlock"
    assert marker in source and "return " in source[source.index(marker) :]
    head, body = source.split(marker, 1)
    tcn.write_text(f"# A comment moves nothing.\n{head}{marker}{body}")
    again, said = train(tmp_path)
    assert again == first and "other code" not in said
    tcn.write_text(head + marker + body.replace("return ", "return 0.5 * ", 1))
    edited, said = train(tmp_path)
    assert "other code than this" in said and edited["code"] != first["code"]
    assert edited["window"] != first["window"] or edited["frame"] != first["frame"]
    kept = tmp_path / "runs" / "x" / EARLIER / first["code"]
    assert read_json(kept / "metrics.json") == first


def test_two_trainings_of_one_name_do_not_mix_and_clean_leaves_a_run_that_is_training(
    tmp_path, monkeypatch
):
    """While a run trains, a second one of the same name and ``clean`` end at once with an error."""
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    folder, refused = tmp_path / "demo", []

    def training_meanwhile(*_, **__):
        with pytest.raises(EmolibError, match="in use by process"):
            training.run(tiny(seed=2), folder, progress=False)
        with pytest.raises(EmolibError, match="in use"):
            disk.free(disk.chosen(["demo"], disk.holdings()))
        refused.append(True)
        return {"score": 1}

    monkeypatch.setattr(training, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(training, "train_and_evaluate", training_meanwhile)
    assert training.run(tiny(seed=1), folder, progress=False) == {"score": 1} and refused
    assert read_json(folder / "experiment.json")["experiment"]["seed"] == 1
    disk.free(disk.chosen(["demo"], disk.holdings()))
    assert not folder.exists()
