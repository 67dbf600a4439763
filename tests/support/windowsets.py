"""Small learnable WindowSets in memory, for the tests of training."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from emolib.config import Experiment, preset

TINY = {
    "width": 16,
    "attention_heads": 2,
    "tcn_blocks": 2,
    "epochs": 3,
    "batch_size": 8,
    "window": 10,
    "amp": "float32",
    "frame_stride": 5,
    "learning_rate": 5e-3,
}


def tiny(**changes: Any) -> Experiment:
    """The demo preset shrunk to fractions of a second a run."""
    return preset("demo", **{**TINY, **changes})


def make(
    *,
    clips: int = 8,
    frames: int = 40,
    window: int = 10,
    stride: int = 5,
    steps: int = 6,
    seed: int = 0,
    ragged: bool = False,
) -> Any:
    """Labelled windows of ``clips`` clips with two classes each;
    features are class prototypes in noise.

    With ``ragged`` the number of audio steps differs between windows and some have no sound.
    """
    rng = np.random.default_rng(seed)
    faces, voices = (np.random.default_rng(99).normal(size=(8, width)) for width in (512, 768))
    records, visual, rows, audio, lengths, label, clip, end = [], [], [], [], [], [], [], []
    for c in range(clips):
        labels = np.repeat([2 * c % 8, (2 * c + 1) % 8], frames // 2).astype(np.int8)
        visual.append(rng.normal(size=(frames, 512)) + faces[labels])
        records.append(
            SimpleNamespace(
                person="",
                id=f"clip{c}",
                split="train",
                labels=labels,
                face_present=np.ones(frames, bool),
                frame_times=np.arange(frames) / 30,
                fps=30.0,
            )
        )
        for start in range(0, frames - window + 1, stride):
            rows.append(c * frames + np.arange(start, start + window))
            label.append(labels[start + window - 1])
            clip.append(c)
            end.append(start + window)
            length = int(rng.integers(0, steps + 1)) if ragged else steps
            lengths.append(length)
            audio.append(rng.normal(size=(length, 768)) + voices[label[-1]])
    return SimpleNamespace(
        clips=records,
        visual=np.concatenate(visual).astype(np.float16),
        frames=np.array(rows, np.int64).reshape(-1, window),
        audio=np.concatenate([np.zeros((0, 768)), *audio]).astype(np.float16),
        audio_start=np.cumsum(lengths) - lengths,
        audio_length=np.array(lengths, np.int32),
        label=np.array(label, np.int64),
        clip=np.array(clip, np.int32),
        end=np.array(end, np.int32),
    )


def prompts() -> tuple[np.ndarray, float]:
    """Eight random prompts and CLIP's starting scale."""
    return np.random.default_rng(5).normal(size=(8, 512)).astype(np.float32), 1 / 0.07
