"""What is switched, one thing at a time: the model's components, the paper's silent choices,
treatments of imbalance, the stronger recipe.

A variant is the experiment with a few settings changed and the claim that this tests. ``claims``
compares and judges. docs/method.md is the source of the columns "paper" and "released code".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emolib.config import PRESETS, STRONG, Experiment
from emolib.errors import WrongCall, nearest

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """One row: what is changed against the full model, and the claim that is tested by it."""

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    claim: str = ""
    # the point that is switched, with what the camera-ready paper and the released code say of it
    choice: str = ""
    paper: str = ""
    released: str = ""


COMPONENTS = (
    Variant(FULL, "Full model"),
    Variant("no_tcn", "Without TCN", {"tcn_blocks": 0}, "Temporal modelling by the TCN helps."),
    Variant(
        "concat",
        "Concatenation, no cross-attention",
        {"fusion": "concat"},
        "Fusion by cross-attention helps over concatenation.",
    ),
    Variant(
        "visual_queries",
        "Faces attend to the voice only",
        {"fusion": "visual_queries"},
        "The voice attending to faces helps.",
    ),
    Variant(
        "audio_queries",
        "The voice attends to faces only",
        {"fusion": "audio_queries"},
        "Faces attending to the voice helps.",
    ),
    Variant(
        "no_contrastive",
        "Without contrastive term",
        {"contrastive_weight": 0.0},
        "Guidance by text helps.",
    ),
    Variant(
        "class_targets",
        "Contrastive, class targets",
        {"contrastive_targets": "classes"},
        "Pairs as contrastive targets are better than classes.",
    ),
    Variant("unweighted", "Unweighted loss", {"class_weights": "none"}, "Class weights help."),
    Variant(
        "visual", "Visual only", {"modalities": "visual", "fusion": "concat"}, "The voice helps."
    ),
    Variant(
        "audio",
        "Audio only",
        {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0},
        "Faces help.",
    ),
)


def _choice(
    name: str, title: str, changes: Mapping[str, Any], claim: str, said: tuple[str, str, str]
) -> Variant:
    """A silent choice; ``said``: the point, and what the paper and the released code say of it."""
    return Variant(name, title, changes, claim, *said)


_LABEL = ("window label", "silent", "last frame")
_BATCH = ("batches a step", "64, accumulated", "2 of 64")
CHOICES = (  # of the paper's silence, each switched alone
    Variant(FULL, "As in the preset"),
    _choice(
        "label_majority",
        "Majority of frames",
        {"label_rule": "majority"},
        "The last frame's label is better than the majority's.",
        _LABEL,
    ),
    _choice(
        "label_centre",
        "Centre frame",
        {"label_rule": "centre"},
        "The last frame's label is better than the centre's.",
        _LABEL,
    ),
    _choice(
        "stride_30",
        "30 frames",
        {"stride": 30},
        "A stride of 15 frames is better than 30.",
        ("stride", "silent", "15 frames"),
    ),
    _choice(
        "audio_track",
        "Cut from whole track",
        {"audio_context": "track"},
        "Encoding each window's sound alone is better.",
        ("sound", "synchronised segment", "segment alone"),
    ),
    _choice(
        "fixed_30",
        "Fixed 30 fps",
        {"timing": "fixed_30"},
        "True frame times help.",
        ("frame times", "silent", "fixed 30 fps"),
    ),
    _choice(
        "bilinear",
        "Bilinear",
        {"resize": "bilinear"},
        "CLIP's bicubic filter helps.",
        ("resize filter", "silent", "bilinear"),
    ),
    _choice(
        "raw_waveform",
        "Raw",
        {"waveform_norm": "none"},
        "Normalising the waveform helps.",
        ("waveform", "silent", "raw"),
    ),
    _choice(
        "frozen_scale",
        "Frozen",
        {"contrastive_scale": "frozen"},
        "A learnable logit scale helps.",
        ("logit scale", "learnable (v1)", "frozen"),
    ),
    _choice(
        "one_batch",
        "One",
        {"accumulation": 1},
        "Two batches an optimiser step are better than one.",
        _BATCH,
    ),
    _choice(
        "two_batches",
        "Two",
        {"accumulation": 2},
        "One batch an optimiser step is better than two.",
        _BATCH,
    ),
    _choice(
        "last_epoch",
        "Last epoch",
        {"selection": "last"},
        "Choosing the best epoch on validation raises its score.",
        ("checkpoint", "silent", "best on validation"),
    ),
)

IMBALANCE = (  # what the paper names as its future work
    Variant(FULL, "Class weights (the paper)"),
    Variant(
        "unweighted",
        "No treatment",
        {"class_weights": "none"},
        "Class weights are better than no treatment.",
    ),
    Variant(
        "logit_adjustment",
        "Logit adjustment",
        {"class_weights": "none", "logit_adjustment": 1.0},
        "Class weights are better than logit adjustment.",
    ),
    Variant(
        "balanced",
        "Balanced sampling",
        {"class_weights": "none", "sampling": "balanced"},
        "Class weights are better than balanced sampling.",
    ),
)

# the generated benchmark with noise in pictures, motion and sound, wrong training labels,
# and a stronger imbalance
HARDER = {
    "synth_difficulty": 0.5,
    "synth_label_noise": 0.15,
    "synth_temper": 0.5,
    "synth_seed": 8,  # other clips than those on which the parts of `strong` were chosen (seed 7)
}
RECIPE = (  # parts of the preset `strong` that change training, and one that was left out of it
    Variant(FULL, "The paper's recipe"),
    Variant("class_targets", "Contrastive, class targets", {"contrastive_targets": "classes"}),
    Variant(
        "logit_adjustment",
        "Logit adjustment, no class weights",
        {"class_weights": "none", "logit_adjustment": 1.0},
    ),
    Variant("strong", "Preset strong, one seed", STRONG),
)
VARIANTS = {"components": COMPONENTS, "choices": CHOICES, "imbalance": IMBALANCE, "recipe": RECIPE}


def choose(experiment: Experiment, variants: Sequence[Variant], names: str = "") -> list[Variant]:
    """The full model, then the variants called ``names``, commas between them;
    all that change something when empty.

    Raises WrongCall for an unknown name and for a variant that ``experiment`` is already.
    """
    known = {variant.name: variant for variant in variants}
    same = [
        v.name
        for v in variants
        if v.name != FULL
        and all(getattr(experiment, key) == value for key, value in v.changes.items())
    ]
    wanted = (
        [name.strip() for name in names.split(",")]
        if names.strip()
        else [name for name in known if name not in same]
    )
    for name in wanted:
        if name not in known:
            raise WrongCall(f"unknown variant {name!r}{nearest(name, known)}")
        if name in same:
            raise WrongCall(
                f"{name}: the experiment has {describe(known[name])} already; "
                "leave this variant out"
            )
    return [known[FULL], *(known[name] for name in known if name in wanted and name != FULL)]


def describe(variant: Variant) -> str:
    """``name=value`` of every change, commas between them."""
    return ", ".join(f"{name}={value}" for name, value in variant.changes.items())


def plan(variants: Sequence[Variant], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The changes of every run, for ``sweep.run_variants``: each variant with each seed."""
    return [{**variant.changes, "seed": seed} for variant in variants for seed in seeds]


def as_paper(experiment: Experiment) -> Experiment:
    """``experiment`` with the paper's recipe in the place of the preset ``strong``'s."""
    paper = Experiment().replace(**PRESETS["paper"])
    return experiment.replace(**{name: getattr(paper, name) for name in STRONG})


def harder(experiment: Experiment) -> Experiment:
    """``experiment`` on the harder generated benchmark, with twice the validation clips,
    so that rare classes have enough.

    On data of one's own, as it is.
    """
    return (
        experiment
        if experiment.data
        else experiment.replace(
            **HARDER, synth_validation_clips=2 * experiment.synth_validation_clips
        )
    )
