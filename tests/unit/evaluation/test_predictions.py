"""Frame predictions and files of a model, on small sets in memory."""

import numpy as np
import pandas as pd
import pytest
import torch

from emolib.errors import EmolibError
from emolib.evaluation.predictions import (
    fallback,
    frame_rows,
    predict_clips,
    predict_windows,
    score_of_clips,
    window_score,
    write_clip,
)
from emolib.features.batches import fit_statistics
from emolib.labels import EXPRESSIONS
from emolib.model import EmotionModel
from tests.support.windowsets import make, tiny


@pytest.fixture
def windows():
    return make(stride=3)


def test_the_fallback_asks_no_device_for_float64(windows, monkeypatch):
    """An mps device has none, so the numbers are copied to the host first."""
    model, types = model_of(windows), []

    def cpu(prior):
        types.append(prior.dtype)
        return prior

    monkeypatch.setattr(torch.Tensor, "cpu", cpu)
    assert fallback(model) == pytest.approx(model.class_prior.numpy())
    assert types == [torch.float32]


def model_of(windows, **changes):
    torch.manual_seed(0)
    model = EmotionModel(tiny(**changes))
    fit_statistics(model, windows)
    return model


def test_every_frame_gets_a_row_of_the_window_that_ends_there(windows):
    model = model_of(windows).train()
    by_window, rows = predict_windows(model, windows), predict_clips(model, windows)
    assert model.training, "predicting leaves the mode as it was"
    assert (
        by_window.sum(axis=1) == pytest.approx(1, abs=1e-5)
        and np.ptp(by_window, axis=0).max() > 0.01
    )
    mine = windows.clip == 3
    for end, probability in zip(windows.end[mine], by_window[mine], strict=True):
        assert rows[3][end - 1] == pytest.approx(probability)


def test_a_clip_without_a_face_gets_the_training_shares(windows):
    model = model_of(windows)
    keep = windows.clip != 2
    for name in ("frames", "audio_start", "audio_length", "label", "clip", "end"):
        setattr(windows, name, getattr(windows, name)[keep])
    rows = predict_clips(model, windows)
    assert rows[2] == pytest.approx(np.tile(model.class_prior.numpy(), (40, 1)))
    assert rows[1] != pytest.approx(rows[2])


def test_a_set_of_faceless_clips_alone_is_predicted_and_scored(windows):
    model, whole = model_of(windows), windows.clips
    for name in ("frames", "audio_start", "audio_length", "label", "clip", "end"):
        setattr(windows, name, getattr(windows, name)[:0])
    assert predict_windows(model, windows).shape == (0, 8)
    assert [np.unique(rows, axis=0).tolist() for rows in predict_clips(model, windows)] == [
        [fallback(model).tolist()]
    ] * len(whole)
    sets = [windows, make(seed=1, stride=3)]
    pairs = [(clip, rows) for clip, (rows,) in frame_rows([model], sets)]
    score = score_of_clips(*map(list, zip(*pairs, strict=True)))
    assert score["protocol"] == "frame" and score["n"] == 2 * 8 * 40
    with pytest.raises(EmolibError, match="nothing to score"):
        window_score(model, windows)


def test_smoothing_smooths(windows):
    rough = predict_clips(model_of(windows), windows)[0]
    even = predict_clips(model_of(windows, smoothing="box", smoothing_half_width=5), windows)[0]
    assert np.abs(np.diff(even, axis=0)).max() < 0.5 * np.abs(np.diff(rough, axis=0)).max()


def test_scores_name_their_protocol_and_files_hold_the_rows(windows, tmp_path):
    model = model_of(windows)
    rows = predict_clips(model, windows)
    assert window_score(model, windows)["protocol"] == "window" and window_score(model, windows)[
        "n"
    ] == len(windows.label)
    score = score_of_clips(windows.clips, rows)
    assert score["protocol"] == "frame" and score["n"] == 8 * 40 and score["clips"] == 8
    write_clip(tmp_path / "clip5.parquet", windows.clips[5], rows[5])
    table = pd.read_parquet(tmp_path / "clip5.parquet")
    assert list(table) == [
        "frame",
        "time",
        "label",
        "face",
        *(f"p_{name}" for name in EXPRESSIONS),
        "prediction",
    ]
    assert table.prediction.tolist() == rows[5].argmax(axis=1).tolist() and table.time[30] == 1.0
    accuracy = np.mean(
        [row.argmax(axis=1) == clip.labels for row, clip in zip(rows, windows.clips, strict=True)]
    )
    assert score["accuracy"] == pytest.approx(accuracy)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(windows, monkeypatch):
    model = model_of(windows)
    expected, sizes, forward = predict_windows(model, windows), [], model.forward

    def small_device(visual, *rest):
        sizes.append(len(visual))
        if len(visual) > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(visual, *rest)

    monkeypatch.setattr(model, "forward", small_device)
    np.testing.assert_allclose(predict_windows(model, windows), expected, atol=1e-6)
    assert sizes[:3] == [64, 32, 16]

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model, "forward", full)
    with pytest.raises(EmolibError, match="out of memory with a single window"):
        predict_windows(model, windows)
