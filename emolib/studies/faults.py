"""What the released code does wrong, each switched on alone (docs/method.md, The released code).

Its faults that are choices as well, such as a fixed rate of 30 frames per second, are among
``variants.CHOICES``. On the generated benchmark two of these change nothing, because its crops are
square and all classes occur; and its clips have sound, so that zeros in its place need the tree of
:func:`with_oddities`.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from emolib.config import Experiment
from emolib.data.layout import FRAME_RATES
from emolib.studies.variants import FULL, Variant

FAULTS = (
    Variant(FULL, "As in the preset"),
    Variant(
        "zeros",
        "Zeros, encoded",
        {"missing_sound": "zeros"},
        claim="Leaving missing sound out helps over zeros.",
        choice="missing sound",
        paper="silent",
    ),
    Variant(
        "silent_pairs",
        "None",
        {"two_person_sound": "none"},
        claim="Giving each of two people their video's sound helps.",
        choice="sound of two people",
        paper="silent",
    ),
    Variant(
        "train_mode",
        "In train mode",
        {"encoder_mode": "train"},
        claim="Encoders in evaluation mode help.",
        choice="frozen encoders",
        paper="frozen",
    ),
    Variant(
        "stretched",
        "Stretched",
        {"image_fit": "stretch"},
        claim="Keeping an image's aspect helps.",
        choice="shape of an image",
        paper="silent",
    ),
    Variant(
        "four_of_32",
        "Four of 32",
        {"batch_size": 32, "accumulation": 4},
        claim="The preset's batches are better than four of 32 a step.",
        choice="batches a step",
        paper="64, accumulated",
    ),
    Variant(
        "listing",
        "Place in the folder",
        {"frame_rule": "listing"},
        claim="Frames numbered by their names are better than by their place.",
        choice="frame numbers",
        paper="silent",
    ),
    Variant(
        "present",
        "Those present",
        {"f1_classes": "present"},
        claim="Choosing the epoch by all eight classes helps over those present.",
        choice="classes in macro-F1",
        paper="silent",
    ),
)


def with_oddities(experiment: Experiment) -> Experiment:
    """``experiment`` on the generated benchmark with the oddities of the real tree, such as
    clips without sound.

    On data of one's own, as it is.
    """
    return experiment if experiment.data else experiment.replace(synth_odd=True)


@contextmanager
def oddities_expected(experiment: Experiment) -> Iterator[None]:
    """Inside, a generated clip without a frame rate is not warned of: it is there on purpose."""
    with warnings.catch_warnings():
        if not experiment.data:
            warnings.filterwarnings("ignore", message=f".*no line in {FRAME_RATES}")
        yield
