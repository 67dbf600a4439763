"""The generated benchmark without pictures and sound:
windows whose features are its latent signals, mapped at random.

The signals are the generator's own (``data.synthetic.plan``), so the ideal observer's ceilings hold
for any model trained on them; a training takes seconds. Classes are equally frequent.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np

from emolib.config import Experiment, preset
from emolib.data.synthetic.faces import draw_expression
from emolib.data.synthetic.observer import ceiling_row
from emolib.data.synthetic.plan import DIRECTION, GROUP_OF, QUALITY, pitch_of
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.windows import index_windows

COURSE = 150  # frames of one emotion, as in the benchmark
STEPS = 6  # of sound in a window
NOISE = 0.3  # of a feature; a latent signal is spread over all of them
# how much louder the pitch is than the expression,
# so that few windows are enough to learn its course
PITCH = 8.0
SMALL = {
    "width": 48,
    "attention_heads": 2,
    "tcn_blocks": 4,
    "epochs": 8,
    "batch_size": 32,
    "learning_rate": 4e-3,
    "min_learning_rate": 1e-4,
    "amp": "float32",
    "tcn_dropout": 0.0,
    "classifier_dropout": 0.0,
}


def small(**changes: Any) -> Experiment:
    """The demo preset, shrunk."""
    return preset("demo", **{**SMALL, **changes})


def make(clips_of_each: int, seed: int, *, window: int = 60, backwards: bool = False) -> Any:
    """A WindowSet of ``clips_of_each`` clips of each class, one window a clip,
    cut from anywhere in a course of 150 frames.

    (Cut from a fixed place, the level of the pitch would tell the motion pair.) ``backwards`` plays
    the faces in reverse.
    """
    rng = np.random.default_rng(seed)
    maps = np.random.default_rng(99)
    face_map, voice_map = (
        maps.normal(size=shape).astype(np.float32) for shape in ((8, 512), (2, 768))
    )
    face_map[-1] *= PITCH
    labels = np.tile(np.arange(NUM_CLASSES), clips_of_each)
    clips, visual, audio, frames = [], [], [], []
    for number, label in enumerate(labels):
        name = EXPRESSIONS[label]
        direction = DIRECTION.get(name) or int(rng.choice([-1, 1]))
        quality = QUALITY[name] if name in QUALITY else int(rng.integers(2))
        start = int(rng.integers(COURSE - window + 1))
        expression = draw_expression(int(GROUP_OF[label]), rng, window)
        pitch = pitch_of(COURSE, direction, rng)[start:][:window]
        latents = np.column_stack([expression, pitch])
        latents = (latents[::-1] if backwards else latents).astype(np.float32)
        visual.append(_noisy(latents @ face_map, NOISE, rng))
        audio.append(_noisy(np.tile(voice_map[quality], (STEPS, 1)), 1.0, rng))
        clips.append(_clip(number, int(label), window))
        index = index_windows(
            clips[-1].labels, clips[-1].face_present, length=window, stride=window
        )
        frames.append(number * window + index.frames - 1)
    count = len(labels)
    return SimpleNamespace(
        clips=clips,
        visual=np.concatenate(visual),
        frames=np.concatenate(frames).astype(np.int64),
        audio=np.concatenate(audio),
        audio_start=np.arange(count) * STEPS,
        audio_length=np.full(count, STEPS, np.int32),
        label=labels.astype(np.int64),
        clip=np.arange(count, dtype=np.int32),
        end=np.full(count, window, np.int32),
    )


def _noisy(signal: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """float16 features ``[n, D]``: ``signal`` in noise."""
    return (signal + noise * rng.standard_normal(signal.shape, np.float32)).astype(np.float16)


def _clip(number: int, label: int, frames: int) -> Any:
    """A clip of one label, with a face in every frame."""
    return SimpleNamespace(
        person="",
        id=f"clip{number}",
        labels=np.full(frames, label, np.int8),
        face_present=np.ones(frames, bool),
        frame_times=np.arange(frames) / 30,
        fps=30.0,
    )


def ceiling(inputs: str, window: int = 60) -> float:
    """The ideal observer's best macro-F1 for equally frequent classes."""
    return float(ceiling_row(inputs, window, "window", np.ones(NUM_CLASSES))["macro_f1"])
