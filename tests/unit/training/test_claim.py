"""Whose run a folder holds: edit the model and the old score is no longer today's."""

import warnings
from pathlib import Path

import pytest

import emolib
from emolib.config import Experiment
from emolib.data.affwild2 import read_tree
from emolib.data.annotations import read_labels
from emolib.errors import EmolibError, EmolibWarning, WrongCall
from emolib.evaluation import identity
from emolib.evaluation.identity import noted_in
from emolib.features import prepare as inputs
from emolib.features.prepare import Data
from emolib.features.protocols import index_of
from emolib.features.sources import Sources
from emolib.features.spans import samples_of
from emolib.features.window_sets import window_set
from emolib.system import disk
from emolib.system.code import code_hash, files_of
from emolib.system.device import training_dtype
from emolib.system.files import read_json, write_json, write_text
from emolib.training import run as training
from emolib.training.claim import EARLIER, FILES, claim, is_complete
from emolib.training.cuda_graph import Replays
from emolib.training.state import load_state
from tests.support.windowsets import tiny

PACKAGE = Path(emolib.__file__).parent
SMALL = (
    "width=16,attention_heads=2,tcn_blocks=1,window=10,epochs=1,batch_size=4,class_weights=none,"
    "synth_train_clips=4,synth_validation_clips=2,synth_test_clips=0,synth_seconds=2.0"
)


@pytest.fixture
def by(monkeypatch):
    """A function that lets other code be loaded, other data lie there, or other weights."""

    def use(code: str = "a", data: str = "a", encoders: str = "a") -> None:
        monkeypatch.setattr(identity, "LOADED", code)
        monkeypatch.setattr(identity, "code_on_disk", lambda: code)
        monkeypatch.setattr(inputs, "sources", lambda *_, **__: Sources(data, encoders))

    use()
    return use


OTHERWISE = ({"code": "b"}, {"data": "b"}, {"encoders": "b"})
SAID = {"code": "by other code", "data": "from other data", "encoders": "with other weights"}


def begin(experiment: Experiment, folder: Path) -> dict | None:
    return claim(experiment, folder, identity.identity_of(experiment))


def complete(folder: Path) -> bool:
    return is_complete(folder, identity.identity_of(tiny()))


def finished(folder: Path, score: float) -> None:
    """Put every file of a run into ``folder``."""
    write_text(folder / "predictions" / "clip.parquet", str(score))
    for name in FILES:
        if name not in ("predictions", "experiment.json", "metrics.json"):
            write_text(folder / name, str(score))
    write_json(folder / "metrics.json", {"score": score})


def test_a_complete_run_of_this_code_is_taken(tmp_path, by):
    assert begin(tiny(), tmp_path) is None and not complete(tmp_path)
    finished(tmp_path, 0.4)
    assert begin(tiny(), tmp_path) == {"score": 0.4} and complete(tmp_path)
    with pytest.raises(WrongCall, match="another experiment"):
        begin(tiny(seed=9), tmp_path)


