"""Log-mel spectrograms for figures, by the functions of transformers' own feature extractors."""

import numpy as np

BANDS = 64
LENGTH, STEP = 0.025, 0.010  # seconds


def log_mel(waveform: np.ndarray, rate: int) -> np.ndarray:
    """The waveform [n], -1 to 1, as a log-mel spectrogram [BANDS, steps] in decibels."""
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    length, step = round(LENGTH * rate), round(STEP * rate)
    padded = np.pad(waveform.astype(np.float64), (0, max(0, length - len(waveform))))
    filters = mel_filter_bank(length // 2 + 1, BANDS, 0.0, rate / 2, rate, mel_scale="htk")
    window = window_function(length, "hann")
    return spectrogram(
        padded, window, length, step, power=2.0, mel_filters=filters, log_mel="dB", mel_floor=1e-8
    )
