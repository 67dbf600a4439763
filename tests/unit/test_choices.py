"""Every setting with choices: the code that follows it knows each, and takes no other for one."""

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from emolib import fusion, losses, windows
from emolib.config import Experiment
from emolib.data import affwild2, datasets, folds, layout, recordings
from emolib.data.ravdess import RAVDESS
from emolib.data.synthetic import observer
from emolib.encoders import load, resize
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation import metrics
from emolib.features import prepare
from emolib.features.pooled_sound import pools_sound
from emolib.model import EmotionModel
from emolib.studies.calibration.latents import make_windows
from emolib.system.device import encoder_dtype, training_dtype
from emolib.training import fit
from emolib.training.trainer import Trainer, make_learner
from emolib.video import crops
from emolib.video.detection import Face
from tests.support.windowsets import make, prompts, tiny

CHOICES = {
    field.name: field.metadata["choices"]
    for field in dataclasses.fields(Experiment)
    if field.metadata["choices"]
}
UNKNOWN = "of_tomorrow"


def experiment(name, value):
    """A tiny experiment with ``value``, whether or not the record would take it."""
    made = tiny(smoothing="box", smoothing_half_width=1)
    object.__setattr__(made, name, value)
    return made


def cut(kind):
    face = Face(box=(10, 10, 40, 40), points=crops.TEMPLATE, score=1.0)
    crops.crop(np.zeros((112, 112, 3), np.uint8), face, kind)


def read_with(timing):
    try:
        affwild2.read_tree(Path("no such folder"), timing=timing)
    except EmolibError as error:
        if "no such folder" not in str(error):
            raise


def read_by(label_source):
    made = tiny(dataset="crema_d", data="no such folder")
    object.__setattr__(made, "label_source", label_source)
    try:
        datasets.read_clips(made, Path("no such folder"), ("train",))
    except EmolibError as error:
        if "no such folder" not in str(error):
            raise


def clips_with(value):
    """Reads nothing: the tree is replaced by an empty one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare.datasets, "read_clips", lambda *_, **__: [])
        patch.setattr(prepare, "root_of", lambda *_, **__: Path())
        patch.setattr(prepare, "check_coverage", lambda *_: {})
        prepare.clips_of(experiment("two_person_sound", value))


def trainer(name, value):
    return Trainer(experiment(name, value), make(), *prompts(), "cpu")


def learning_rate(value):
    made = trainer("seed", 1)
    made.experiment = experiment("schedule", value)
    return made.learning_rate(0, 0)


def model(name, value):
    made = experiment(name, value)
    object.__setattr__(made, "fusion", value if name == "fusion" else "concat")
    return EmotionModel(made)


def recorded(value):
    made = trainer("selection", value)
    state = {"history": [], "best_score": -1.0}
    fit.record(state, made.model, made.windows, {"epoch": 0})


FRAMES = np.full((4, 8), 1 / 8)
LABELS = np.arange(40) % 8
CLIPS = [
    replace(clip, id=name)
    for clip, name in zip(make_windows(2, 0, window=10).clips, folds.published(), strict=False)
]
FOLLOWED = {
    "crops": cut,
    "dataset": datasets.collection_of,
    "cross_validation": lambda v: folds.in_folds(CLIPS, v, 5, 1),
    "synth_cues": lambda v: observer.observations("motion+voice", 10, cues=v),
    "no_counterpart": lambda v: recordings.label_of(RAVDESS, "02", v),
    "label_source": read_by,
    "timing": read_with,
    "resize": lambda v: resize.fit(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), 4, v),
    "image_fit": lambda v: resize.fit(torch.zeros(1, 8, 8, 3, dtype=torch.uint8), 4, "bilinear", v),
    "two_person_sound": clips_with,
    "missing_sound": lambda v: experiment("missing_sound", v).fills_with_zeros,
    "encoder_mode": lambda v: experiment("encoder_mode", v).redraws_sound,
    "waveform_norm": lambda v: load.by_config(experiment("waveform_norm", v)),
    "audio_context": lambda v: experiment("audio_context", v).fingerprint("audio"),
    "precision": lambda v: encoder_dtype("cpu", v),
    "label_rule": lambda v: windows.index_windows(
        LABELS, LABELS >= 0, length=10, stride=5, label_rule=v
    ),
    "modalities": lambda v: model("modalities", v),
    "visual_frames": lambda v: model("visual_frames", v),
    "audio_pooling": lambda v: pools_sound(experiment("audio_pooling", v)),
    "fusion": lambda v: fusion.Fusion(v, 8, 2, 0.0),
    "class_weights": lambda v: losses.class_weights(LABELS, v),
    "sampling": lambda v: trainer("sampling", v).order(0),
    "contrastive_targets": lambda v: losses.Contrastive(torch.eye(8), 10.0, targets=v),
    "contrastive_scale": lambda v: make_learner(
        experiment("contrastive_scale", v), make(), *prompts()
    ),
    "schedule": learning_rate,
    "amp": lambda v: training_dtype("cpu", v),
    "selection": recorded,
    "frame_rule": lambda v: windows.frame_predictions(
        FRAMES, np.arange(1, 5), 4, length=1, rule=v, fallback=FRAMES[0]
    ),
    "f1_classes": lambda v: metrics.macro_f1(LABELS, LABELS, f1_classes=v),
    "smoothing": lambda v: windows.smooth(FRAMES, v, 1),
    "half_width_from": lambda v: (
        experiment("half_width_from", v).replace(smoothing="box", smoothing_half_width=1).smoothed()
    ),
}


def test_every_setting_with_choices_is_followed_here():
    assert set(FOLLOWED) == set(CHOICES)


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values]
)
def test_the_code_knows_every_choice(name, value):
    FOLLOWED[name](value)


@pytest.mark.parametrize("name", CHOICES)
def test_the_code_refuses_a_choice_without_a_branch(name):
    with pytest.raises(WrongCall, match=f"{name}='{UNKNOWN}'"):
        FOLLOWED[name](UNKNOWN)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("fusion", fusion.KINDS),
        ("label_rule", windows.LABEL_RULES),
        ("frame_rule", windows.FRAME_RULES),
        ("frame_rule", windows.FRAME_WINDOWS),
        ("smoothing", windows.SMOOTHINGS),
        ("contrastive_targets", losses.POSITIVES),
        ("resize", resize.PILLOW),
        ("timing", affwild2.TIMINGS),
        ("crops", layout.CROPS),
        ("dataset", datasets.COLLECTIONS),
    ],
)
def test_what_the_code_knows_can_be_chosen(name, known):
    assert tuple(known) == CHOICES[name]
