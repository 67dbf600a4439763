"""``bench paper``: the tree has the true shape, and the rehearsal ends at a small size."""

import numpy as np
import pytest

from emolib.bench import paper
from emolib.bench.paper_tree import TEST_ROWS, files_of, runs, write_tree
from emolib.config import preset
from emolib.data.structure import CLASS_COLUMNS, annotation_files
from emolib.features.prepare import clips_of
from emolib.system.files import read_json


def test_at_scale_one_the_files_are_those_of_the_data_set():
    files, real = files_of(1.0), annotation_files()
    assert files["split"].value_counts().to_dict() == {"train": 247, "test": 228, "validation": 70}
    labelled = files[files["split"] != "test"].reset_index(drop=True)
    for name in ("id", "fps", "lines", *CLASS_COLUMNS):
        assert (labelled[name] == real[name]).all()
    assert files[files["split"] == "test"]["lines"].sum() == TEST_ROWS


def test_a_small_scale_keeps_every_class_slow_rates_and_the_longest_file():
    files = files_of(0.02)
    assert files["lines"].sum() == pytest.approx(0.02 * files_of(1.0)["lines"].sum(), rel=0.8)
    for split in ("train", "validation"):
        part = files[files["split"] == split]
        assert (part[CLASS_COLUMNS].sum() >= 1).all() and part["fps"].min() < 16
    longest = annotation_files().sort_values("lines").iloc[-1]["id"]
    assert files.sort_values("lines").iloc[-1]["id"] == longest


def test_runs_have_the_counts_and_the_lengths_that_are_asked():
    counts = {0: 40_000, 3: 2_000, -1: 8_000}
    labels = runs(counts, dict.fromkeys(counts, 100), np.random.default_rng(0))
    assert {value: int((labels == value).sum()) for value in counts} == counts
    # 500 runs in random order, of which neighbours of one value join.
    shares = np.array([count / 50_000 for count in counts.values()])
    expected = 500 * (1 - (shares**2).sum())
    assert np.count_nonzero(np.diff(labels)) == pytest.approx(expected, rel=0.2)


def test_the_tree_is_read_as_the_data_set_is(tmp_path):
    write_tree(tmp_path / "tree", 0.0005, progress=False)
    experiment = preset("paper", data=str(tmp_path / "tree"))
    clips = clips_of(experiment, ("train", "validation", "test"), progress=False)
    files = files_of(0.0005).set_index("id")
    assert sorted(files.index) == sorted(clip.id for clip in clips)
    for clip in clips:
        assert clip.time_source == "video"
        assert clip.fps == pytest.approx(files.loc[clip.id, "fps"], rel=2e-3)
        assert len(clip.labels) == round(files.loc[clip.id, "lines"])
        assert 0.9 < clip.face_present.mean() < 1


@pytest.mark.slow
def test_the_rehearsal_runs_to_its_end(tmp_path):
    result = paper.run(tmp_path, small=True, scale=0.002, progress=False)
    assert read_json(tmp_path / "paper.json")["stages"] == result["stages"]
    stages = {row["stage"].rpartition(": ")[2]: row for row in result["stages"]}
    assert list(stages) == [
        "make the tree",
        "doctor",
        "clips",
        "index",
        "faces",
        "sound",
        "random features",
        "load",
        "training",
        "validation",
        "every frame, without the encoder",
        "sound as whole tracks, instead",
        "submission",
    ]
    assert all(0 < row["share"] <= 1 for row in stages.values())
    assert all("of_limit" in stages[name] for name in ("faces", "sound", "training"))
    assert stages["training"]["loss"] > 0 and stages["submission"]["lines"] > 1000
    last = paper.table(result).splitlines()[-1]
    assert "minutes for 5 seeds" in last and f"training in {result['arithmetic']}: " in last
    tracks = stages["sound as whole tracks, instead"]["projected"]
    assert tracks < stages["sound"]["projected"], "each second once, not once a window"
    assert [path.name for path in tmp_path.iterdir()] == ["paper.json"], "nothing is left behind"
