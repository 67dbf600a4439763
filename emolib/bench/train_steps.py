"""``emolib bench train``: a training step, alone, as a CUDA graph, and of many runs at once."""

from types import ModuleType
from typing import Any

import numpy as np
import torch

from emolib.bench.noise import AUDIO_STEPS, prompts, trainer_of, windows_of_noise
from emolib.bench.side_by_side import interleaved
from emolib.config import Experiment, preset
from emolib.features.window_sets import WindowSet
from emolib.features.work import matrix_rate
from emolib.system.device import device, training_arithmetic, training_dtype
from emolib.training.stacked import Stack

STILL = {
    "classifier_dropout": 0.0,
    "tcn_dropout": 0.0,
    "adapter_dropout": 0.0,
    "attention_dropout": 0.0,
}
BUDGET = 15.0  # seconds a comparison may repeat itself
EQUAL_STEPS = 50  # over which our losses are held against the plain loop's


def equal_losses(
    plain: ModuleType, steps: int = EQUAL_STEPS, seed: int = 42
) -> tuple[float, np.ndarray]:
    """Largest difference between our losses and the plain loop's, and ours.

    In float32, without dropout, at the paper's learning rate.
    """
    experiment = preset(
        "demo",
        window=30,
        amp="float32",
        learning_rate=1e-5,
        min_learning_rate=1e-6,
        seed=seed,
        **STILL,
    )  # type: ignore[arg-type]
    windows = windows_of_noise(30, clips=8)
    trainer = trainer_of(experiment, windows)
    loop = plain.PlainLoop(trainer, windows)
    order = torch.cat([trainer.order(epoch) for epoch in range(20)])[
        : steps * experiment.batch_size
    ]
    rates = [trainer.learning_rate(0, 0)] * steps
    theirs = list(loop.steps(order, rates))
    ours = []
    for rows, rate in zip(order.split(experiment.batch_size), rates, strict=True):
        losses, _ = trainer.losses(rows)
        losses.total.backward()
        trainer.step(rate)
        ours.append(losses.total.item())
    return float(np.abs(np.array(ours) - np.array(theirs)).max()), np.array(ours)


def step_ratio(
    plain: ModuleType, experiment: Experiment, windows: WindowSet, repeats: int = 5
) -> dict[str, Any]:
    """An epoch of ours against the plain loop's, and the share of a matrix product's speed."""
    trainer = trainer_of(experiment, windows)
    loop = plain.PlainLoop(trainer, windows)
    order = trainer.order(0)
    work = {
        "ours": lambda: trainer.epoch(0),
        "plain": lambda: list(loop.steps(order, [1e-5] * trainer.steps)),
    }
    times = interleaved(work, repeats, BUDGET)
    ours, plain_loop = times["ours"], times["plain"]
    count = len(windows.label)
    peak = 1e9 * matrix_rate(device(), training_dtype(device(), experiment.amp))
    return {
        "arithmetic": training_arithmetic(device(), experiment.amp),
        "windows_per_second": count / ours,
        "plain_windows_per_second": count / plain_loop,
        "step_ratio": plain_loop / ours,
        "milliseconds_a_step": 1000 * ours / trainer.steps,
        "fraction_of_peak": count * flops_a_window(experiment) / ours / peak,
    }


def flops_a_window(experiment: Experiment) -> float:
    """Floating-point operations of one window forward and backward.

    With the taps that a short window needs.
    """
    e, window, sound = experiment, experiment.window, AUDIO_STEPS[experiment.window]
    # Time steps times taps that each convolution of block i multiplies.
    rows = [window * min(e.tcn_kernel, 1 + (window - 1) // 2**i) for i in range(e.tcn_blocks)]
    # The products on features, which need no gradient.
    inputs = 512 * e.width * (rows[0] + window) + 768 * e.width * sound
    inner = e.width**2 * (2 * sum(rows) - rows[0])
    attention = 4 * e.width**2 * (window + sound) + 4 * window * sound * e.width
    heads = 2 * e.width**2 + e.width**2 // 2 + 4 * e.width + 512 * e.width
    return 2 * (2 * inputs + 3 * (inner + attention + heads))


def stack_ratio(experiment: Experiment, windows: WindowSet, models: int, repeats: int = 3) -> float:
    """M times the time of a run's epoch over that of M stacked."""
    trainer = trainer_of(experiment, windows)
    experiments = [experiment.replace(seed=seed) for seed in range(models)]
    stack = Stack(experiments, windows, *prompts(), device())
    work = {"alone": lambda: trainer.epoch(0), "stacked": lambda: stack.epoch(0)}
    times = interleaved(work, repeats, BUDGET)
    return models * times["alone"] / times["stacked"]


def graph_gain(experiment: Experiment, windows: WindowSet, repeats: int = 3) -> dict[str, Any]:
    """How many times as fast as eager a graph's epochs are, and whether both have equal bits."""
    replayed, eager = (trainer_of(experiment, windows) for _ in range(2))
    eager.replays = None
    work = {"replayed": lambda: replayed.epoch(0), "eager": lambda: eager.epoch(0)}
    times = interleaved(work, repeats, BUDGET)  # both as often, so their weights stay comparable
    ends = [trainer.model.state_dict().values() for trainer in (replayed, eager)]
    return {
        "graph_ratio": times["eager"] / times["replayed"],
        "same_bits": all(torch.equal(one, other) for one, other in zip(*ends, strict=True)),
    }
