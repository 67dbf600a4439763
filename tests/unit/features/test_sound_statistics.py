"""Statistics of pooled sound come from the training windows that have sound."""

import numpy as np

from emolib.features.batches import fit_statistics, sound_statistics
from emolib.model import EmotionModel
from tests.support.windowsets import make, tiny


def test_statistics_of_every_window_with_sound():
    windows = make(ragged=True)
    expected = []
    for start, length in zip(windows.audio_start, windows.audio_length, strict=True):
        if length:
            steps = windows.audio[start : start + length].astype(np.float64)
            spread = np.maximum(steps.std(axis=0), 1e-3)
            expected.append(np.concatenate([steps.mean(axis=0), spread]))
    assert (windows.audio_length == 0).any(), "some windows have no sound"
    statistics = sound_statistics(windows)
    np.testing.assert_allclose(statistics, expected, rtol=1e-3, atol=1e-4)
    model = EmotionModel(tiny(audio_pooling="statistics", fusion="concat"))
    fit_statistics(model, windows)
    mean = model.get_buffer("pooled_mean").numpy()
    np.testing.assert_allclose(mean, np.mean(expected, axis=0), rtol=1e-3, atol=1e-4)
