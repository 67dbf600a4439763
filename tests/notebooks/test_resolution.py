"""Notebook 11 with few repetitions and other parameters than the pipeline's:
it runs without a run, a data set or training.
"""

import json
import os

import pytest

from emolib.pipeline import kernel
from emolib.system.files import project_root

(NOTEBOOK,) = (project_root() / "notebooks").glob("11_*.ipynb")


def test_runs_alone_and_records_bands(tmp_path):
    env = {**os.environ, "EMOLIB_RUNS": str(tmp_path)}
    parameters = {"repetitions": 200, "hardest": 8.0, "mildest": 32.0}
    copy = tmp_path / NOTEBOOK.name
    kernel.execute(NOTEBOOK, copy, parameters, time_limit=300, env=env, progress=False)
    record = json.loads((tmp_path / "demo" / "records" / f"{NOTEBOOK.stem}.json").read_text())
    found = record["metrics"]
    assert found["effective_videos_of_disgust"] == pytest.approx(1.436, abs=0.001)
    for name in ("interval_width", "same_method_must_exceed", "smallest_effect"):
        assert 0 < found[f"{name}_low"] < found[f"{name}_high"] < 0.3, name
    assert found["can_be_shown"] >= 3
    assert not (tmp_path / "demo" / "metrics.json").exists(), "nothing was trained"
