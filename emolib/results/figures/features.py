"""Figures of what the encoders give: a map of features, and a clip's sound beside its features."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from emolib.labels import EXPRESSIONS
from emolib.results.figures.style import (
    CLASS_COLOURS,
    CLASS_MARKERS,
    COLUMN,
    EDGE,
    OURS,
    STYLE,
    WIDE,
    blank,
)
from emolib.results.spectrogram import BANDS, log_mel


def principal_components(features: np.ndarray, count: int = 2) -> np.ndarray:
    """``features`` [n, d] on the ``count`` directions in which they differ most after
    standardising, each with a fixed sign.
    """
    standard = _standardised(features)
    _, _, directions = np.linalg.svd(standard, full_matrices=False)
    largest = np.take_along_axis(directions, np.abs(directions).argmax(1)[:, None], 1)
    return standard @ (directions * np.sign(largest))[:count].T


def _standardised(features: np.ndarray) -> np.ndarray:
    return (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)


@mpl.rc_context(STYLE)
def embedding(points: np.ndarray, labels: np.ndarray, *, title: str, origin: str) -> Figure:
    """A map of feature vectors reduced to ``points`` [n, 2], each in the colour and with the marker
    of its class.
    """
    figure, axis = blank(title, origin=origin, size=(COLUMN, 2.9))
    for index, name in enumerate(EXPRESSIONS):
        of_class = points[labels == index]
        if len(of_class):
            axis.scatter(
                *of_class.T,
                s=9,
                marker=CLASS_MARKERS[index],
                facecolor=CLASS_COLOURS[index],
                alpha=0.8,
                label=name,
                **(EDGE | {"linewidth": 0.2}),
            )
    axis.set(xlabel="first component", ylabel="second component")
    figure.legend(loc="outside lower center", ncols=4, columnspacing=0.8, markerscale=1.5)
    return figure


@mpl.rc_context(STYLE)
def audio_features(
    waveform: np.ndarray, rate: int, features: np.ndarray, *, title: str, origin: str
) -> Figure:
    """The sound of one clip, its log-mel spectrogram, and its features [steps, channels] over time,
    each standardised.

    ``waveform``: -1 to 1, ``rate`` samples a second. Channels that move together stand together:
    they are sorted by their weight in the first principal component, and averaged to as many as
    print can show.
    """
    figure, (sound, spectrum, channels) = blank(
        title,
        origin=origin,
        rows=3,
        size=(WIDE, 3.6),
        sharex=True,
        gridspec_kw={"height_ratios": [1, 2, 2]},
    )
    seconds = len(waveform) / rate
    parts = np.array_split(waveform, max(1, min(1500, len(waveform))))  # more than there are pixels
    low, high = ([float(edge(part)) for part in parts] for edge in (np.min, np.max))
    middles = (np.arange(len(parts)) + 0.5) / len(parts) * seconds
    sound.fill_between(middles, low, high, color=OURS, lw=0.4)
    sound.set(ylabel="amplitude", xlim=(0, seconds))
    loudness = log_mel(waveform, rate)
    over_time = {"aspect": "auto", "interpolation": "none"}
    image = spectrum.imshow(
        loudness,
        cmap="magma",
        origin="lower",
        vmin=loudness.max() - 80,
        extent=(0, seconds, 0, BANDS),
        **over_time,
    )
    kilohertz = np.array([0.5, 1, 2, 4, 8])
    kilohertz = kilohertz[kilohertz <= rate / 2000]
    bands = _mel(1000 * kilohertz) / _mel(rate / 2) * BANDS
    spectrum.set_yticks(bands, [f"{value:g}" for value in kilohertz])
    spectrum.set_ylabel("frequency, kHz")
    figure.colorbar(image, ax=spectrum, label="dB", fraction=0.03)
    image = channels.imshow(
        _sorted_channels(features).T,
        cmap="RdBu_r",
        vmin=-2.5,
        vmax=2.5,
        extent=(0, seconds, features.shape[1], 0),
        **over_time,
    )
    channels.set(xlabel="time, s", ylabel="channel, sorted")
    figure.colorbar(image, ax=channels, label="std. dev.", fraction=0.03)
    for axis in (spectrum, channels):
        axis.grid(visible=False)
    return figure


def _mel(hertz: np.ndarray | float) -> np.ndarray:
    """Hertz on the mel scale (HTK's formula, as in ``log_mel``)."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def _sorted_channels(features: np.ndarray, most: int = 96) -> np.ndarray:
    """``features`` [steps, channels] standardised, sorted by the first principal component, in at
    most ``most`` groups.
    """
    standard = _standardised(features)
    order = np.argsort(np.linalg.svd(standard, full_matrices=False)[2][0])
    groups = np.array_split(standard[:, order], min(most, standard.shape[1]), axis=1)
    return np.stack([group.mean(axis=1) for group in groups], axis=1)
