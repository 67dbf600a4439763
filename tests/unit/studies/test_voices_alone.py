"""RAVDESS without faces, in its published layout: the studies of its voices."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from emolib.config import preset
from emolib.errors import EmolibError, EmolibWarning
from emolib.labels import EXPRESSIONS
from emolib.results import figures, tables
from emolib.results.score_lines import score_lines
from emolib.studies import baselines, claims, people, people_choice
from emolib.studies import people_pages as pages
from emolib.training import run as training
from tests.support.recordings import ravdess_voices

FAST = {"window": 20, "width": 16, "epochs": 2, "folds": 3, "batch_size": 16}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    voices = ravdess_voices(root / "ravdess", actors=range(1, 7))
    changes = {"data": str(voices), "dataset": "ravdess", **people.VOICES, **FAST}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOLIB_RUNS", str(root / "runs"))
        yield preset("demo", **changes)


@pytest.fixture(scope="module")
def run(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "run"
    return folder, training.run(experiment, folder, progress=False)


def test_a_run_says_nothing_of_the_class_that_is_not_there(run):
    _, result = run
    score = result["frame"]
    assert score["macro_f1"] == pytest.approx(
        np.mean([entry["f1"] for entry in score["per_class"][:7]])
    )
    table = tables.per_class_table(score, [1 / 7] * 7 + [0], ceiling=None, origin="")
    assert table["Class"].iloc[7] == "Other, not in this data set"
    assert len(figures.class_f1(score["per_class"], ceiling=None, protocol="frame", origin="").axes)


def test_variants_are_scored_over_the_classes_of_the_data_set(run):
    """As the run itself is: over seven, not with a zero for the eighth, and actor by actor."""
    folder, result = run
    frames = claims.predictions(folder)
    assert frames.attrs["classes"] == list(range(7))
    scored = claims.scored([frames])
    assert scored["macro_f1"] == pytest.approx(result["frame"]["macro_f1"])
    assert scored["interval"] == pytest.approx(result["frame"]["macro_f1_interval"])
    actors = {clip[-2:] for clip in frames["clip"]}
    assert claims.compare([frames], [frames])["clips"] == len(actors) < frames["clip"].nunique()
    runs = pd.DataFrame({"window": [20, 40], "seed": [42, 42], "folder": [str(folder)] * 2})
    groups = {"Motion pair": [1, 2], "With Other": [0, 7]}
    by_class, gains = claims.class_windows(runs, groups)
    assert list(by_class) == list(gains) == [*EXPRESSIONS[:7], "Motion pair"]


def test_baselines_that_need_faces_are_left_out(experiment, tmp_path):
    with pytest.warns(EmolibWarning, match="zero_shot is left out: it needs faces") as warned:
        table = baselines.run(
            experiment, tmp_path, names=tuple(baselines.BASELINES), progress=False
        )
    assert "frame_mlp is left out" in str(warned[0].message)
    assert table["name"].tolist() == ["majority", "logistic"]
    # Each emotion has its own pitch, which the majority cannot tell.
    majority, logistic = table["frame_macro_f1"]
    assert logistic > majority + 0.2 and majority < 0.1


def test_settings_are_chosen_by_the_training_actors_alone(experiment, tmp_path):
    """With other labels for the actors who are held out nothing changes in their fold."""
    candidates = ({"epochs": 1, "learning_rate": 1e-5}, {"epochs": 6})
    table = people_choice.choose(experiment, candidates, tmp_path, progress=False)
    assert table.groupby("fold")["chosen"].sum().tolist() == [1, 1, 1]
    best = table.loc[table.groupby("fold")["macro_f1"].idxmax()]
    assert best["chosen"].all()
    settings = people_choice.chosen_settings(table, candidates)
    assert set(settings) == {1, 2, 3} and all(one in candidates for one in settings.values())
    again = people_choice.choose(experiment, candidates, tmp_path, progress=False)
    pd.testing.assert_frame_equal(table, again)
    assert len(list(tmp_path.iterdir())) == len(candidates)
    shown = pages.choice_table(table)
    assert shown["fold"].tolist() == [1, 2, 3] and shown.shape == (3, 4)
    assert shown["chosen"].tolist() == table[table["chosen"]]["settings"].tolist()


def test_a_stopped_choice_goes_on(experiment, tmp_path, monkeypatch):
    """Models that were trained before it was stopped are not trained again, and nothing differs."""
    candidates = ({"epochs": 1}, {"epochs": 2})
    whole = people_choice.choose(experiment, candidates, tmp_path / "whole", progress=False)
    trained, trainer = [], people_choice.Trainer

    def stopping(one, *arguments):
        trained.append(one.epochs)
        if len(trained) == 5:
            raise KeyboardInterrupt
        return trainer(one, *arguments)

    monkeypatch.setattr(people_choice, "Trainer", stopping)
    with pytest.raises(KeyboardInterrupt):
        people_choice.choose(experiment, candidates, tmp_path / "stopped", progress=False)
    table = people_choice.choose(experiment, candidates, tmp_path / "stopped", progress=False)
    assert trained == [1, 1, 1, 2, 2, 2, 2]  # three pairs of folds each, the fifth one twice
    pd.testing.assert_frame_equal(table, whole)


def test_scores_of_voices_say_what_is_generated_and_who_was_held_out(experiment, run):
    _, result = run
    lines = score_lines(experiment, result).splitlines()
    assert lines[0] == "validation, SYNTHETIC ENCODERS, REAL DATA"
    told = "ravdess, audio, fold 1 of 3: trained on 64 recordings of 4 people; held out: 32 "
    assert lines[-2].startswith(told + "recordings of 2 people (01, 02)")
    assert lines[-1].endswith("--grid fold=1,2,3")


def test_damaged_answers_are_named(experiment, tmp_path):
    before = people_choice.inner_scores(experiment, tmp_path)
    assert people_choice.inner_scores(experiment, tmp_path) == before  # read again, to the bit
    path = sorted(tmp_path.glob("*.json"))[0]
    text = path.read_text()
    for damaged in ("", text[: len(text) // 2], text.replace("0.", "0.1", 1), "[]"):
        path.write_text(damaged)
        with pytest.raises(EmolibError, match=path.name):
            people_choice.inner_scores(experiment, tmp_path)


def test_inner_scores_do_not_see_who_is_held_out(experiment, tmp_path, monkeypatch):
    windows, fold_of = people_choice._windows_of_all(experiment)
    before = people_choice.inner_scores(experiment, tmp_path / "before")

    def spoiled(_):
        """The sound of fold 0 is another."""
        other = windows.audio.copy()
        other[fold_of[windows.clip] == 0] = 1.0
        return dataclasses.replace(windows, audio=other), fold_of

    monkeypatch.setattr(people_choice, "_windows_of_all", spoiled)
    after = people_choice.inner_scores(experiment, tmp_path / "after")
    assert after[0] == before[0] and after[1:] != before[1:]
    assert len(before) == experiment.folds
