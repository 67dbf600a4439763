"""Studies of effects on the generated benchmark itself: the draw with two people in every video,
and what trained runs give the clips that they did not see.
"""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emolib.config import preset
from emolib.data import affwild2
from emolib.data.mark import is_synthetic
from emolib.features.prepare import Data
from emolib.features.window_sets import WindowSet
from emolib.results.stored_predictions import COLUMNS, by_clip
from emolib.studies.effects import benchmark_study, report, two_people
from emolib.studies.effects.benchmark_study import BenchmarkStudy, joined, train_side
from emolib.studies.effects.study import Side
from emolib.system.device import training_arithmetic
from tests.support.sweeps import keep_in_memory
from tests.support.windowsets import TINY, make, prompts

FULL = Side("full", "Full")
STUDY = BenchmarkStudy(
    "small",
    "emolib effects small",
    "Does it help?",
    "It does.",
    (FULL,),
    TINY,
    shown=report.LACKING,
)


def test_every_video_of_the_draw_shows_two_people_who_share_sound_and_labels():
    videos = two_people.planned(preset("demo"), times=1)
    assert len(videos) == 12 + 6  # one in twenty of 240 and of 112
    for left, right in videos:
        assert (left.id, right.id) == (f"{left.video}_left", f"{left.video}_right")
        assert left.segments == right.segments and left.speaker == right.speaker
        assert left.person != right.person and (left.pitch != right.pitch).any()
    assert len(two_people.planned(preset("demo"), times=2)) == 24 + 11


def test_the_draw_is_a_generated_tree_with_a_sound_for_each_two_clips(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    experiment = preset("demo", synth_train_clips=8, synth_validation_clips=0)
    root = two_people.ensure(experiment, times=1, progress=False)
    clips = affwild2.read_tree(root, splits=("train",))
    assert is_synthetic(root) and len({clip.id for clip in clips}) == 2
    assert len({clip.video for clip in clips}) == 1 and all(len(clip.labels) for clip in clips)
    written = (root / "SYNTHETIC.json").stat().st_mtime_ns
    assert two_people.ensure(experiment, times=1, progress=False) == root
    assert (root / "SYNTHETIC.json").stat().st_mtime_ns == written


def test_clips_are_joined_by_name_and_two_people_of_a_video_are_one_unit():
    def clip(value, frames):
        return {"label": np.full(frames, value), "all": np.full((3, frames, 8), float(value))}

    told = joined({"b_right": clip(3, 1), "c": clip(4, 2), "a": clip(1, 2), "b_left": clip(2, 1)})
    assert told["label"].tolist() == told["all"][2, :, 7].tolist() == [1, 1, 2, 3, 4, 4]
    assert told["unit"].tolist() == [0, 0, 1, 1, 2, 2]


@pytest.fixture
def in_memory(monkeypatch):
    keep_in_memory(monkeypatch)
    train, check = (WindowSet(**vars(make(seed=seed))) for seed in (0, 1))
    data = Data(train, check, [check], *prompts())
    monkeypatch.setattr(benchmark_study, "prepare", lambda experiment, progress: data)
    run = benchmark_study.sweep.run
    monkeypatch.setattr(benchmark_study.sweep, "run", partial(run, workers=0))


@pytest.mark.filterwarnings("ignore::emolib.errors.EmolibWarning")  # of sources in memory
def test_a_side_tells_what_its_runs_predicted_and_what_they_would_without_a_stream(
    in_memory, tmp_path
):
    told = train_side(tmp_path, STUDY, FULL, 2, False)
    runs = pd.read_csv(tmp_path / "small" / "full.csv")
    assert runs["seed"].tolist() == [42, 43]
    for row, folder in enumerate(runs["folder"]):
        stored = pd.concat(by_clip(Path(folder)).values())
        np.testing.assert_allclose(told["all"][row], stored[COLUMNS].to_numpy(), atol=1e-6)
        assert (told["label"] == stored["label"]).all()
    shown = ("all", *report.LACKING)
    right = {name: (told[name].argmax(axis=2) == told["label"]).mean() for name in shown}
    assert right["all"] > 0.5
    for lacking in report.LACKING:
        assert np.abs(told[lacking] - told["all"]).max() > 0.1, lacking
        assert right[lacking] < right["all"], lacking


def test_of_folds_each_clip_is_told_by_the_runs_that_held_it_out(monkeypatch, tmp_path):
    runs = [
        {"seed": seed, "fold": fold, "folder": f"{fold}{seed}"}
        for fold in (2, 1)
        for seed in (43, 42)
    ]
    monkeypatch.setattr(
        benchmark_study.sweep, "run", lambda *arguments, **options: pd.DataFrame(runs)
    )

    def held_out(folders, lacking):
        values = np.array([int(folder) for folder in folders])
        return {
            f"clip{values[0]}": {
                "label": np.zeros(1, int),
                "all": np.ones((2, 1, 8)) * values[:, None, None],
            }
        }

    monkeypatch.setattr(benchmark_study, "held_out", held_out)
    told = train_side(tmp_path, STUDY, FULL, 2, False)
    assert told["all"][:, :, 0].tolist() == [[142, 242], [143, 243]]


@pytest.mark.parametrize("name", report.ON_BENCHMARK)
def test_committed_studies_are_of_today_s_sides(name):
    study = report.ON_BENCHMARK[name]
    made = report.committed(study.name)
    assert [row["title"] for row in made["rows"]] == [side.title for side in study.sides]
    assert made["made_by"] == f"{study.command} --seeds {made['seeds']}"


def test_studies_on_the_benchmark_are_made_when_asked_for(monkeypatch, tmp_path):
    def told(folder, study, side, seeds, progress):
        label = np.tile(np.arange(8), 10)
        return {
            "label": label,
            "unit": np.arange(80) // 8,
            "all": np.tile(np.eye(8, dtype=np.float32)[label], (seeds, 1, 1)),
        }

    monkeypatch.setattr(report, "STUDIES", {"small": STUDY})
    monkeypatch.setattr(report, "ON_BENCHMARK", {"small": STUDY})
    monkeypatch.setattr(benchmark_study, "train_side", told)
    made = report.make(tmp_path, ["small"], seeds=3, on_benchmark=True, progress=False)
    arithmetic = training_arithmetic("cpu", STUDY.experiment(FULL).amp)
    assert f"trained in {arithmetic}" in (tmp_path / "small.md").read_text()
    assert len(made) == 2 and made[0]["clips"] == 10 and made[0]["rows"][0]["macro_f1"] == 1.0
