"""The related pair on latent signals: only face and voice together, at the same moments, tell Fear
from Surprise (docs/benchmark.md, The related pair).
"""

from functools import partial

import numpy as np

from emolib.data.synthetic.faces import PARAMETERS, draw_expression
from emolib.data.synthetic.plan import (
    BEAT,
    DIRECTION,
    GROUP_OF,
    QUALITY,
    RELATION,
    Segment,
    course_of,
)
from emolib.features.window_sets import WindowSet
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.studies.calibration import known
from emolib.studies.calibration.latents import COURSE, NOISE, PITCH
from emolib.studies.calibration.windows import windows_of
from emolib.studies.effects.study import Side, Study, random_prompts

MOMENTS = known.WINDOW // BEAT  # of a window: faces, and steps of sound, one in each beat
TIME = 2.0  # how loud a step's own time is


def related_windows(
    clips_of_each: int, seed: int, *, timed: bool = False, joined: bool = False
) -> WindowSet:
    """Windows of 60 frames of which one in each beat is kept, with a step of sound for each.

    ``timed``: every step of sound tells its place as well, by one of MOMENTS further numbers.
    ``joined``: each face has the sound of its moment beside it, so that the TCN sees both.
    """
    face_map, voice_map = _maps()
    rng = np.random.default_rng(seed)
    label = np.tile(np.arange(NUM_CLASSES), clips_of_each)
    signals = [_signals(EXPRESSIONS[each], int(GROUP_OF[each]), rng) for each in label]
    faces = np.stack([face for face, _ in signals]) @ face_map  # [N, MOMENTS, D_v]
    sound = voice_map[np.stack([quality for _, quality in signals])]  # [N, MOMENTS, D_a]
    faces += NOISE * rng.normal(size=faces.shape)
    sound = sound + rng.normal(size=sound.shape)
    if timed:
        places = np.broadcast_to(TIME * np.eye(MOMENTS), (len(label), MOMENTS, MOMENTS))
        sound = np.concatenate([sound, places], axis=2)
    if joined:
        faces = np.concatenate([faces, sound], axis=2)
    return windows_of(faces, sound, label)


def _signals(name: str, group: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Of a window of the class ``name``: expression and pitch [MOMENTS, 8], voice qualities."""
    segment = Segment(
        first=0,
        last=COURSE,
        label=EXPRESSIONS.index(name),
        direction=DIRECTION.get(name) or int(rng.choice([-1, 1])),
        quality=QUALITY[name] if name in QUALITY else int(rng.integers(2)),
        relation=RELATION.get(name, 0),
        phase=int(rng.integers(2 * BEAT)),
    )
    pitch = course_of(segment, rng, known.DIFFICULTY)
    quality = np.zeros(COURSE, int)
    for first, each in segment.qualities():
        quality[first:] = each
    start = int(rng.integers(COURSE - known.WINDOW + 1))
    kept = slice(start, start + known.WINDOW, BEAT)
    expression = draw_expression(group, rng, MOMENTS)
    return np.column_stack([expression, pitch[kept]]), quality[kept]


def _maps() -> tuple[np.ndarray, np.ndarray]:
    """How features are made from the signals of a face and from a voice's quality."""
    rng = np.random.default_rng(99)
    face_map = rng.normal(size=(len(PARAMETERS) + 1, known.WIDTHS[0]))
    face_map[-1] *= PITCH
    return face_map, rng.normal(size=(2, known.WIDTHS[1]))


timed_windows, joined_windows = (
    partial(related_windows, **{name: True}) for name in ("timed", "joined")
)
joined_prompts = partial(random_prompts, sum(known.WIDTHS))
CONCAT = {"fusion": "concat"}
RELATED = Study(
    name="relation",
    module=__name__,
    question="Can the model learn a pair that only face and voice together tell?",
    known="Attention has no positions: where steps of sound do not tell their time, it cannot.",
    sides=(
        Side("full", "Full model", {}, related_windows, related_windows),
        Side("concat", "Concatenation", CONCAT, related_windows, related_windows),
        Side("timed", "Full model, sound tells its time", {}, timed_windows, timed_windows),
        Side(
            "joined",
            "Full model, sound beside the face in the TCN",
            {},
            joined_windows,
            joined_windows,
            joined_prompts,
        ),
    ),
    classes=tuple(RELATION),
    settings={"window": MOMENTS, "epochs": 14, "tcn_blocks": 3, "batch_size": 32},
    train_clips=80,
)
