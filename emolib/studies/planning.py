"""Before any run: the smallest effect that the seeds and clips of a study can decide."""

import numpy as np

from emolib import paper
from emolib.config import Experiment
from emolib.data import synthetic
from emolib.errors import WrongCall
from emolib.features.prepare import clips_of, root_of
from emolib.labels import class_counts
from emolib.results.tables import ceiling_row
from emolib.studies.resolution_sentences import before_any_run

HIGHEST = 0.98  # macro-F1; where nothing is wrong, chance has nothing to move


def sentence(experiment: Experiment) -> str:
    """What the seeds and the validation clips of ``experiment`` can decide, as Markdown.

    The labels of the clips are all it needs, so it can be asked before anything is trained.
    """
    clips = clips_of(experiment, ("validation",))
    frames = np.array([class_counts(clip.labels) for clip in clips])
    seeds = len(experiment.seed_list())
    try:
        return before_any_run(frames, seeds, level=expected_level(experiment))
    except WrongCall as error:  # a class without frames, or one with more than all the others
        return f"Before any run: these clips allow no plan ({error})."


def expected_level(experiment: Experiment) -> float:
    """The macro-F1 to plan with: on generated data what a still face and the voice allow, on real
    data the paper's for the window, or for 30 frames where it has none.
    """
    known = synthetic.ceilings(root_of(experiment))
    row = ceiling_row(known, inputs="still+voice", window=experiment.window, protocol="frame")
    if row is not None:
        return min(float(row["macro_f1"]), HIGHEST)
    return paper.VALIDATION_MACRO_F1.get(experiment.window, paper.VALIDATION_MACRO_F1[30])
