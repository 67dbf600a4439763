"""What it is worth that two people of one video lie in two folds, as in the published folds
(docs/data.md): the sound that a clip is tested with was heard in training, with its label.
"""

from dataclasses import replace

import numpy as np

from emolib.features.window_sets import WindowSet
from emolib.studies.calibration import known
from emolib.studies.calibration.known import short_windows
from emolib.studies.effects import two_people
from emolib.studies.effects.benchmark_study import BenchmarkStudy
from emolib.studies.effects.study import Side, Study

TWINS = 24  # clips of each class that are tested, and have a second person


def windows_with_twins(clips_of_each: int, seed: int) -> WindowSet:
    """``known.short_windows``, of which the first TWINS clips of each class have the sound of the
    clips that are tested.
    """
    windows, tested = short_windows(clips_of_each, seed), short_windows(TWINS, 1)
    audio = np.array(windows.audio)
    audio[: len(tested.audio)] = tested.audio
    return replace(windows, audio=audio)


LEAK = Study(
    name="leak",
    module=__name__,
    question="What is a second person of the same video in training worth?",
    known="The sound tells one bit of the class; a model that remembers it knows the whole label.",
    sides=(
        Side("full", "Folds by video", {}, short_windows, short_windows),
        Side("leak", "The second person in training", {}, windows_with_twins, short_windows),
    ),
    settings={"window": known.SHORT // known.EVERY},
    check_clips=TWINS,
    shown=(),
)

LEAK_ON_BENCHMARK = BenchmarkStudy(
    name="leak_on_benchmark",
    command="emolib effects leak --on-benchmark",
    question="What is a second person of the same video in training worth?",
    known="On a draw of the generated benchmark with two people in every video, T = 10: the two "
    "have their sound and the course of their labels in common.",
    sides=(
        Side("full", "Folds by video", {"cross_validation": "video"}),
        Side("leak", "Folds by clip", {"cross_validation": "clip"}),
    ),
    settings={"window": 10, "folds": 2, "epochs": 6},
    tree=two_people.ensure,
    shown=("no_faces",),
)
