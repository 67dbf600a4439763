"""A window's sound as one step: its values, the training set's statistics, the model's answer."""

import numpy as np
import torch

from emolib.features.batches import DeviceWindows, fit_statistics
from emolib.features.pooled_sound import audio_width, masked_statistics, sound_statistics
from emolib.model import EmotionModel
from tests.support.windowsets import make, tiny

POOLED = {"audio_pooling": "statistics", "fusion": "concat"}


def test_masked_statistics_are_those_of_numpy():
    x = torch.randn(3, 5, 4, dtype=torch.float64)
    pooled = masked_statistics(x, torch.tensor([5, 2, 0])).numpy()
    for row, steps in enumerate((5, 2)):
        valid = x[row, :steps].numpy()
        np.testing.assert_allclose(pooled[row, :4], valid.mean(axis=0))
        np.testing.assert_allclose(pooled[row, 4:], valid.std(axis=0))
    np.testing.assert_allclose(pooled[2], [0] * 4 + [1e-3] * 4)
    torch.testing.assert_close(
        masked_statistics(x)[0], masked_statistics(x, torch.tensor([5] * 3))[0]
    )


def expected_steps(windows):
    """Mean and deviation of each window with sound, by NumPy."""
    expected = []
    for start, length in zip(windows.audio_start, windows.audio_length, strict=True):
        if length:
            steps = windows.audio[start : start + length].astype(np.float64)
            spread = np.maximum(steps.std(axis=0), 1e-3)
            expected.append(np.concatenate([steps.mean(axis=0), spread]))
    return np.array(expected)


def fitted(windows, **changes):
    e = tiny(**POOLED, **changes)
    model = EmotionModel(e, windows.visual.shape[1], audio_width(e, windows)).eval()
    fit_statistics(model, windows)
    return model


def test_statistics_of_every_window_with_sound():
    windows = make(ragged=True)
    expected = expected_steps(windows)
    assert (windows.audio_length == 0).any(), "some windows have no sound"
    np.testing.assert_allclose(sound_statistics(windows), expected, rtol=1e-3, atol=1e-4)
    mean = fitted(windows).get_buffer("audio_mean").numpy()
    np.testing.assert_allclose(mean, expected.mean(axis=0), rtol=1e-3, atol=1e-4)


def test_a_batch_has_one_step_of_sound_or_none():
    windows = make(ragged=True)
    batches = DeviceWindows(windows, fitted(windows))
    batch = batches.batch(torch.arange(len(batches)))
    heard = windows.audio_length > 0
    assert batch.audio.shape == (len(batches), 1, 2 * windows.audio.shape[1])
    assert batch.audio_length.tolist() == heard.astype(int).tolist()
    steps = batch.audio[heard, 0].numpy()
    np.testing.assert_allclose(steps, expected_steps(windows), rtol=1e-3, atol=1e-4)


def test_a_window_is_judged_alone_as_in_a_batch():
    windows = make(ragged=True)
    model = fitted(windows, modalities="audio", contrastive_weight=0.0)
    batches = DeviceWindows(windows, model)
    with torch.no_grad():
        together, _ = model(*batches.batch(torch.arange(len(batches))))
        for row in (0, int((windows.audio_length == 0).argmax())):
            alone, _ = model(*batches.batch(torch.tensor([row])))
            torch.testing.assert_close(alone[0], together[row], rtol=1e-4, atol=1e-5)
    assert together.std(dim=0).min() > 1e-3, "windows differ"
