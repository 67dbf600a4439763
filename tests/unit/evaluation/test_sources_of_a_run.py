"""A run is found again by the content of its data and weights: wherever they lie, and only as long
as they are the same."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from safetensors.numpy import load_file, save_file

from emolib.config import Experiment, preset
from emolib.encoders.folders import ASSETS
from emolib.errors import EmolibError, EmolibWarning
from emolib.evaluation.identity import at_hand, difference, identity_of, noted_in
from emolib.features import prepare as inputs
from emolib.system.files import read_json, write_json
from emolib.training import run as training
from tests.support.trees import Spec, make_tree

WHITE = simplejpeg.encode_jpeg(np.full((8, 8, 3), 255, np.uint8))
ANNOTATIONS = "EXPR_Recognition_Challenge"


def copy_weights(root: Path) -> Path:
    """The package's own encoders below ``root``, under names that a setting gives."""
    for kind in ("visual", "audio"):
        shutil.copytree(ASSETS / kind, root / f"my-{kind}")
    return root


@pytest.fixture
def experiment(tmp_path, monkeypatch) -> Experiment:
    """Of a small given tree and of given weights."""
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    specs = [Spec("1-30-640x480"), Spec("3-12-640x480", split="validation", missing=(1,))]
    return preset(
        "demo",
        data=str(make_tree(tmp_path / "tree", specs)),
        weights=str(copy_weights(tmp_path / "weights")),
        visual_encoder="my-visual",
        audio_encoder="my-audio",
        window=10,
    )


def change_label(clip: str) -> None:
    path = Path(clip)
    path.write_text(path.read_text().replace("\n7\n", "\n6\n", 1))


def change_weight(file: str) -> None:
    weights = load_file(file)
    name = max(weights, key=lambda key: weights[key].size)
    weights[name].flat[0] += 1
    save_file(weights, file)


CHANGES = {
    "a label of training": ("data", f"tree/{ANNOTATIONS}/Train_Set/1-30-640x480.txt", change_label),
    "a label of validation": (
        "data",
        f"tree/{ANNOTATIONS}/Validation_Set/3-12-640x480.txt",
        change_label,
    ),
    "an image": (
        "data",
        "tree/cropped_aligned/1-30-640x480/00001.jpg",
        lambda path: Path(path).write_bytes(WHITE),
    ),
    "an image that is gone": (
        "data",
        "tree/cropped_aligned/3-12-640x480/00007.jpg",
        lambda path: Path(path).unlink(),
    ),
    "the sound of a video": (
        "data",
        "tree/batch1/1-30-640x480.mp4",
        lambda path: Path(path).write_bytes(Path(path).read_bytes() + b"\0"),
    ),
    "visual weights": ("encoders", "weights/my-visual/open_clip_model.safetensors", change_weight),
    "audio weights": ("encoders", "weights/my-audio/model.safetensors", change_weight),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_data_or_weights_makes_another_run(tmp_path, experiment, what):
    part, path, change = CHANGES[what]
    before = identity_of(experiment)
    change(tmp_path / path)
    after = identity_of(experiment)
    assert getattr(after, part) != getattr(before, part)
    assert dataclasses.replace(after, **{part: getattr(before, part)}) == before
    assert difference(before, after)


@pytest.mark.parametrize(("setting", "name"), [("data", "tree"), ("weights", "weights")])
def test_the_same_content_in_another_folder_is_the_same_run(tmp_path, experiment, setting, name):
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / name, copy, copy_function=shutil.copyfile)  # with other times
    elsewhere = experiment.replace(**{setting: str(copy)})
    assert identity_of(elsewhere) == identity_of(experiment)
    assert elsewhere.fingerprint("train") == experiment.fingerprint("train")


