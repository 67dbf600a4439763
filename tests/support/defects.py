"""Defects to plant, and small claims with known answers that each needs what one defect takes away.

A claim compares a full model with one that cannot know the answer, by the rule of
``studies.claims``. Features are latent signals: the class is 2 g + b, faces show g, and how b is
told differs from claim to claim.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from emolib import fusion, tcn
from emolib.config import preset
from emolib.evaluation import metrics
from emolib.evaluation.predictions import predict_windows
from emolib.features.window_sets import WindowSet
from emolib.fusion import CrossAttention
from emolib.labels import NUM_CLASSES
from emolib.model import EmotionModel
from emolib.studies.calibration.verdicts import as_runs
from emolib.studies.calibration.windows import windows_of
from emolib.studies.claims import verdict
from emolib.studies.comparison import compare
from emolib.tcn import TCN, CausalConv1d
from emolib.training import trainer
from emolib.training.stacked import Stack
from emolib.windows import index_windows

FRAMES = STEPS = 6  # of a window: faces, and steps of sound
WIDTH = 16  # numbers per face and per step of sound
LOUD, NOISE = 3.0, 0.1  # a signal and what lies over it
TRAIN, CHECK = 960, 320  # windows
SEEDS = (0, 1, 2)
TOLERANCE = 0.05  # of macro-F1 below a ceiling
SETTINGS: dict[str, Any] = {
    "window": FRAMES,
    "width": 32,
    "attention_heads": 2,
    "tcn_blocks": 0,
    "epochs": 8,
    "batch_size": 32,
    "learning_rate": 8e-3,
    "min_learning_rate": 1e-4,
    "amp": "float32",
    "contrastive_weight": 0.0,
}


@dataclass(frozen=True)
class Signals:
    """What windows show, ``[windows, frames or steps, numbers]``, and the class of each frame."""

    faces: np.ndarray
    sound: np.ndarray
    labels: np.ndarray  # [windows, frames]


def _classes(windows: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels ``[windows]``, equally frequent, and how a face shows g ``[windows, FRAMES, 4]``."""
    label = np.arange(windows) % NUM_CLASSES
    return label, _lasting(LOUD * np.eye(NUM_CLASSES // 2)[label // 2])


def _lasting(signal: np.ndarray) -> np.ndarray:
    return np.repeat(signal[:, None], FRAMES, axis=1)


def _memory(bits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A key and a value in every step, in random order; and the key whose value is the bit."""
    key_of = rng.permuted(np.tile(np.arange(STEPS), (len(bits), 1)), axis=1)
    values, asked = rng.choice([-1, 1], key_of.shape), rng.integers(STEPS, size=len(bits))
    values[key_of == asked[:, None]] = 2 * bits - 1
    entries = np.concatenate([np.eye(STEPS)[key_of], values[..., None]], axis=2)
    return LOUD * entries, _lasting(LOUD * np.eye(STEPS)[asked])


def faces_ask(windows: int, rng: np.random.Generator) -> Signals:
    """Faces show a key; the sound holds the values of all keys, a step each."""
    label, group = _classes(windows)
    memory, question = _memory(label % 2, rng)
    return Signals(np.concatenate([group, question], axis=2), memory, _lasting(label))


def voice_asks(windows: int, rng: np.random.Generator) -> Signals:
    """The sound has the key in every step; the faces show the values, one a frame."""
    label, group = _classes(windows)
    memory, question = _memory(label % 2, rng)
    return Signals(np.concatenate([group, memory], axis=2), question, _lasting(label))


def unsteady_voice(windows: int, rng: np.random.Generator) -> Signals:
    """The steps of sound differ from one another, or do not; their mean says nothing."""
    label, group = _classes(windows)
    signs = rng.permuted(np.tile([-1.0, 1.0], (windows, STEPS // 2)), axis=1)
    return Signals(group, LOUD * ((label % 2)[:, None] * signs)[..., None], _lasting(label))


def changing_face(windows: int, rng: np.random.Generator) -> Signals:
    """One class after another, from a frame that is drawn evenly; the sound is noise."""
    before, after = rng.integers(NUM_CLASSES, size=(2, windows))
    change = rng.integers(FRAMES, size=windows)
    labels = np.where(np.arange(FRAMES) < change[:, None], before[:, None], after[:, None])
    return Signals(LOUD * np.eye(NUM_CLASSES)[labels], np.zeros((windows, STEPS, 1)), labels)


def _noisy(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``[windows, steps, numbers]`` to WIDTH noisy numbers, of which the first show the signal."""
    features = rng.normal(0, NOISE, (*signal.shape[:2], WIDTH))
    features[..., : signal.shape[2]] += signal
    return features


def annotated(labels: np.ndarray) -> np.ndarray:
    """The class that the annotation gives each frame of a window; a defect shifts it."""
    return labels


def window_set(signals: Signals, rng: np.random.Generator) -> WindowSet:
    """Windows whose labels follow from their annotation by the package's own rule."""
    rows, present = annotated(signals.labels), np.ones(FRAMES, bool)
    index = [index_windows(row, present, length=FRAMES, stride=FRAMES) for row in rows]
    label = np.concatenate([each.label for each in index])
    return windows_of(_noisy(signals.faces, rng), _noisy(signals.sound, rng), label)


@dataclass(frozen=True)
class Claim:
    """What the full model has (``full``) and what the other one has in its place (``other``)."""

    signals: Callable[[int, np.random.Generator], Signals]
    other: Mapping[str, Any]
    full: Mapping[str, Any] = field(default_factory=dict)

    def judged(self) -> str:
        """The verdict on the claim, both sides trained with SEEDS."""
        rng = np.random.default_rng(1)
        truth = self.signals(CHECK, rng)
        check = window_set(truth, rng)
        sides = [_predicted(self.signals, check, changes) for changes in (self.full, self.other)]
        return _verdict(truth.labels[:, -1], *sides)


def _predicted(
    signals: Callable[[int, np.random.Generator], Signals],
    check: WindowSet,
    changes: Mapping[str, Any],
) -> np.ndarray:
    """``[seeds, windows]``: the classes that models with ``changes`` give ``check``."""
    experiments = [preset("demo", **{**SETTINGS, **changes, "seed": seed}) for seed in SEEDS]
    rng = np.random.default_rng(0)
    train = window_set(signals(TRAIN, rng), rng)
    prompts = rng.normal(size=(NUM_CLASSES, WIDTH)).astype(np.float32)
    stack = Stack(experiments, train, prompts, 1 / 0.07, "cpu")
    for epoch in range(experiments[0].epochs):
        stack.epoch(epoch)
    return np.stack([predict_windows(each.model, check).argmax(axis=1) for each in stack.trainers])


def _verdict(label: np.ndarray, full: np.ndarray, other: np.ndarray) -> str:
    sides = [as_runs(label, side, slice(None)) for side in (full, other)]
    return verdict(compare(*sides)["interval"], len(SEEDS))


@dataclass(frozen=True)
class Reach:
    """That the full model reaches the ceiling, which is 1, on the labels of the last frames.

    A comparison would not do: annotations that are shifted alike spoil both sides.
    """

    signals: Callable[[int, np.random.Generator], Signals]
    full: Mapping[str, Any]

    def judged(self) -> str:
        """``supported`` within TOLERANCE of the ceiling."""
        rng = np.random.default_rng(1)
        truth = self.signals(CHECK, rng)
        told = _predicted(self.signals, window_set(truth, rng), self.full)
        scores = [metrics.macro_f1(truth.labels[:, -1], row) for row in told]
        return "supported" if np.mean(scores) > 1 - TOLERANCE else "not supported"


@dataclass(frozen=True)
class StepClaim:
    """That output t of the TCN tells the class of frame t + ``ahead``, by more than chance.

    Pooled over a window the outputs know every frame of it, whichever way the TCN looks: only here
    can it be seen that it looks back.
    """

    ahead: int

    def judged(self) -> str:
        """The verdict on outputs that are read as they are, against ones of other frames."""
        steps = slice(4, 12)  # of 16; those at the edges lack frames to look at
        rng = np.random.default_rng(0)
        label = rng.integers(NUM_CLASSES, size=(128, 16))
        faces = torch.from_numpy(np.eye(NUM_CLASSES)[label]).float()
        asked = torch.from_numpy(np.roll(label, -self.ahead, axis=1)[:, steps])
        mixed = asked[torch.from_numpy(rng.permutation(len(asked)))]
        told = [
            np.stack([_read(faces, target, steps, seed) for seed in SEEDS])
            for target in (asked, mixed)
        ]
        return _verdict(asked[64:].flatten().numpy(), *told)


def _read(faces: Tensor, target: Tensor, steps: slice, seed: int) -> np.ndarray:
    """The classes that the TCN's outputs tell of the second half of the sequences, after training
    on the first half."""
    torch.manual_seed(seed)
    read = nn.Sequential(
        TCN(NUM_CLASSES, 32, blocks=1, kernel=3, dropout=0.0), nn.Linear(32, NUM_CLASSES)
    )
    optimiser = torch.optim.Adam(read.parameters(), 1e-2)
    for _ in range(60):
        loss = functional.cross_entropy(read(faces[:64])[:, steps].mT, target[:64])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return read(faces[64:])[:, steps].argmax(dim=2).flatten().numpy()


CLAIMS: dict[str, Claim | Reach | StepClaim] = {
    "a step knows the frame before it": StepClaim(-1),
    "a step knows the frame after it": StepClaim(1),
    "faces attending to the voice helps": Claim(faces_ask, {"fusion": "audio_queries"}),
    "the voice attending to faces helps": Claim(voice_asks, {"fusion": "visual_queries"}),
    "the voice's unsteadiness helps": Claim(
        unsteady_voice, {"modalities": "visual", "fusion": "concat"}, {"fusion": "concat"}
    ),
    "the last frame's class is told": Reach(changing_face, {"tcn_blocks": 2}),
}
FALSE = "a step knows the frame after it"  # of CLAIMS, the one that is not true


class LooksBothWays(CausalConv1d):
    """A convolution with half of its padding on the right."""

    def forward(self, x: Tensor) -> Tensor:
        reach = (self.kernel_size[0] - 1) * self.dilation[0]
        padded = functional.pad(x, (reach // 2, reach - reach // 2))
        return functional.conv1d(padded, self.weight, self.bias, dilation=self.dilation)


class Deaf(CrossAttention):
    """A direction that hands its stream on without the other one."""

    def forward(
        self, x: Tensor, other: Tensor, other_length: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        _, weights = super().forward(x, other, other_length)
        return self.norm(x), weights


class LinearAdapter(EmotionModel):
    """A model whose adapter changes the width of the sound's features and nothing else."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        if self.hears:
            self.adapter = nn.Linear(self.adapter[0].in_features, self.adapter[0].out_features)


def half_a_window_late(labels: np.ndarray) -> np.ndarray:
    """Annotations that lag behind the frames; the first one lasts until they begin."""
    places = np.maximum(np.arange(FRAMES) - FRAMES // 2 + 1, 0)
    return labels[:, places]


def _attention(faces: type[CrossAttention], voice: type[CrossAttention]) -> Any:
    return mock.patch.dict(fusion.KINDS, bidirectional=(faces, voice))


# Of each defect: how it is planted, and the claim whose verdict must change.
DEFECTS: dict[str, tuple[Callable[[], Any], str]] = {
    "causality off": (
        lambda: mock.patch.object(tcn, "CausalConv1d", LooksBothWays),
        "a step knows the frame after it",
    ),
    "faces do not ask": (
        lambda: _attention(Deaf, CrossAttention),
        "faces attending to the voice helps",
    ),
    "the voice does not ask": (
        lambda: _attention(CrossAttention, Deaf),
        "the voice attending to faces helps",
    ),
    "adapter off": (
        lambda: mock.patch.object(trainer, "EmotionModel", LinearAdapter),
        "the voice's unsteadiness helps",
    ),
    "labels shifted": (
        lambda: mock.patch(f"{__name__}.annotated", half_a_window_late),
        "the last frame's class is told",
    ),
}
