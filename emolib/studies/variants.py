"""What is switched, one thing at a time: the model's components, the paper's silent choices,
treatments of imbalance, the stronger recipe.

A variant is the experiment with a few settings changed and the claim that this tests. ``claims``
compares and judges. What the paper says of a choice is from docs/method.md; what the released code
does is its preset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from emolib.config import STRONG, Experiment, preset
from emolib.errors import WrongCall, nearest

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """One row: what is changed against the full model, and the claim that is tested by it."""

    name: str
    title: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    claim: str = ""
    component: str = ""  # what the full model has and this variant lacks
    choice: str = ""  # the point that is switched
    paper: str = ""  # what the camera-ready paper says of it

    @property
    def released(self) -> str:
        """What the released code has, from its preset."""
        code = preset("released_code")
        return ", ".join(str(getattr(code, name)) for name in self.changes)


COMPONENTS = (
    Variant(FULL, "Full model"),
    Variant(
        "no_tcn",
        "Without TCN",
        {"tcn_blocks": 0},
        claim="Temporal modelling by the TCN helps.",
        component="TCN",
    ),
    Variant(
        "concat",
        "Concatenation, no cross-attention",
        {"fusion": "concat"},
        claim="Fusion by cross-attention helps over concatenation.",
        component="Cross-attention",
    ),
    Variant(
        "visual_queries",
        "Faces attend to the voice only",
        {"fusion": "visual_queries"},
        claim="The voice attending to faces helps.",
        component="Voice attends to faces",
    ),
    Variant(
        "audio_queries",
        "The voice attends to faces only",
        {"fusion": "audio_queries"},
        claim="Faces attending to the voice helps.",
        component="Faces attend to the voice",
    ),
    Variant(
        "no_contrastive",
        "Without contrastive term",
        {"contrastive_weight": 0.0},
        claim="Guidance by text helps.",
        component="Guidance by text",
    ),
    Variant(
        "class_targets",
        "Contrastive, class targets",
        {"contrastive_targets": "classes"},
        claim="Pairs as contrastive targets are better than classes.",
        component="Pairs as contrastive targets",
    ),
    Variant(
        "unweighted",
        "Unweighted loss",
        {"class_weights": "none"},
        claim="Class weights help.",
        component="Class weights",
    ),
    Variant(
        "visual",
        "Visual only",
        {"modalities": "visual", "fusion": "concat"},
        claim="The voice helps.",
        component="Voice",
    ),
    Variant(
        "audio",
        "Audio only",
        {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0},
        claim="Faces help.",
        component="Faces",
    ),
)

CHOICES = (  # of the paper's silence, each switched alone
    Variant(FULL, "As in the preset"),
    Variant(
        "label_majority",
        "Majority of frames",
        {"label_rule": "majority"},
        claim="The last frame's label is better than the majority's.",
        choice="window label",
        paper="silent",
    ),
    Variant(
        "label_centre",
        "Centre frame",
        {"label_rule": "centre"},
        claim="The last frame's label is better than the centre's.",
        choice="window label",
        paper="silent",
    ),
    Variant(
        "stride_30",
        "30 frames",
        {"stride": 30},
        claim="A stride of 15 frames is better than 30.",
        choice="stride",
        paper="silent",
    ),
    Variant(
        "audio_track",
        "Cut from whole track",
        {"audio_context": "track"},
        claim="Encoding each window's sound alone is better.",
        choice="sound",
        paper="synchronised segment",
    ),
    Variant(
        "fixed_30",
        "Fixed 30 fps",
        {"timing": "fixed_30"},
        claim="True frame times help.",
        choice="frame times",
        paper="silent",
    ),
    Variant(
        "bilinear",
        "Bilinear",
        {"resize": "bilinear"},
        claim="CLIP's bicubic filter helps.",
        choice="resize filter",
        paper="silent",
    ),
    Variant(
        "raw_waveform",
        "Raw",
        {"waveform_norm": "none"},
        claim="Normalising the waveform helps.",
        choice="waveform",
        paper="silent",
    ),
    Variant(
        "frozen_scale",
        "Frozen",
        {"contrastive_scale": "frozen"},
        claim="A learnable logit scale helps.",
        choice="logit scale",
        paper="learnable (v1)",
    ),
    Variant(
        "one_batch",
        "One",
        {"accumulation": 1},
        claim="Two batches an optimiser step are better than one.",
        choice="batches a step",
        paper="64, accumulated",
    ),
    Variant(
        "two_batches",
        "Two",
        {"accumulation": 2},
        claim="One batch an optimiser step is better than two.",
        choice="batches a step",
        paper="64, accumulated",
    ),
    Variant(
        "last_epoch",
        "Last epoch",
        {"selection": "last"},
        claim="Choosing the best epoch on validation raises its score.",
        choice="checkpoint",
        paper="silent",
    ),
)

IMBALANCE = (  # what the paper names as its future work
    Variant(FULL, "Class weights (the paper)"),
    Variant(
        "unweighted",
        "No treatment",
        {"class_weights": "none"},
        claim="Class weights are better than no treatment.",
    ),
    Variant(
        "logit_adjustment",
        "Logit adjustment",
        {"class_weights": "none", "logit_adjustment": 1.0},
        claim="Class weights are better than logit adjustment.",
    ),
    Variant(
        "balanced",
        "Balanced sampling",
        {"class_weights": "none", "sampling": "balanced"},
        claim="Class weights are better than balanced sampling.",
    ),
)

# The generated benchmark with noise in pictures, motion and sound, wrong training labels,
# and a stronger imbalance.
HARDER = {
    "synth_difficulty": 0.5,
    "synth_label_noise": 0.15,
    "synth_temper": 0.5,
    "synth_seed": 8,  # other clips than those on which the parts of `strong` were chosen (seed 7)
}
RECIPE = (  # the preset `strong`, and a part that was left out of it
    Variant(FULL, "The paper's recipe"),
    Variant(
        "logit_adjustment",
        "Logit adjustment, no class weights",
        {"class_weights": "none", "logit_adjustment": 1.0},
    ),
    Variant("strong", "Preset strong, one seed", STRONG),
)


def choose(experiment: Experiment, variants: Sequence[Variant], names: str = "") -> list[Variant]:
    """The full model, then the variants called ``names``, commas between them; all that change
    something when empty.

    Raises WrongCall for an unknown name and for a variant that ``experiment`` is already.
    """
    known = {variant.name: variant for variant in variants if variant.name != FULL}
    same = {name for name, variant in known.items() if _changes_nothing(experiment, variant)}
    wanted = {name.strip() for name in names.split(",")} if names.strip() else set(known) - same
    for name in sorted(wanted - {FULL}):
        if name not in known:
            raise WrongCall(f"unknown variant {name!r}{nearest(name, known)}")
        if name in same:
            has = describe(known[name])
            raise WrongCall(f"{name}: the experiment has {has} already; leave this variant out")
    return [variant for variant in variants if variant.name in {FULL, *wanted}]


def _changes_nothing(experiment: Experiment, variant: Variant) -> bool:
    return all(getattr(experiment, name) == value for name, value in variant.changes.items())


def describe(variant: Variant) -> str:
    """``name=value`` of every change, commas between them."""
    return ", ".join(f"{name}={value}" for name, value in variant.changes.items())


def plan(variants: Sequence[Variant], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The changes of every run, for ``sweep.run_variants``: each variant with each seed."""
    return [{**variant.changes, "seed": seed} for variant in variants for seed in seeds]


def as_paper(experiment: Experiment) -> Experiment:
    """``experiment`` with the paper's recipe in the place of the preset ``strong``'s."""
    paper = preset("paper")
    return experiment.replace(**{name: getattr(paper, name) for name in STRONG})


def harder(experiment: Experiment) -> Experiment:
    """``experiment`` on the harder generated benchmark, with twice the validation clips, so that
    rare classes have enough.

    On data of one's own, as it is.
    """
    if experiment.data:
        return experiment
    clips = 2 * experiment.synth_validation_clips
    return experiment.replace(**HARDER, synth_validation_clips=clips)
