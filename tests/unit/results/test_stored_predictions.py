"""A run's stored predictions are those that its metrics were computed of."""

import shutil

import numpy as np
import pytest

from emolib.errors import EmolibError
from emolib.evaluation import predictions as evaluation
from emolib.results.stored_predictions import by_clip
from emolib.system.files import write_json
from tests.support.windowsets import make


def a_run(folder, seed):
    """The predictions of a run, right in most frames, and its metrics."""
    rng, clips, rows = np.random.default_rng(seed), make().clips, []
    for clip in clips:
        probability = np.eye(8)[clip.labels] + rng.random((len(clip.labels), 8)) * 1.5
        rows.append(probability / probability.sum(axis=1, keepdims=True))
        evaluation.write_clip(folder / "predictions" / f"{clip.id}.parquet", clip, rows[-1])
    write_json(folder / "metrics.json", {"frame": evaluation.score_of_clips(clips, rows)})
    return folder


def test_a_file_of_another_run_is_noticed(tmp_path):
    """It is whole, of the same clip and of as many frames."""
    run, other = a_run(tmp_path / "run", 1), a_run(tmp_path / "other", 2)
    assert len(by_clip(run)) == len(by_clip(other)) == 8
    shutil.copy(other / "predictions" / "clip3.parquet", run / "predictions")
    with pytest.raises(EmolibError, match=r"run/predictions: other predictions than were scored"):
        by_clip(run)


def test_metrics_of_another_run_are_noticed(tmp_path):
    run, other = a_run(tmp_path / "run", 1), a_run(tmp_path / "other", 2)
    shutil.copy(other / "metrics.json", run)
    with pytest.raises(EmolibError, match="other predictions than were scored"):
        by_clip(run)


@pytest.mark.parametrize("frame", [[], 3, {}, None, "n"])
def test_metrics_of_another_form_are_refused_by_name(tmp_path, frame):
    run = a_run(tmp_path / "run", 1)
    write_json(run / "metrics.json", {"frame": frame})
    with pytest.raises(EmolibError, match=r"metrics\.json: holds values of another form"):
        by_clip(run)
