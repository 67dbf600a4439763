"""Runs with untrained models, and a stand-in for the face detector."""

import pytest

from emolib.video import predictor as predictor_module
from tests.support.videos import SquareFinder, make_run


@pytest.fixture
def squares(monkeypatch, tmp_path):
    monkeypatch.setattr(predictor_module, "FaceFinder", SquareFinder)
    detector = tmp_path / "squares.onnx"
    detector.write_text("squares")
    return detector


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "both")


@pytest.fixture(scope="module")
def deaf(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "deaf", modalities="visual", fusion="concat")


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("runs") / "blind",
        modalities="audio",
        fusion="concat",
        contrastive_weight=0.0,
    )
