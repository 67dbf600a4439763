"""Generated voices: a saw-tooth source through three formants, whose quality is known.

Quality 0 is pressed and bright with a raised pitch, quality 1 breathy and dark with a lowered one.
Who speaks and which syllables are random and say nothing.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

RATE = 16_000  # Hz
PITCH = (1.15, 0.87)  # factor on the speaker's pitch: pressed, breathy
# The formants of each vowel, Hz.
VOWELS = np.array(
    [[730, 1090, 2440], [270, 2290, 3010], [300, 870, 2240], [530, 1840, 2480], [570, 840, 2410]],
    float,
)
BANDWIDTHS = (80.0, 100.0, 140.0)  # Hz


@dataclass(frozen=True)
class Speaker:
    """Pitch in Hz and a factor on all formants (the length of the vocal tract)."""

    pitch: float
    formants: float


def draw_speaker(rng: np.random.Generator) -> Speaker:
    """A random speaker, 90 to 260 Hz."""
    return Speaker(
        pitch=float(np.exp(rng.uniform(np.log(90), np.log(260)))), formants=rng.uniform(0.88, 1.15)
    )


def speak(speaker: Speaker, quality: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Random syllables of one voice quality, float32 ``[n_samples]`` in [-1, 1] at RATE."""
    sound = np.zeros(n_samples, np.float32)
    start = 0
    while start < n_samples:
        length = int(RATE * rng.uniform(0.12, 0.28))
        syllable = _syllable(speaker, quality, length, rng)[: n_samples - start]
        sound[start : start + len(syllable)] = syllable
        start += length + int(RATE * rng.uniform(0.02, 0.08))
    return sound + rng.normal(0, 0.002, n_samples).astype(np.float32)


def _syllable(speaker: Speaker, quality: int, length: int, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(length) / RATE
    pitch = (
        speaker.pitch
        * PITCH[quality]
        * rng.uniform(0.93, 1.07)
        * (1 + rng.uniform(-0.1, 0.1) * time / time[-1])
    )
    source = 2 * (np.cumsum(pitch / RATE) % 1) - 1
    if quality == 0:
        source = source - 0.7 * np.r_[0, source[:-1]]  # pressed: little spectral tilt
    else:
        # A breathy source: steep tilt, aspiration.
        source = lfilter([0.25], [1, -0.75], source) + rng.normal(0, 0.12, length)
    for frequency, bandwidth in zip(
        VOWELS[rng.integers(len(VOWELS))] * speaker.formants, BANDWIDTHS, strict=True
    ):
        radius = np.exp(-np.pi * bandwidth / RATE)
        a1, a2 = -2 * radius * np.cos(2 * np.pi * frequency / RATE), radius**2
        source = lfilter([1 + a1 + a2], [1, a1, a2], source)
    envelope = np.sin(np.pi * np.linspace(0, 1, length)) ** 0.5
    return (
        (rng.uniform(0.15, 0.3) * source / (np.sqrt(np.mean(source**2)) + 1e-9) * envelope * 0.6)
        .clip(-1, 1)
        .astype(np.float32)
    )