@pytest.mark.parametrize("otherwise", OTHERWISE)
def test_a_run_that_was_made_otherwise_is_kept_aside_and_made_anew(tmp_path, by, otherwise):
    begin(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    kept = tmp_path / EARLIER / noted_in(tmp_path).key
    by(**otherwise)
    assert not complete(tmp_path)
    (name,) = otherwise
    with pytest.warns(EmolibWarning, match=rf"was made {SAID[name]}[^;]*; kept in .*{kept.name}"):
        assert begin(tiny(), tmp_path) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [EARLIER, "experiment.json"]
    assert sorted(path.name for path in kept.iterdir()) == sorted(FILES)
    said = identity.differences([kept, tmp_path], identity.identity_of)
    assert SAID[name] in said[kept] and not said[tmp_path]
    finished(tmp_path, 0.5)
    assert begin(tiny(), tmp_path) == {"score": 0.5}


@pytest.mark.parametrize("otherwise", OTHERWISE)
def test_an_undone_change_brings_the_old_run_back(tmp_path, by, otherwise):
    begin(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    first = noted_in(tmp_path)
    by(**otherwise)
    with pytest.warns(EmolibWarning):
        assert begin(tiny(), tmp_path) is None
    finished(tmp_path, 0.5)
    second = noted_in(tmp_path)
    by()
    with pytest.warns(EmolibWarning):
        assert begin(tiny(), tmp_path) == {"score": 0.4}
    assert begin(tiny(), tmp_path) == {"score": 0.4}
    assert (tmp_path / "predictions" / "clip.parquet").read_text() == "0.4"
    assert read_json(tmp_path / EARLIER / second.key / "metrics.json") == {"score": 0.5}
    assert list((tmp_path / EARLIER / first.key).iterdir()) == []


@pytest.mark.parametrize("stop", range(len(FILES)))
def test_a_move_that_was_stopped_is_ended(tmp_path, by, monkeypatch, stop):
    begin(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    kept = tmp_path / EARLIER / noted_in(tmp_path).key
    by("b")
    moved, replace = [], Path.replace

    def stopping(path, target):
        if len(moved) == stop and Path(target).parent == kept:
            raise KeyboardInterrupt
        moved.append(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        begin(tiny(), tmp_path)
    assert not complete(tmp_path)
    monkeypatch.setattr(Path, "replace", replace)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EmolibWarning)
        assert begin(tiny(), tmp_path) is None
    assert sorted(path.name for path in kept.iterdir()) == sorted(FILES)


@pytest.mark.parametrize("otherwise", OTHERWISE)
def test_a_state_that_was_begun_otherwise_is_not_resumed(tmp_path, by, otherwise):
    begin(tiny(), tmp_path)
    (tmp_path / "state.pt").touch()
    by(**otherwise)
    with pytest.warns(EmolibWarning, match="kept in"):
        begin(tiny(), tmp_path)
    assert not (tmp_path / "state.pt").exists()


def test_a_run_of_a_version_that_did_not_note_its_code_is_not_todays(tmp_path, by):
    tiny().save(tmp_path / "experiment.json")
    finished(tmp_path, 0.4)
    said = identity.differences([tmp_path], identity.identity_of)[tmp_path]
    assert all(text in said for text in SAID.values())
    with pytest.warns(EmolibWarning, match="unknown"):
        assert begin(tiny(), tmp_path) is None


def test_files_that_nobody_knows_are_not_todays_numbers(tmp_path, by):
    """Such as a copy of some of a run's files, or a move that was stopped before an edit."""
    finished(tmp_path, 0.4)
    with pytest.warns(EmolibWarning, match="unknown"):
        assert begin(tiny(), tmp_path) is None
    assert not (tmp_path / "state.pt").exists()
    assert read_json(tmp_path / EARLIER / "unknown" / "metrics.json") == {"score": 0.4}


def test_what_was_put_aside_comes_back_for_its_own_experiment_alone(tmp_path, by):
    begin(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    kept = tmp_path / EARLIER / noted_in(tmp_path).key
    by("b")
    with pytest.warns(EmolibWarning):
        begin(tiny(), tmp_path)
    (tmp_path / "experiment.json").unlink()
    by()
    assert begin(tiny(seed=9), tmp_path) is None
    assert read_json(kept / "metrics.json") == {"score": 0.4}


def test_what_is_not_at_hand_is_not_compared(tmp_path, by):
    begin(tiny(), tmp_path)
    by(data="b", encoders="b")
    without_data = identity.Identity("a", encoders="b")
    assert identity.difference(noted_in(tmp_path), without_data) == SAID["encoders"] + (
        " of the encoders"
    )
    assert identity.difference(noted_in(tmp_path), identity.Identity("a")) == ""


def test_settings_that_change_no_number_are_those_of_today(tmp_path, by):
    """How the half-width was chosen is told beside a score; a run is found again with other words,
    and with other folders of the same data and weights."""
    smoothed = {"smoothing": "box", "smoothing_half_width": 5}
    begin(tiny(**smoothed), tmp_path)
    finished(tmp_path, 0.4)
    before = tiny(**smoothed)
    write_json(tmp_path / "metrics.json", {"score": 0.4, "by_frame": before.by_frame()})
    assert begin(before, tmp_path) == {"score": 0.4, "by_frame": before.by_frame()}
    for changes in ({"half_width_from": "validation"}, {"weights": "elsewhere"}, {"seeds": "1"}):
        today = tiny(**smoothed, **changes)
        assert begin(today, tmp_path) == {"score": 0.4, "by_frame": today.by_frame()}
        assert read_json(tmp_path / "metrics.json")["by_frame"] == today.by_frame()
        assert Experiment.load(tmp_path / "experiment.json") == today
    assert "tuned on validation" in tiny(**smoothed, half_width_from="validation").by_frame()
    assert complete(tmp_path)


@pytest.mark.parametrize(
    "other", [{"experiment": tiny(seed=9).fingerprint("train")}, {"data": "b"}]
)
def test_metrics_of_another_run_are_refused(tmp_path, by, other):
    """A whole file, copied in from a run with another seed or on other data."""
    begin(tiny(), tmp_path)
    finished(tmp_path, 0.4)
    write_json(tmp_path / "metrics.json", {"score": 0.5, **other}, sealed=True)
    with pytest.raises(EmolibError, match=r"metrics\.json: the metrics of another run"):
        begin(tiny(), tmp_path)


def test_code_edited_under_a_running_kernel_is_told(tmp_path, by, monkeypatch):
    begin(tiny(), tmp_path)
    monkeypatch.setattr(identity, "code_on_disk", lambda: "c")
    with pytest.warns(EmolibWarning, match="restart the kernel"):
        begin(tiny(), tmp_path)


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


def test_two_trainings_of_one_name_do_not_mix_and_clean_leaves_a_run_that_is_training(
    tmp_path, monkeypatch, by
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
