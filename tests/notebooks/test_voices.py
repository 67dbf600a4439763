"""The pipeline's notebooks on another data set, and on one stream: voices in RAVDESS's layout."""

import pytest

from emolib.config import preset
from emolib.errors import WrongCall
from emolib.pipeline import run as pipeline
from emolib.pipeline import session
from emolib.studies.people import VOICES
from tests.support.recordings import ravdess_voices

TINY = {"window": 20, "windows": "10,20", "seeds": "42,43", "epochs": 2, "width": 16, "folds": 3}


def test_the_notebooks_run_on_voices_and_leave_out_what_needs_faces(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    voices = ravdess_voices(tmp_path / "voices", actors=range(1, 7), seconds=1.5)
    changes = {**VOICES, **TINY, "batch_size": 16}
    experiment = preset("demo", dataset="ravdess", data=str(voices), fold=1, **changes)
    summary = pipeline.run(experiment, "voices", progress=False)
    folder = tmp_path / "runs" / "voices"
    numbers = [path.name[:2] for path in sorted((folder / "notebooks").glob("*.ipynb"))]
    assert numbers == ["01", "04", "05", "06", "11"]
    assert summary["test_table"] == [], "there is no submission"
    assert {row["window"] for row in summary["window_table"]} == {10, 20}
    counts = (folder / "figures" / "class_counts.md").read_text(encoding="utf-8")
    assert "Other, not in this data set" in counts
    assert "official release" not in counts, "that of Aff-Wild2"


def test_a_notebook_of_faces_says_at_once_that_there_are_none():
    settings = "modalities=audio,fusion=concat,contrastive_weight=0"
    with pytest.raises(WrongCall, match="modalities=audio: this notebook looks into the visual"):
        session.begin("demo", settings=settings, needs=["visual", "audio"])
    assert session.begin("demo", settings=settings).experiment.modalities == "audio"
