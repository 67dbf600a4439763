"""``Experiment``: every choice of a run in one flat, frozen record.

Each field states its meaning and unit, its source, the stages that depend on it, and its choices or range. Sources:
*paper* (camera-ready arXiv 2603.11971, with the section), *released* (the authors' repository, where the paper is
silent) or *ours*: docs/method.md.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emolib.config.setting import checked, integers, setting
from emolib.errors import EmolibError, WrongCall, chosen, nearest
from emolib.labels import EXPRESSIONS
from emolib.system.files import hash_of, read_json, write_json

# Of experiment.json and of everything a fingerprint names; raise it when the meaning changes.
FORMAT = 1

# Where a smoothing half-width may come from, and what its scores then have to say.
HALF_WIDTH_FROM = {
    "beforehand": "",
    "published": ", half-width chosen on published validation scores",
    "validation": ", half-width tuned on validation",
}

# The streams that a model of each ``modalities`` reads.
STREAMS = {
    "audio_visual": ("visual", "audio"),
    "visual": ("visual",),
    "audio": ("audio",),
}

# Settings that only collections of acted recordings have.
ACTED_ALONE = ("no_counterpart", "label_source")
FOLDS = ("folds", "fold")  # these as well, and a cross-validation

# What each stage is made from: the earlier stages whose settings it depends on as well.
EARLIER_STAGES = {
    "synth": (),
    "data": ("synth",),
    "visual": ("data",),
    "audio": ("data",),
    "window": (),
    "train": ("visual", "audio"),
}

# Settings that were added after features and benchmarks had been stored, and what they are when off.
ADDED = {"synth_cues": "separate", "audio_layers": 1, "cross_validation": "split"}


@dataclass(frozen=True)
class Experiment:
    """One experiment. Defaults are the ``paper`` preset; see :func:`preset` for the others.

    Raises WrongCall for an unknown choice, a value out of range or a contradiction.
    """

    # fmt: off
    preset: str = setting("paper", "the preset this came from", "ours", "")

    # data
    data: str = setting("", "folder of the data set; empty: the generated benchmark", "ours", "data")
    dataset: str = setting("affwild2", "which data set the folder holds", "paper 4.1: affwild2", "data", ("affwild2", "ravdess", "crema_d"))
    cross_validation: str = setting("split", "Aff-Wild2: its own split, or folds of videos, of single clips (these leak) or the published five (these leak)", "ours", "data", ("split", "video", "clip", "published"))
    folds: int = setting(6, "number of folds; of acted recordings, that the people are divided into", "ours", "data", "[2, inf)")
    fold: int = setting(1, "the fold that is the validation set; a study with cross_validation trains on each", "ours", "data", "[1, inf)")
    no_counterpart: str = setting("none", "acted recordings: class of an emotion that is none of the eight (RAVDESS: calm), or none: not annotated", "ours", "data", ("none", *EXPRESSIONS))
    label_source: str = setting("intended", "CREMA-D: the emotion that was to be acted, or the crowd's vote", "ours", "data", ("intended", "crowd"))
    crops: str = setting("cropped_aligned", "which face crops", "ours", "data", ("cropped_aligned", "cropped"))
    timing: str = setting("true", "frame times from the video, or a fixed 30 fps", "ours; released: fixed_30", "data", ("true", "fixed_30"))
    two_person_sound: str = setting("video", "sound of a clip whose id ends in _left or _right: its video's, or none", "ours; released: none", "data", ("video", "none"))
    min_face_share: float = setting(0.5, "least share of a split's and of a clip's annotated frames with a face; 0: go on whatever is missing", "ours", "", "[0, 1]")
    links_out: bool = setting(False, "read through links that lead out of the data's folder", "ours", "")
    synth_train_clips: int = setting(240, "generated training clips", "ours", "synth", "[0, inf)")
    synth_validation_clips: int = setting(112, "generated validation clips", "ours", "synth", "[0, inf)")
    synth_test_clips: int = setting(8, "generated test clips", "ours", "synth", "[0, inf)")
    synth_seconds: float = setting(5.0, "length of a generated clip with two labels, seconds", "ours", "synth", "(0, 3600]")
    synth_temper: float = setting(0.25, "exponent on the real class ratios, 0 equal to 1 real", "ours", "synth", "[0, 1]")
    synth_difficulty: float = setting(0.0, "extra noise of the harder benchmark, 0 to 1", "ours", "synth", "[0, 1]")
    synth_label_noise: float = setting(0.0, "share of training segments with a wrong label", "ours", "synth", "[0, 1]")
    synth_odd: bool = setting(False, "plant every oddity of the real tree (docs/data.md)", "ours", "synth")
    synth_cues: str = setting("separate", "separate: each pair of classes needs one stream; relation: one pair needs both at the same moments", "ours", "synth", ("separate", "relation"))
    synth_seed: int = setting(7, "seed of the generator", "ours", "synth", "[0, 4294967296)")

    # frozen encoders
    weights: str = setting("", "folder with the weights in the hub's layout; empty: the hub's cache", "ours", "")
    visual_encoder: str = setting("ViT-B-32-quickgelu/openai", "open_clip model/pretrained, or `synthetic`", "paper 3.1", "visual")
    audio_encoder: str = setting("facebook/wav2vec2-base-960h", "Wav2Vec2 hub name, or `synthetic`", "paper 3.1; released: checkpoint", "audio")
    resize: str = setting("bicubic", "resize filter before CLIP", "CLIP's own; released: bilinear", "visual", ("bicubic", "bilinear"))
    image_fit: str = setting("crop", "how an image becomes square: the shorter side resized and the centre cut out, or both sides stretched", "CLIP's own; released: stretch", "visual", ("crop", "stretch"))
    waveform_norm: str = setting("config", "as the model's feature-extractor config says, or none", "ours; released: none", "audio", ("config", "none"))
    audio_context: str = setting("window", "encode each window's segment alone, or the whole track", "paper 3.1", "audio", ("window", "track"))
    missing_sound: str = setting("none", "what a window without sound, or the end of one, is given: nothing, or zeros that are encoded", "ours; released: zeros", "audio", ("none", "zeros"))
    encoder_mode: str = setting("eval", "frozen encoders in training: as they are, or with dropout, layer drop and SpecAugment, drawn anew each epoch", "ours; released: train", "train", ("eval", "train"))
    audio_layers: int = setting(1, "last layers of the audio encoder whose mean is the feature; 1: the last", "paper 3.1; a peer: 4", "audio", "[1, inf)")
    precision: str = setting("fast", "fast: bf16/fp16 where the device is fast at it; strict: float32", "ours", "visual audio", ("fast", "strict"))

    # windows
    window: int = setting(60, "T, frames in a window", "paper 4.3", "audio window train", "[1, 10000]")
    stride: int = setting(15, "frames between windows", "released", "audio window train", "[1, inf)")
    label_rule: str = setting("last", "which frame's label a window gets", "released", "window train", ("last", "majority", "centre"))
    max_gap: int = setting(5, "invalid frames in a row bridged by repeating the last valid one", "released", "window train", "[0, inf)")

    # model
    modalities: str = setting("audio_visual", "streams used", "paper", "train", tuple(STREAMS))
    visual_frames: str = setting("all", "all frames of the window, or its middle one only (a still face)", "paper", "train", ("all", "centre"))
    fusion: str = setting("bidirectional", "how the streams are joined: cross-attention both ways, one way, or concatenation", "paper 3.3", "train", ("bidirectional", "visual_queries", "audio_queries", "concat"))
    audio_pooling: str = setting("mean", "a window's sound: its steps are averaged after the adapter, or their mean and deviation go into it (statistics)", "paper 3.4", "train", ("mean", "statistics"))
    standardise: bool = setting(False, "standardise features by the training set's statistics", "ours", "train")
    width: int = setting(512, "model width, channels", "paper 3.2", "train", "[1, inf)")
    tcn_blocks: int = setting(6, "temporal blocks; 0: no TCN", "paper 3.2", "train", "[0, 16]")
    tcn_kernel: int = setting(3, "taps of a dilated convolution", "released", "train", "[1, inf)")
    tcn_dropout: float = setting(0.4, "dropout rate after each dilated convolution", "released", "train", "[0, 1)")
    adapter_dropout: float = setting(0.3, "dropout rate in the adapters from the encoders' width to the model's", "released", "train", "[0, 1)")
    attention_heads: int = setting(8, "heads of each cross-attention; they divide the width", "paper 3.3", "train", "[1, inf)")
    attention_dropout: float = setting(0.2, "dropout rate of the attention weights", "released", "train", "[0, 1)")
    classifier_dropout: float = setting(0.5, "dropout rate in the classifier", "released", "train", "[0, 1)")

    modality_dropout: float = setting(0.0, "share of training windows that lose one stream, faces or sound alike often", "ours", "train", "[0, 1)")

    # losses
    class_weights: str = setting("inverse", "N / (8 n_c) over the training windows, or none", "paper 4.1; released: formula", "train", ("inverse", "none"))
    logit_adjustment: float = setting(0.0, "tau of logit adjustment by the training prior, 0 off", "ours", "train", "[0, inf)")
    focal_gamma: float = setting(0.0, "gamma of the focal loss, 0 or at least 1; 0: cross-entropy", "ours", "train", "[0, inf)")
    sampling: str = setting("shuffle", "order of training windows", "released", "train", ("shuffle", "balanced"))
    contrastive_weight: float = setting(0.1, "lambda, weight of the contrastive loss; 0: off", "paper eq. 3", "train", "[0, inf)")
    contrastive_targets: str = setting("pairs", "pairs: position in the batch; classes: same class is positive", "paper 3.5; released", "train", ("pairs", "classes"))
    contrastive_scale: str = setting("learnable", "CLIP's logit scale, learnable or frozen", "v1; released: frozen", "train", ("learnable", "frozen"))

    # optimisation
    learning_rate: float = setting(1e-5, "AdamW's learning rate at the start", "paper 4.1", "train", "(0, inf)")
    min_learning_rate: float = setting(1e-6, "learning rate at the end of the cosine", "released", "train", "[0, inf)")
    schedule: str = setting("epoch", "cosine stepped per epoch or per optimiser step", "released: epoch", "train", ("epoch", "step"))
    weight_decay: float = setting(1e-2, "AdamW's decoupled weight decay", "released", "train", "[0, inf)")
    epochs: int = setting(30, "passes over the training windows", "paper 4.1", "train", "[1, inf)")
    batch_size: int = setting(64, "windows per forward pass", "paper 4.1", "train", "[1, inf)")
    accumulation: int = setting(2, "forward passes per optimiser step", "released", "train", "[1, inf)")
    clip_norm: float = setting(1.0, "largest norm of the model's gradient (not of the contrastive scale's); a longer one is scaled down to it", "released", "train", "(0, inf)")
    amp: str = setting("bf16", "arithmetic of training; bf16 and tf32: float32 where the device has no fast units for it", "ours; released: float32", "train", ("float32", "tf32", "bf16"))
    selection: str = setting("best", "checkpoint: best validation macro-F1, or the last epoch", "released", "train", ("best", "last"))
    seed: int = setting(42, "seed of initialisation, order and dropout", "paper 4.1", "train", "[0, 4294967296)")

    # evaluation
    frame_rule: str = setting("last", "frame protocol: window ending at the frame, mean of covering windows, or frames numbered by their image's place in the folder", "ours; released: listing", "train", ("last", "mean", "listing"))
    frame_stride: int = setting(1, "frame protocol: frames between evaluated windows", "ours", "train", "[1, inf)")
    smoothing: str = setting("none", "smoothing of frame probabilities", "ours", "train", ("none", "box", "gaussian"))
    smoothing_half_width: int = setting(0, "frames on either side that are smoothed over", "ours", "train", "[0, 10000]")
    f1_classes: str = setting("all", "classes that macro-F1 is the mean of: all eight, or those annotated or predicted", "ours; released: present", "train", ("all", "present"))
    half_width_from: str = setting("beforehand", "how the half-width was chosen, for the label; changes no number", "ours", "", tuple(HALF_WIDTH_FROM))
    seeds: str = setting("42,43,44", "seeds of an ablation, comma-separated", "ours; paper: 42 only", "", "[0, 4294967296)")
    windows: str = setting("10,15,30,60", "window lengths of the ablation, comma-separated", "paper table 1", "", "[1, 10000]")

    # fmt: on

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = checked(field, getattr(self, field.name))
            object.__setattr__(self, field.name, value)
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        if found := [*self._contradictions(), *self._contradictions_of_data_sets()]:
            raise WrongCall("; ".join(found))

    def _contradictions(self) -> Iterator[str]:
        if self.width % self.attention_heads:
            yield f"width={self.width} is not a multiple of attention_heads={self.attention_heads}"
        if self.modalities != "audio_visual" and self.fusion != "concat":
            yield f"modalities={self.modalities} has nothing to fuse; set fusion=concat as well"
        elif self.audio_pooling == "statistics" and self.fusion != "concat":
            yield "audio_pooling=statistics leaves no steps to attend to; set fusion=concat as well"
        if self.modalities == "audio" and self.contrastive_weight:
            yield (
                "modalities=audio has no visual stream to align with prompts; "
                "set contrastive_weight=0 as well"
            )
        if self.modality_dropout and len(self.streams) < 2:
            yield (
                f"modality_dropout={self.modality_dropout} needs two streams; "
                f"modalities={self.modalities} has one"
            )
        if 0 < self.focal_gamma < 1:
            yield (
                f"focal_gamma={self.focal_gamma}: its slope is infinite where a window is surely "
                "right; set 0 or at least 1"
            )
        if (self.smoothing == "none") != (self.smoothing_half_width == 0):
            yield "smoothing and smoothing_half_width go together: set both or neither"
        if self.whole_tracks and (self.missing_sound, self.encoder_mode) != ("none", "eval"):
            yield (
                "audio_context=track encodes no window alone: "
                "missing_sound=zeros and encoder_mode=train need audio_context=window"
            )
        if self.min_learning_rate > self.learning_rate:
            yield (
                f"min_learning_rate={self.min_learning_rate} is above learning_rate="
                f"{self.learning_rate}; the cosine goes down, so set both"
            )

    def _contradictions_of_data_sets(self) -> Iterator[str]:
        acted = self.dataset != "affwild2"
        if acted and self.cross_validation != "split":
            yield f"dataset={self.dataset} has folds of people, no cross_validation"
        if self.cross_validation == "published" and self.folds != 5:
            yield f"folds={self.folds}: the published folds are five; set folds=5"
        if (acted or self.cross_validation != "split") and self.fold > self.folds:
            yield f"fold={self.fold} is above folds={self.folds}"
        unused = () if acted else ACTED_ALONE + (FOLDS if self.cross_validation == "split" else ())
        changed = [
            field.name
            for field in dataclasses.fields(self)
            if field.name in unused and getattr(self, field.name) != field.default
        ]
        if changed:
            yield (
                f"{', '.join(changed)}: for acted recordings; set dataset=ravdess or crema_d as "
                "well (folds also serve a cross_validation of Aff-Wild2)"
            )

    @property
    def streams(self) -> tuple[str, ...]:
        """``visual``, ``audio`` or both: what ``modalities`` uses."""
        return chosen("modalities", self.modalities, STREAMS)

    @property
    def whole_tracks(self) -> bool:
        """Whether ``audio_context`` encodes a track whole, and no window's segment alone."""
        return chosen("audio_context", self.audio_context, {"window": False, "track": True})

    @property
    def fills_with_zeros(self) -> bool:
        """Whether ``missing_sound`` gives zeros to the encoder where there is no sound."""
        return chosen("missing_sound", self.missing_sound, {"none": False, "zeros": True})

    @property
    def redraws_sound(self) -> bool:
        """Whether ``encoder_mode`` draws the features of training windows anew for each epoch."""
        redraws = chosen("encoder_mode", self.encoder_mode, {"eval": False, "train": True})
        return redraws and "audio" in self.streams

    def replace(self, **changes: Any) -> "Experiment":
        """A copy with ``changes``. Raises WrongCall for an unknown name, naming the nearest valid one."""
        names = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in names:
                raise WrongCall(f"unknown setting {name!r}{nearest(name, names)}")
        return dataclasses.replace(self, **changes)

    def settings(self, stage: str) -> dict[str, Any]:
        """The settings of ``stage``, a key of EARLIER_STAGES; those of earlier stages are not among them."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if stage in field.metadata["stages"] and self._matters(field.name, stage)
        }

    def _matters(self, name: str, stage: str) -> bool:
        """Whether a setting of ``stage`` changes its result.

        A track is encoded whole, however windows are cut from it; Aff-Wild2's own split has no folds. What is stored
        keeps its name when a setting is added (ADDED) and is off.
        """
        without = {added for added, off in ADDED.items() if getattr(self, added) == off}
        if self.dataset == "affwild2":
            without |= {
                "dataset",
                *ACTED_ALONE,
                *(FOLDS if self.cross_validation == "split" else ()),
            }
        if stage == "audio" and self.whole_tracks:
            without |= {"window", "stride"}
        return name not in without

    def fingerprint(self, stage: str) -> str:
        """16 hexadecimal digits that change exactly when a setting that ``stage`` depends on changes.

        A stage depends on its own settings and on those of its earlier stages (EARLIER_STAGES); for given data the
        settings of ``synth`` do not count. Where data and weights lie is in none: they are known by their content
        (``features.sources``), so that a copied tree is the same tree.
        """
        if stage not in EARLIER_STAGES:
            raise WrongCall(f"unknown stage {stage!r}{nearest(stage, EARLIER_STAGES)}")
        settings = self.settings(stage)
        parts = [self.fingerprint(earlier) for earlier in EARLIER_STAGES[stage]]
        if stage == "data" and self.data:
            settings["data"] = "given"
            parts = []
        return hash_of([FORMAT, stage, settings, parts])

    def seed_list(self) -> list[int]:
        """``seeds`` as integers."""
        return integers("seeds", self.seeds)

    def window_list(self) -> list[int]:
        """``windows`` as integers."""
        return integers("windows", self.windows)

    def smoothed(self) -> str:
        """``, smoothed over ±25 frames (box)``, to stand behind the name of a score; empty without smoothing.

        Where validation scores chose the half-width, it says so.
        """
        if not self.smoothing_half_width:
            return ""
        whence = chosen("half_width_from", self.half_width_from, HALF_WIDTH_FROM)
        return f", smoothed over ±{self.smoothing_half_width} frames ({self.smoothing}){whence}"

    def by_frame(self) -> str:
        """How frames were predicted, to stand behind a score of the frame protocol.

        Such as ``, mean of the windows that cover the frame, a window every 5 frames``, and :meth:`smoothed`: scores of
        another rule, stride or smoothing are not comparable.
        """
        rules = {
            "last": "window that ends nearest to the frame",
            "mean": "mean of the windows that cover the frame",
            "listing": "frames numbered by their image's place in the folder",
        }
        rule = chosen("frame_rule", self.frame_rule, rules)
        every = f"{self.frame_stride} frames" if self.frame_stride > 1 else "frame"
        return f", {rule}, a window every {every}{self.smoothed()}"

    def save(self, path: Path, **more: str) -> None:
        """Write ``experiment.json``; ``more`` stands beside the experiment, such as the code that began the run."""
        content = {"format": FORMAT, "experiment": dataclasses.asdict(self), **more}
        write_json(path, content, sealed=True)

    @classmethod
    def load(cls, path: Path) -> "Experiment":
        """Read ``experiment.json``.

        Raises WrongCall when another version of emolib wrote it, EmolibError when it is missing or damaged.
        """
        content = read_json(path)
        form = content.get("format") if isinstance(content, dict) else None
        if form != FORMAT:
            raise WrongCall(
                f"{path}: written by another version of emolib (format {form}, here {FORMAT}); "
                "use a new run name"
            )
        values = content.get("experiment")
        if not isinstance(values, dict):
            raise EmolibError(f"{path}: holds no experiment; delete this run and train again")
        try:
            return cls().replace(**values)
        except WrongCall as error:
            raise WrongCall(f"{path}: {error}; another version of emolib wrote it?") from error
