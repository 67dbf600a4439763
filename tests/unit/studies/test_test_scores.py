"""Submissions of several windows: one a window, checked,
scored only where the truth is generated.
"""

import numpy as np
import pandas as pd
import pytest

from emolib.config import preset
from emolib.data import synthetic
from emolib.data.layout import find_layout
from emolib.errors import EmolibError
from emolib.studies import submission
from emolib.studies import test_scores as testset


@pytest.fixture(scope="module")
def root(module_path):
    folder = module_path / "tree"
    small = preset(
        "demo", synth_train_clips=1, synth_validation_clips=1, synth_test_clips=3, synth_seconds=2.0
    )
    synthetic.write_tree(small, folder, progress=False)
    return folder


@pytest.fixture
def perfect(root, monkeypatch):
    """Submissions that hold the truth, but for every ``wrong``-th frame of the window's run."""

    def of_run(run, out, *, template, progress):
        ids = {
            path.stem: synthetic.labels_of(root, path.stem)
            for path in (root / "latents").glob("*.json")
        }
        every = {"right": 10**6, "half": 2}[run.name]
        classes = {
            clip: np.where(np.arange(len(label)) % every == every - 1, (label + 1) % 8, label)
            for clip, label in ids.items()
        }
        return submission.write_submission(template, classes, out)

    monkeypatch.setattr(submission, "of_run", of_run)


def test_one_row_a_window_scored_against_the_generated_truth(root, perfect, tmp_path):
    runs = pd.DataFrame(
        {"window": [10, 10, 60], "seed": [1, 2, 1], "folder": ["half", "right", "right"]}
    )
    rows = testset.rows(runs, preset("demo"), root, tmp_path, progress=False)
    assert [row["window"] for row in rows] == [10, 60] and rows[0]["clips"] == 3
    assert rows[1]["accuracy"] == 1.0 and rows[1]["macro_f1"] == pytest.approx(
        rows[1]["classes"] / 8
    )
    assert 0.4 < rows[0]["accuracy"] < 0.6 and rows[0]["macro_f1"] < rows[1]["macro_f1"]
    (template,) = find_layout(root, "cropped_aligned", need_annotations=False).templates
    assert submission.check(tmp_path / "window60.txt", template) == []


def test_real_data_hide_their_truth(root, perfect, tmp_path, monkeypatch):
    monkeypatch.setattr(testset, "is_synthetic", lambda root: False)
    (row,) = testset.rows(
        pd.DataFrame({"window": [10], "folder": ["right"]}),
        preset("demo"),
        root,
        tmp_path,
        progress=False,
    )
    assert row["macro_f1"] is None and row["rows"] > 0


def test_a_template_without_rows_asks_for_nothing(tmp_path):
    (tmp_path / "empty.csv").write_text("image_location,Neutral\n")
    assert not testset.has_rows(tmp_path / "empty.csv")


def test_truth_follows_the_segments(root):
    labels = [synthetic.labels_of(root, path.stem) for path in (root / "latents").glob("*.json")]
    assert all(len(np.flatnonzero(np.diff(label))) <= 1 for label in labels), (
        "one or two emotions a clip"
    )
    with pytest.raises(EmolibError, match="no such file"):
        synthetic.labels_of(root, "nobody")
