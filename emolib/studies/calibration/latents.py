"""The generated benchmark without pictures and sound: windows whose features are its latent
signals, mapped at random.

The signals are the generator's own (``data.synthetic.plan``), so what a model can know is known
here as well, and a training takes seconds. Classes are equally frequent.
"""

import numpy as np

from emolib.data.synthetic.faces import draw_expression
from emolib.data.synthetic.plan import DIRECTION, GROUP_OF, QUALITY, pitch_of
from emolib.features.window_sets import WindowSet
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.studies.calibration.windows import windows_of

COURSE = 150  # frames of one emotion, as in the benchmark
STEPS = 6  # of sound in a window
NOISE = 0.3  # of a feature; a latent signal is spread over all of them
# how much louder the pitch is than the expression,
# so that few windows are enough to learn its course
PITCH = 8.0
WIDTHS = (512, 768)  # numbers per face and per step of sound


def make_windows(
    clips_of_each: int,
    seed: int,
    *,
    window: int = 60,
    every: int = 1,
    backwards: bool = False,
    difficulty: float = 0.0,
    widths: tuple[int, int] = WIDTHS,
) -> WindowSet:
    """``clips_of_each`` clips of each class, one window of ``window`` frames a clip, cut from
    anywhere in a course of 150 frames.

    (Cut from a fixed place, the level of the pitch would tell the motion pair.) ``every``: only
    every so-manyth frame is kept, the window's last among them. ``backwards`` plays the faces in
    reverse. ``difficulty``: of the pitch's noise, as in ``plan.pitch_of``; below 0 it is quieter.
    """
    rng = np.random.default_rng(seed)
    face_map, voice_map = _maps(widths)
    labels = np.tile(np.arange(NUM_CLASSES), clips_of_each)
    visual, audio = [], []
    for label in labels.tolist():
        faces, quality = _signals(label, window, difficulty, rng)
        faces = (faces[::-1] if backwards else faces)[every - 1 :: every].astype(np.float32)
        visual.append(faces @ face_map + NOISE * _noise(rng, len(faces), widths[0]))
        audio.append(voice_map[quality] + _noise(rng, STEPS, widths[1]))
    return windows_of(np.stack(visual), np.stack(audio), labels)


def _maps(widths: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """How features are made from the signals of a face and of a voice; the same in every draw."""
    rng = np.random.default_rng(99)
    face_map, voice_map = (
        rng.normal(size=shape).astype(np.float32) for shape in ((8, widths[0]), (2, widths[1]))
    )
    face_map[-1] *= PITCH
    return face_map, voice_map


def _signals(
    label: int, window: int, difficulty: float, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Expression and pitch of each frame ``[window, 8]``, and the quality of the voice."""
    name = EXPRESSIONS[label]
    direction = DIRECTION.get(name) or int(rng.choice([-1, 1]))
    quality = QUALITY[name] if name in QUALITY else int(rng.integers(2))
    start = int(rng.integers(COURSE - window + 1))
    expression = draw_expression(int(GROUP_OF[label]), rng, window)
    pitch = pitch_of(COURSE, direction, rng, difficulty)[start:][:window]
    return np.column_stack([expression, pitch]), quality


def _noise(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    return rng.standard_normal((rows, width), np.float32)
