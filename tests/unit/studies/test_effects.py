"""Studies of effects on latent signals: what their windows hold, and what their tables say."""

import json

import numpy as np
import pandas as pd
import pytest

from emolib.errors import WrongCall
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.studies.effects import leak, on_benchmark, relation, report, text
from emolib.studies.effects.study import Side, Study, without_faces, without_sound

FEAR, SURPRISE = (EXPRESSIONS.index(name) for name in ("Fear", "Surprise"))


def moments(windows):
    """Faces [N, M, D] and sound [N, M, D] of windows that keep as many of both."""
    count = len(windows)
    return windows.visual.reshape(count, relation.MOMENTS, -1).astype(float), (
        windows.audio.reshape(count, relation.MOMENTS, -1).astype(float)
    )


def test_only_face_and_voice_at_the_same_moments_tell_the_related_pair():
    windows = relation.related_windows(40, 0)
    faces, sound = moments(windows)
    face_map, voice_map = relation._maps()
    pitch = faces @ face_map[-1] / np.sum(face_map[-1] ** 2)
    pressed = sound @ (voice_map[0] - voice_map[1])
    fear, surprise = windows.label == FEAR, windows.label == SURPRISE

    def together(order):
        centred = pitch - pitch.mean(axis=1, keepdims=True)
        return (centred * pressed[:, order]).mean(axis=1)

    at_once = together(np.arange(relation.MOMENTS))
    assert (at_once[fear] > 0).mean() > 0.9 and (at_once[surprise] < 0).mean() > 0.9
    shuffled = together(np.random.default_rng(0).permutation(relation.MOMENTS))
    assert abs((shuffled[fear] > 0).mean() - (shuffled[surprise] > 0).mean()) < 0.35
    for stream in (faces, sound):
        means = stream.mean(axis=1)
        apart = means[fear].mean(axis=0) - means[surprise].mean(axis=0)
        assert np.abs(apart / means[fear].std(axis=0)).max() < 1.0


def test_timed_sound_tells_each_step_its_own_place():
    plain, timed = (relation.related_windows(2, 0, timed=timed) for timed in (False, True))
    width = plain.audio.shape[1]
    np.testing.assert_array_equal(timed.audio[:, :width], plain.audio)
    places = timed.audio[:, width:].reshape(-1, relation.MOMENTS, relation.MOMENTS)
    assert (places == relation.TIME * np.eye(relation.MOMENTS)).all()


def test_joined_faces_have_the_sound_of_their_moment_beside_them():
    plain, joined = (relation.related_windows(2, 0, joined=joined) for joined in (False, True))
    np.testing.assert_array_equal(joined.visual, np.hstack([plain.visual, plain.audio]))
    np.testing.assert_array_equal(joined.audio, plain.audio)


def test_few_labels_are_of_one_person_a_class_and_the_nearest_prompt_needs_none():
    train, check = text.few_windows(20, 0), text.all_windows(20, 1)
    counts = dict(zip(EXPRESSIONS, np.bincount(train.label, minlength=8).tolist(), strict=True))
    for name, count in counts.items():
        assert count == (text.FEW_CLIPS if name in text.FEW else 20)
    assert (np.bincount(check.label) == 20).all()
    f1 = metrics.class_f1(check.label, text.nearest_prompt(check))
    assert all(f1[EXPRESSIONS.index(name)] > 0.5 for name in text.FEW)
    assert not (text.true_prompts() == text.other_prompts()).all(axis=1).any()


def test_a_window_can_lose_a_stream():
    windows = text.all_windows(2, 0)
    assert (without_sound(windows).audio_length == 0).all() and (windows.audio_length > 0).all()
    face = np.arange(windows.visual.shape[1], dtype=np.float16)
    assert (without_faces(windows, face).visual == face).all()


