"""Zero-shot: CLIP's prompts on generated faces, whose best score from still pictures is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from emolib.data import media
from emolib.data.synthetic.faces import GROUPS, Pose, draw_expression, draw_identity, render
from emolib.data.synthetic.observer import ceiling_row
from emolib.errors import EmolibError, WrongCall
from emolib.labels import EXPRESSIONS
from emolib.video.options import PROMPT_SETS
from emolib.video.timeline import PROBABILITIES
from emolib.video.zero_shot import LIMITS, ZeroShot, class_features, zero_shot_probabilities
from tests.support.videos import go, make_video, rows_of

FACES = 24  # of each class
CEILING = ceiling_row("still", 10, "frame", np.ones(len(EXPRESSIONS)))["macro_f1"]


@pytest.fixture(scope="module")
def faces(module_path):
    """(a video that shows another generated face in each frame, the class of each)."""
    rng = np.random.default_rng(5)
    labels = np.tile(np.arange(len(EXPRESSIONS)), FACES)
    group = [
        next(i for i, names in enumerate(GROUPS) if EXPRESSIONS[label] in names) for label in labels
    ]
    images = [render(draw_identity(rng), draw_expression(g, rng)[0], Pose(), rng) for g in group]
    video = module_path / "faces.mp4"
    media.write_video(video, images, 25.0, None, size=(112, 112))
    return video, labels


def predicted(video, out, **options):
    """(rows, summary) by the package's own encoder, each frame a face crop."""
    options = {"zero_shot": True, "weights": "synthetic", "faces": "whole", **options}
    (summary,), _ = go(video, None, out, **options)
    return rows_of(out, video), summary


def macro_f1(rows, labels):
    best = rows[PROBABILITIES].to_numpy().argmax(axis=1)
    return f1_score(labels, best, average="macro", labels=range(8), zero_division=0)


def test_a_missing_detector_and_missing_weights_are_told_together(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EmolibError) as caught:
        ZeroShot.load(str(tmp_path))
    message = str(caught.value)
    detector = "opencv/face_detection_yunet face_detection_yunet_2023mar.onnx"
    assert f"hf download {detector} " in message and "\n" not in message
    assert "hf download openai/clip-vit-base-patch32 config.json" in message
    with pytest.raises(EmolibError) as caught:
        ZeroShot.load(str(tmp_path), faces="whole")
    assert "hf download opencv" not in str(caught.value)


def test_generated_faces_reach_the_ceiling_of_still_pictures(faces, tmp_path):
    video, labels = faces
    rows, summary = predicted(video, tmp_path)
    score = macro_f1(rows, labels)
    assert CEILING - 0.1 <= score <= CEILING + 0.1
    shuffled = np.random.default_rng(0).permutation(labels)
    assert macro_f1(rows, shuffled) < 0.25 < CEILING - 0.1
    assert (rows["modality"] == "face").all() and (rows["weights"] == "synthetic").all()
    assert summary["limits"] == LIMITS and "not calibrated" in LIMITS
    assert summary["prompts"] == ["A face expressing {}"] and summary["sound"] == "not used"
    assert "meaningless on real people" in summary["warning"]


def test_smoothing_is_the_mean_of_the_neighbours(faces, tmp_path):
    video, _ = faces
    plain, _ = predicted(video, tmp_path / "plain")
    smoothed, summary = predicted(video, tmp_path / "smoothed", smooth=0.08)
    values, mean = plain[PROBABILITIES].to_numpy(), smoothed[PROBABILITIES].to_numpy()
    assert np.abs(mean[50] - values[48:53].mean(axis=0)).max() < 1e-5
    assert np.abs(mean - values).max() > 0.1 and summary["smooth_seconds"] == 0.08


@pytest.mark.parametrize("prompts", PROMPT_SETS)
def test_every_prompt_set_gives_eight_directions_of_its_own(prompts):
    encoder = ZeroShot.load("synthetic", faces="whole").visual
    directions = class_features(encoder, prompts)
    assert directions.shape == (8, encoder.width)
    assert torch.allclose(directions.norm(dim=1), torch.ones(8), atol=1e-5)
    first = encoder.prompts([PROMPT_SETS[prompts][0].format("Fear")])[0]
    alike = torch.nn.functional.cosine_similarity(directions, first[None])
    assert alike.argmax() == EXPRESSIONS.index("Fear") or len(PROMPT_SETS[prompts]) > 1


def test_probabilities_are_the_softmax_of_the_scaled_cosines():
    features = torch.tensor([[2.0, 0.0], [0.0, 5.0]])
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = 1 / (1 + np.exp(-3.0))
    values = zero_shot_probabilities(features, directions, 3.0)
    assert values.numpy() == pytest.approx(
        np.array([[expected, 1 - expected], [1 - expected, expected]]), abs=1e-6
    )


def test_wrong_calls_are_refused_before_any_work(tmp_path):
    video = make_video(tmp_path / "a.mp4", 3, size=(112, 112))
    with pytest.raises(WrongCall, match="did you mean 'paper'"):
        predicted(video, tmp_path / "out", prompts="papers")
    with pytest.raises(WrongCall, match="0 seconds or more"):
        predicted(video, tmp_path / "out", smooth=-1.0)
    with pytest.raises(EmolibError, match="weights"):
        predicted(video, tmp_path / "out", weights=str(tmp_path))
