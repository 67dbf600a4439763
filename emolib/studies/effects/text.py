"""Guidance by text where it could help: few labels of two classes, and prompts that lie where
these classes' faces lie.

A face is its expression and its person. The few clips of FEW show one person a class, whom no other
class shows, so that labels alone do not say which of the two is the emotion; a prompt does.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from emolib.data.synthetic.plan import GROUP_OF
from emolib.features.window_sets import WindowSet
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.studies.calibration import known
from emolib.studies.calibration.latents import make_windows
from emolib.studies.effects.study import Prompts, Side, Study

FEW = ("Neutral", "Happiness")
FEW_CLIPS = 2  # of each in training
PEOPLE = known.TRAIN_CLIPS  # of the training clips of the other classes
PERSON = 1.5  # how far people lie apart, per number of a face


def windows_of_people(clips_of_each: int, seed: int, *, few: bool) -> WindowSet:
    """``known.long_windows`` whose faces are of people: a clip of each class, or each of its own.

    ``few``: of the classes FEW, FEW_CLIPS clips are kept, all of one person a class.
    """
    windows = known.long_windows(clips_of_each, seed)
    rng = np.random.default_rng([seed, 1])
    count, frames = windows.frames.shape
    number = np.arange(count) // NUM_CLASSES  # of a clip within its class
    person = number % PEOPLE if few else np.arange(count)
    rare = np.isin(windows.label, [EXPRESSIONS.index(name) for name in FEW])
    if few:
        person = np.where(rare, PEOPLE + windows.label, person)
    people = PERSON * rng.normal(size=(person.max() + 1, windows.visual.shape[1]))
    faces = np.asarray(windows.visual, np.float32) + np.repeat(people[person], frames, axis=0)
    windows = replace(windows, visual=faces.astype(np.float16))
    return _of_rows(windows, ~rare | (number < FEW_CLIPS)) if few else windows


def _of_rows(windows: WindowSet, kept: np.ndarray) -> WindowSet:
    """The windows where ``kept`` holds."""
    names = ("frames", "audio_start", "audio_length", "label", "clip", "end")
    return replace(windows, **{name: getattr(windows, name)[kept] for name in names})


def true_prompts() -> np.ndarray:
    """float32 [8, D_v]: where the faces of each class lie, whoever shows them."""
    clips = make_windows(32, 2, window=known.WINDOW, every=known.EVERY, widths=known.WIDTHS)
    faces = np.asarray(clips.visual, np.float32)[clips.frames].mean(axis=1)
    return np.stack([faces[clips.label == label].mean(axis=0) for label in range(NUM_CLASSES)])


def other_prompts() -> np.ndarray:
    """The same prompts, each given to another class, none to its own face."""
    return np.roll(true_prompts(), NUM_CLASSES // 2, axis=0)


def nearest_prompt(windows: WindowSet) -> np.ndarray:
    """The class whose prompt is nearest to a window's mean face, without a label of FEW; classes
    with one face are taken for the first of them.

    Nearest where faces of one class vary little: their covariance is taken from the classes with
    many labels.
    """
    prompts, train = true_prompts(), few_windows(known.TRAIN_CLIPS, 0)
    many = ~np.isin(train.label, [EXPRESSIONS.index(name) for name in FEW])
    within = (_mean_faces(train) - prompts[train.label])[many]
    precision = np.linalg.inv(np.cov(within, rowvar=False))
    away = _mean_faces(windows)[:, None] - prompts  # [N, 8, D_v]
    distance = np.einsum("ncd,de,nce->nc", away, precision, away)
    first = np.array([list(GROUP_OF).index(group) for group in GROUP_OF])
    return first[distance.argmin(axis=1)]


def _mean_faces(windows: WindowSet) -> np.ndarray:
    """float32 [N, D_v]."""
    return np.asarray(windows.visual, np.float32)[windows.frames].mean(axis=1)


few_windows, all_windows = (partial(windows_of_people, few=few) for few in (True, False))


def _side(name: str, title: str, weight: float, prompts: Prompts = true_prompts) -> Side:
    changes = {"contrastive_weight": weight}
    return Side(name, title, changes, few_windows, all_windows, prompts)


FEW_LABELS = Study(
    name="text",
    module=__name__,
    question="Does guidance by text help classes with few labels?",
    known="The nearest prompt knows these classes without a label; the contrastive term shows a "
    "window no prompt but its label's.",
    sides=(
        _side("full", "Guided by text", 0.1),
        _side("no_contrastive", "Without contrastive term", 0.0),
        _side("other_prompts", "Prompts of other faces", 0.1, other_prompts),
        _side("ten_times", "Ten times the weight", 1.0),
    ),
    classes=FEW,
    untrained={"Nearest prompt, no labels": nearest_prompt},
)
