"""The sound of windows as features, from an :class:`Observation`.

A window that is digital silence throughout has no steps, as one without a sound track:
both are the same to hear.
"""

import numpy as np
import torch

from emolib.data.media import audible
from emolib.encoders.wav2vec2 import HOP, AudioEncoder
from emolib.features.sound import SoundEncoder, filled
from emolib.video.observation import Observation
from emolib.video.spool import PieceSpool

SOUNDS = 16  # waveforms encoded at once

WindowSound = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(features float16 ``[S, width]``, first row and number of steps of each window, int64 ``[N]``)"""


def encode_track(observation: Observation, encoder: AudioEncoder) -> None:
    """Encode the whole sound into ``observation.steps``, for runs with audio_context=track."""
    if observation.sound is None:
        return
    steps = PieceSpool(np.float16, encoder.width)
    for place, first, last in observation.sound.spans():
        waveform = observation.sound.spool.mapped(first, last)[:, 0]
        at = max(steps.end, round(place / HOP))
        steps.append(at, SoundEncoder(encoder).track(waveform))
    observation.steps = steps


def sound_of_windows(
    observation: Observation,
    encoder: AudioEncoder | None,
    begin: np.ndarray,
    samples: np.ndarray,
    *,
    zeros: bool = False,
) -> WindowSound:
    """Features of the spans of ``samples`` samples from ``begin`` on, int64 ``[N]`` each.

    ``zeros``: they are encoded where there is no sound (``missing_sound``).
    """
    if encoder is None or (observation.sound is None and not zeros):
        return _encoded([], len(begin), encoder)
    waves = [np.zeros(0, np.int16)] * len(begin)
    if observation.sound is not None:
        waves = [
            observation.sound.read(first, first + count)[:, 0]
            for first, count in zip(begin.tolist(), samples.tolist(), strict=True)
        ]
    if zeros:
        waves = [filled(wave, count) for wave, count in zip(waves, samples.tolist(), strict=True)]
    else:
        waves = [wave if audible(wave).any() else wave[:0] for wave in waves]
    if observation.steps is not None:
        return _of_track(observation.steps, encoder, waves, begin, samples)
    return _encoded(waves, len(begin), encoder)


def _of_track(
    steps: PieceSpool,
    encoder: AudioEncoder,
    waves: list[np.ndarray],
    begin: np.ndarray,
    samples: np.ndarray,
) -> WindowSound:
    """From the encoded track: as many steps as the span alone would give."""
    first = np.minimum(np.rint(begin / HOP).astype(np.int64), steps.end)
    counts = [
        encoder.steps(count) if len(wave) else 0
        for count, wave in zip(samples.tolist(), waves, strict=True)
    ]
    length = np.minimum(counts, steps.end - first)
    features = steps.read(int(first.min()), int((first + length).max()))
    return features, first - first.min(), length


def _encoded(waves: list[np.ndarray], n: int, encoder: AudioEncoder | None) -> WindowSound:
    """Of ``n`` segments int16, each encoded alone; none at all without waves."""
    width = 1 if encoder is None else encoder.width
    steps = [np.zeros((0, width), np.float16)] * n
    by_length: dict[int, list[int]] = {}
    for i, wave in enumerate(waves):
        by_length.setdefault(len(wave), []).append(i)
    # Only equal lengths are encoded together: padding would change every output.
    for size, same in by_length.items():
        if encoder is None or not encoder.steps(size):
            continue
        for first in range(0, len(same), SOUNDS):
            group = same[first : first + SOUNDS]
            batch = np.stack([waves[i] for i in group]).astype(np.float32) / 32767
            features = encoder.waveforms(torch.from_numpy(batch)).cpu().numpy()
            for i, feature in zip(group, features.astype(np.float16), strict=True):
                steps[i] = feature
    length = np.array([len(part) for part in steps], np.int64)
    return np.concatenate(steps), np.cumsum(length) - length, length