def test_what_a_run_does_not_read_does_not_count(tmp_path, experiment):
    deaf = experiment.replace(modalities="visual", fusion="concat")
    before = identity_of(deaf)
    for what in ("audio weights", "the sound of a video"):
        _, path, change = CHANGES[what]
        change(tmp_path / path)
    assert identity_of(deaf) == before != identity_of(experiment)


def test_data_that_lost_their_faces_are_told_beside_a_number(tmp_path, experiment):
    before = identity_of(experiment)
    shutil.rmtree(tmp_path / "tree/cropped_aligned/1-30-640x480")
    with pytest.raises(EmolibError, match="min_face_share"):
        identity_of(experiment)
    assert at_hand(experiment).data not in ("", before.data)


def test_a_missing_folder_is_an_error_before_training_and_unknown_beside_a_number(experiment):
    shutil.rmtree(experiment.data)
    with pytest.raises(EmolibError):
        identity_of(experiment)
    assert at_hand(experiment).data == "" != at_hand(experiment).encoders
    shutil.rmtree(experiment.weights)
    assert at_hand(experiment).encoders == ""


@pytest.mark.parametrize("what", ["a label of training", "visual weights"])
def test_a_finished_run_is_shown_only_while_its_sources_are_the_same(
    tmp_path, experiment, monkeypatch, what
):
    trained = []

    def train_and_evaluate(experiment, data, folder, **_):
        trained.append(folder)
        (folder / "history.csv").write_text("epoch\n1\n")
        metrics = {"score": len(trained), **dataclasses.asdict(noted_in(folder))}
        write_json(folder / "metrics.json", metrics)
        return metrics

    monkeypatch.setattr(training, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(training, "train_and_evaluate", train_and_evaluate)
    run = tmp_path / "run"
    for _ in range(2):
        assert training.run(experiment, run, progress=False)["score"] == 1
    shutil.copytree(tmp_path / "tree", tmp_path / "copy")
    elsewhere = experiment.replace(data=str(tmp_path / "copy"))
    assert training.run(elsewhere, run, progress=False)["score"] == 1
    assert Experiment.load(run / "experiment.json") == elsewhere

    _, path, change = CHANGES[what]
    change(tmp_path / path)
    with pytest.warns(EmolibWarning, match="kept in"):
        assert training.run(experiment, run, progress=False)["score"] == 2
    (kept,) = (run / "earlier").iterdir()
    assert read_json(kept / "metrics.json")["score"] == 1


def test_a_check_of_today_holds_for_a_finished_run_and_for_data_in_memory(
    tmp_path, experiment, monkeypatch
):
    """Half of the validation clip's faces are gone."""
    for frame in range(2, 15):
        (tmp_path / f"tree/cropped_aligned/3-12-640x480/{frame:05d}.jpg").unlink()
    monkeypatch.setattr(inputs, "_prepared", lambda *_: object())
    monkeypatch.setattr(training, "prepare", lambda *_, **__: None)
    monkeypatch.setattr(training, "train_and_evaluate", lambda *_, **__: {"score": 1})
    lenient = experiment.replace(min_face_share=0.0)
    inputs.prepare(lenient, progress=False)
    assert training.run(lenient, tmp_path / "run", progress=False) == {"score": 1}
    write_json(tmp_path / "run" / "metrics.json", {"score": 1})
    for again in (
        lambda: inputs.prepare(experiment, progress=False),
        lambda: training.run(experiment, tmp_path / "run", progress=False),
    ):
        with pytest.raises(EmolibError, match="min_face_share"):
            again()


def test_data_in_memory_are_made_anew_when_the_tree_changes(tmp_path, experiment, monkeypatch):
    monkeypatch.setattr(inputs, "_prepared", lambda *_: object())
    monkeypatch.setattr(inputs, "_LAST", {})
    first = inputs.prepare(experiment, progress=False)
    assert inputs.prepare(experiment, progress=False) is first
    _, path, change = CHANGES["a label of training"]
    change(tmp_path / path)
    assert inputs.prepare(experiment, progress=False) is not first
