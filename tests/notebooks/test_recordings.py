"""The pipeline's notebooks on acted recordings with faces, in RAVDESS's layout."""

import pytest

from emolib.config import preset
from emolib.pipeline import run as pipeline
from tests.support.recordings import ravdess_faces

TINY = {
    "visual_encoder": "synthetic",
    "audio_encoder": "synthetic",
    "window": 20,
    "windows": "10,20",
    "seeds": "42,43",
    "epochs": 2,
    "width": 16,
    "batch_size": 16,
    "folds": 3,
    "selection": "last",
}
OF_ALL_DATA = ("01", "02", "03", "04", "05", "06", "11")


@pytest.mark.parametrize(
    "numbers", [("02", "03"), pytest.param(OF_ALL_DATA, marks=pytest.mark.slow)]
)
def test_the_notebooks_run_on_recordings_with_faces(tmp_path, monkeypatch, numbers):
    """02 and 03 look at faces; the others run on voices as well (test_voices)."""
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    faces = ravdess_faces(tmp_path / "faces", actors=range(1, 7), seconds=1.2)
    experiment = preset("paper", dataset="ravdess", data=str(faces), fold=1, **TINY)
    summary = pipeline.run(experiment, "faces", only=",".join(numbers), progress=False)
    assert sorted(name[:2] for name in summary["notebooks"]) == list(numbers)
    figures = tmp_path / "runs" / "faces" / "figures"
    assert (figures / "class_weights.svg").is_file(), "Other has no window there and no weight"
