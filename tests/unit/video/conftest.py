"""Runs with untrained models, and a stand-in for the face detector."""

import pytest

from emolib.video import predictor as predictor_module
from emolib.video import reading
from tests.support.videos import SquareFinder, make_run


@pytest.fixture(scope="module", autouse=True)
def one_decoder():
    """The process that decodes serves all tests of a module, as it serves all videos of a call:
    it takes longer to start than a test's video to be read.
    """
    end = reading.end_idle
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "end_idle", lambda: None)
        yield
    end()


@pytest.fixture
def squares(monkeypatch, tmp_path):
    monkeypatch.setattr(predictor_module, "FaceFinder", SquareFinder)
    detector = tmp_path / "squares.onnx"
    detector.write_text("squares")
    return detector


@pytest.fixture(scope="module")
def run(module_path):
    return make_run(module_path / "both")


@pytest.fixture(scope="module")
def deaf(module_path):
    return make_run(module_path / "deaf", modalities="visual", fusion="concat")


@pytest.fixture(scope="module")
def blind(module_path):
    return make_run(
        module_path / "blind",
        modalities="audio",
        fusion="concat",
        contrastive_weight=0.0,
    )
