"""``studies.reach`` from the generator to the table, at a small size."""

import pandas as pd

from emolib.config import preset
from emolib.studies import reach

SMALL = {
    "width": 16,
    "attention_heads": 2,
    "tcn_blocks": 1,
    "window": 10,
    "windows": "10",
    "seeds": "42",
    "epochs": 1,
    "batch_size": 4,
    "class_weights": "none",
    "synth_train_clips": 4,
    "synth_validation_clips": 2,
    "synth_test_clips": 0,
    "synth_seconds": 2.0,
}


def test_runs_have_the_ceiling_of_their_own_draw(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    experiment, folder = preset("demo", **SMALL), tmp_path / "reach"
    scores = reach.runs(experiment, folder, draws=(7, 8), workers=0, progress=False)
    assert scores["synth_seed"].tolist() == [7, 8] and scores["macro_f1"].between(0, 1).all()
    assert scores["ceiling"].between(1 / 8, 1).all(), "at least chance"
    assert (scores["gap"] == scores["ceiling"] - scores["macro_f1"]).all()
    written = pd.read_csv(folder / f"reach_{experiment.amp}.csv")
    pd.testing.assert_frame_equal(written, scores)
