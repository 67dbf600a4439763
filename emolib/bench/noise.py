"""Windows of random features in the demo's shapes, for training that is only timed."""

import numpy as np

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.features.window_sets import WindowSet
from emolib.labels import NUM_CLASSES
from emolib.system.device import device
from emolib.training.trainer import Trainer

CLIPS, FRAMES = 24, 300  # generated in memory: 408 windows at T = 60
AUDIO_STEPS = {10: 16, 15: 24, 30: 49, 60: 99}  # of T/30 s of sound (docs/method.md, Audio encoder)


def windows_of_noise(window: int, clips: int = CLIPS, seed: int = 0) -> WindowSet:
    """Random features in the demo's shapes: clips of FRAMES frames and two classes; stride 15."""
    rng = np.random.default_rng(seed)
    starts, steps = np.arange(0, FRAMES - window + 1, 15), AUDIO_STEPS[window]
    labels = [
        np.repeat([2 * c % NUM_CLASSES, (2 * c + 1) % NUM_CLASSES], FRAMES // 2).astype(np.int8)
        for c in range(clips)
    ]
    times, face = np.arange(FRAMES) / 30, np.ones(FRAMES, bool)
    total = clips * len(starts)
    return WindowSet(
        clips=[
            Clip(f"noise{c}", "train", labels[c], face, times, 30.0, "assumed 30 fps", None, None)
            for c in range(clips)
        ],
        visual=rng.standard_normal((clips * FRAMES, 512), np.float32).astype(np.float16),
        frames=np.concatenate(
            [c * FRAMES + starts[:, None] + np.arange(window) for c in range(clips)]
        ),
        audio=rng.standard_normal((total * steps, 768), np.float32).astype(np.float16),
        audio_start=np.arange(total) * steps,
        audio_length=np.full(total, steps, np.int32),
        label=np.concatenate([labels[c][starts + window - 1] for c in range(clips)]).astype(
            np.int64
        ),
        clip=np.repeat(np.arange(clips, dtype=np.int32), len(starts)),
        end=np.tile(starts + window, clips).astype(np.int32),
    )


def prompts() -> tuple[np.ndarray, float]:
    """Random prompts and the scale CLIP starts from."""
    return np.random.default_rng(1).standard_normal((NUM_CLASSES, 512)).astype(np.float32), 1 / 0.07


def trainer_of(experiment: Experiment, windows: WindowSet) -> Trainer:
    """A Trainer on this machine's device."""
    return Trainer(experiment, windows, *prompts(), device())