def test_a_twin_has_the_sound_of_a_tested_clip_and_its_label():
    study, (apart, shared) = leak.LEAK, leak.LEAK.sides
    check = shared.check(study.check_clips, 1)
    twins, others = (side.train(study.train_clips, 0) for side in (shared, apart))
    count = len(check)
    assert (twins.audio[: len(check.audio)] == check.audio).all()
    assert (twins.label[:count] == check.label).all() and (twins.visual == others.visual).all()
    assert (twins.audio[len(check.audio) :] == others.audio[len(check.audio) :]).all()
    assert not (others.audio[: len(check.audio)] == check.audio).all(axis=1).any()


@pytest.mark.parametrize("knows, share", [(True, 1.0), (False, 0.5)])
def test_the_pair_is_a_coin_to_those_who_do_not_know_it(knows, share):
    label = np.repeat([FEAR, SURPRISE, 0], 40)
    sure = label if knows else np.where(np.arange(len(label)) % 2, FEAR, SURPRISE)
    frames = pd.DataFrame(np.eye(8)[sure], columns=[f"p_{name}" for name in EXPRESSIONS])
    assert on_benchmark.pair_accuracy(frames.assign(label=label)) == share
    swapped = frames.rename(columns={"p_Fear": "p_Surprise", "p_Surprise": "p_Fear"})
    assert on_benchmark.pair_accuracy(swapped.assign(label=label)) == 1 - share


SIDES = (Side("full", "Full"), Side("worse", "Worse"), Side("same", "Same"))
STUDY = Study("small", "emolib.labels", "Does it help?", "It does.", SIDES, ("Anger",))


def told(study, side, seeds):
    """Every seed is right for a share of the clips that only the side decides."""
    label = np.tile(np.arange(8), 20)
    right = np.arange(len(label)) % 10 < (5 if side.name == "worse" else 9)
    predicted = np.where(right, label, (label + 1) % 8)
    probabilities = np.tile(np.eye(8, dtype=np.float32)[predicted], (seeds, 1, 1))
    return {"label": label, "all": probabilities, "no_sound": probabilities[:, ::-1]}


@pytest.fixture
def made(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "STUDIES", {"small": STUDY})
    monkeypatch.setattr(report, "train_side", told)
    return report.make(tmp_path, seeds=3, progress=False), tmp_path


def test_a_side_is_judged_against_the_first(made):
    full, worse, same = made[0][0]["rows"]
    assert "difference" not in full and full["macro_f1"] == pytest.approx(0.9, abs=0.02)
    assert worse["difference"] == pytest.approx(-0.4, abs=0.03)
    assert worse["verdict"] == "not supported" and same["difference"] == 0.0
    assert worse["part_difference"] < -0.2 and same["part"] == full["part"]
    assert full["calibration_error"] == pytest.approx(0.1, abs=0.02)  # sure, and right in 90 %
    assert full["no_sound"] < 0.4 and same["no_sound_difference"] == 0.0


@pytest.mark.parametrize("name", report.STUDIES)
def test_committed_studies_are_of_today_s_sides(name):
    study, made = report.STUDIES[name], report.committed(name)
    assert [row["title"] for row in made["rows"]] == [
        *(side.title for side in study.sides),
        *study.untrained,
    ]
    assert made["code"] in report.text(made) and f"--seeds {made['seeds']}" in report.text(made)


def test_what_is_made_is_kept_and_written(made, monkeypatch):
    result, folder = made
    assert json.loads((folder / "small.json").read_text()) == json.loads(json.dumps(result[0]))
    text_of_study = (folder / "small.md").read_text()
    assert "Does it help? It does." in text_of_study and "Worse" in text_of_study
    assert "trained in float32" in text_of_study
    monkeypatch.setattr(report, "train_side", None)
    assert report.make(folder, seeds=3, progress=False) == result
    for names, seeds in ((["smal"], 3), ([], 1)):
        with pytest.raises(WrongCall):
            report.make(folder, names, seeds=seeds, progress=False)
