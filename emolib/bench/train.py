"""``emolib bench train``: what the training loop gains over a plain one, measured here.

Every ratio is a median over interleaved repeats on the same data in the same process unless it says otherwise; a ratio
counts only when the results it compares are equal.
"""

import importlib.util
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.config import Experiment, preset
from emolib.data.clip import Clip
from emolib.errors import EmolibError
from emolib.features.window_sets import WindowSet
from emolib.features.work import matrix_rate
from emolib.labels import NUM_CLASSES
from emolib.system.device import device, run_threads, training_dtype
from emolib.system.files import hash_file, project_root, write_json
from emolib.system.process import end_with
from emolib.system.provenance import provenance
from emolib.training.run import fit
from emolib.training.stacked import Stack
from emolib.training.trainer import Trainer

STILL = {
    "classifier_dropout": 0.0,
    "tcn_dropout": 0.0,
    "adapter_dropout": 0.0,
    "attention_dropout": 0.0,
}
TOLERANCE = 1e-5  # of a loss, over EQUAL_STEPS steps
EQUAL_STEPS = 50
CLIPS, FRAMES = 24, 300  # generated in memory: 408 windows at T = 60
TIMED = {
    "cpu": (8, ("demo",)),
    "cuda": (24, ("demo", "paper")),
}  # clips of a timed epoch, and at which presets' settings
AUDIO_STEPS = {10: 16, 15: 24, 30: 49, 60: 99}  # docs/method.md, Audio encoder


def run(folder: Path) -> dict[str, Any]:
    """Measure everything and write ``folder``/train.json. Raises EmolibError outside a checkout (the plain loop is in tests)."""
    started, plain = time.monotonic(), plain_loop()
    clips, presets = TIMED[torch.device(device()).type]
    with run_threads():
        difference = max(equal_losses(plain, seed=seed)[0] for seed in (42, 1, 2))
    result: dict[str, Any] = {"difference_over_50_steps": difference, "step": {}, "sweep_ratio": {}}
    if result["difference_over_50_steps"] > TOLERANCE:
        raise EmolibError(
            f"bench: losses differ by {result['difference_over_50_steps']:.2g} from the plain loop's; no ratio counts"
        )
    with run_threads():  # as every run trains; the plain loop gets the same
        result["threads"] = torch.get_num_threads()
        for name, window in tqdm(
            product(presets, (10, 60)), desc="steps and stacks", total=2 * len(presets), leave=False
        ):
            experiment, windows = preset(name, window=window), windows_of_noise(window, clips=clips)
            key = f"T={window}" if name == "demo" else f"{name}, T={window}"
            result["step"][key] = step_ratio(plain, experiment, windows)
            for models in (4, 8) if name == "demo" else (8,):
                result["sweep_ratio"][f"{key}, M={models}"] = stack_ratio(
                    experiment, windows, models
                )
        result["deterministic_price"] = deterministic_price()
    result["workers_ratio"] = {f"T={window}": workers_ratio(window) for window in (10, 60)}
    result["ablation_ratio"] = {"counted": counted_encoding(), "measured": encoding_in_the_loop()}
    result["resume_equal"] = resume_equal()
    result["minutes"] = (time.monotonic() - started) / 60
    result["targets"] = judged(result)
    result["provenance"] = provenance(device())
    write_json(folder / "train.json", result)
    return result


def judged(result: dict[str, Any]) -> dict[str, str]:
    """Each target with what was measured against it, for a CPU or a GPU."""
    gpu = device().startswith("cuda")
    step, stack = (8.0, 4.0) if gpu else (2.0, 1.2)
    rows = {
        f"step_ratio, {key}": (value["step_ratio"], step) for key, value in result["step"].items()
    }
    rows |= {
        f"sweep_ratio, {key}": (value, stack)
        for key, value in result["sweep_ratio"].items()
        if not gpu or "M=8" in key
    }
    rows |= {"minutes, at most": (-result["minutes"], -10.0)}
    verdicts = {
        name: f"{abs(got):.2f}, target {abs(wanted):g}: {'met' if got >= wanted else 'missed'}"
        for name, (got, wanted) in rows.items()
    }
    return verdicts | {"resume_equal": "met" if result["resume_equal"] else "missed"}


def plain_loop() -> ModuleType:
    """tests/benchmarks/plain_training.py as a module."""
    path = project_root() / "tests" / "benchmarks" / "plain_training.py"
    if not path.exists():
        raise EmolibError(f"{path}: no such file; run the benchmark in a checkout of the project")
    spec = importlib.util.spec_from_file_location("plain_training", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def windows_of_noise(window: int, clips: int = CLIPS, seed: int = 0) -> WindowSet:
    """Random features in the shape of the demo's: every clip has FRAMES frames and two classes; stride 15."""
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


def equal_losses(
    plain: ModuleType, steps: int = EQUAL_STEPS, seed: int = 42
) -> tuple[float, np.ndarray]:
    """Largest difference between our losses and the plain loop's, and ours: float32, dropout off, the paper's learning rate."""
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


def interleaved(
    first: Callable[[], Any], second: Callable[[], Any], repeats: int
) -> tuple[float, float]:
    """Median seconds of each, after one call of each that does not count."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for call, record in zip((first, second), times, strict=True):
            started = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if repeat:
                record.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


def step_ratio(
    plain: ModuleType, experiment: Experiment, windows: WindowSet, repeats: int = 5
) -> dict[str, float]:
    """An epoch of ours against the plain loop's, and the share of this machine's matrix product speed."""
    trainer = trainer_of(experiment, windows)
    loop = plain.PlainLoop(trainer, windows)
    order = trainer.order(0)
    ours, theirs = interleaved(
        lambda: trainer.epoch(0), lambda: list(loop.steps(order, [1e-5] * trainer.steps)), repeats
    )
    count = len(windows.label)
    peak = 1e9 * matrix_rate(device(), training_dtype(device(), experiment.amp))
    return {
        "windows_per_second": count / ours,
        "plain_windows_per_second": count / theirs,
        "step_ratio": theirs / ours,
        "milliseconds_a_step": 1000 * ours / trainer.steps,
        "fraction_of_peak": count * flops_a_window(experiment) / ours / peak,
    }


def flops_a_window(experiment: Experiment) -> float:
    """Floating-point operations of one window forward and backward, with the taps that a short window needs."""
    e, window, sound = experiment, experiment.window, AUDIO_STEPS[experiment.window]
    # Time steps times taps that each convolution of block i multiplies.
    rows = [window * min(e.tcn_kernel, 1 + (window - 1) // 2**i) for i in range(e.tcn_blocks)]
    inputs = (
        512 * e.width * (rows[0] + window) + 768 * e.width * sound
    )  # on features, which need no gradient
    inner = e.width**2 * (2 * sum(rows) - rows[0])
    attention = 4 * e.width**2 * (window + sound) + 4 * window * sound * e.width
    heads = 2 * e.width**2 + e.width**2 // 2 + 4 * e.width + 512 * e.width
    return 2 * (2 * inputs + 3 * (inner + attention + heads))


def stack_ratio(experiment: Experiment, windows: WindowSet, models: int, repeats: int = 3) -> float:
    """M times the time of a run's epoch over that of M stacked."""
    trainer = trainer_of(experiment, windows)
    stack = Stack(
        [experiment.replace(seed=seed) for seed in range(models)], windows, *prompts(), device()
    )
    alone, together = interleaved(lambda: trainer.epoch(0), lambda: stack.epoch(0), repeats)
    return models * alone / together


def _epochs(window: int, threads: int, epochs: int, start: Any, times: Any, parent: int) -> None:
    """In a worker: begin and end of ``epochs`` epochs after one that does not count, when all workers are ready."""
    end_with(parent)
    torch.set_num_threads(threads)
    trainer = trainer_of(preset("demo", window=window), windows_of_noise(window, clips=8))
    trainer.epoch(0)
    start.wait()
    begin = time.monotonic()
    for epoch in range(epochs):
        trainer.epoch(epoch)
    times.put((begin, time.monotonic()))


def workers_ratio(window: int, epochs: int = 3) -> float | None:
    """Runs an hour of one worker process a core over one process with all cores; what ``sweep`` does here. None on a GPU."""
    cores = os.cpu_count() or 1
    if device().startswith("cuda") or cores < 2:
        return None
    walls = []
    for workers in (1, cores):
        spawn = multiprocessing.get_context("spawn")
        start, times = spawn.Barrier(workers), spawn.Queue()
        processes = [
            spawn.Process(
                target=_epochs, args=(window, cores // workers, epochs, start, times, os.getpid())
            )
            for _ in range(workers)
        ]
        for process in processes:
            process.start()
        spans = [times.get() for _ in processes]
        for process in processes:
            process.join()
        walls.append((max(end for _, end in spans) - min(begin for begin, _ in spans)) / workers)
    return walls[0] / walls[1]


def deterministic_price() -> float:
    """Seconds of a deterministic epoch over one without the setting, T = 60."""
    windows = windows_of_noise(60, clips=8)
    strict, loose = (trainer_of(preset("demo"), windows) for _ in range(2))

    def free() -> None:
        torch.set_deterministic_debug_mode("default")
        loose.epoch(0)
        torch.set_deterministic_debug_mode("error")

    price, without = interleaved(lambda: strict.epoch(0), free, 5)
    return price / without


def counted_encoding() -> float:
    """Times that the released code encodes a training frame in the paper's four-window ablation, over our once."""
    e = preset("paper")
    encoded = (
        sum(
            len(range(0, FRAMES * 100 - window + 1, e.stride)) * window
            for window in e.window_list()
        )
        * e.epochs
    )
    return encoded / (FRAMES * 100)


def encoding_in_the_loop(epochs: int = 2, clips: int = 4) -> float | None:
    """Wall time of the four-window ablation with the encoder inside the loop over ours, from raw faces, 2 epochs, 4 clips.

    Faces only: sound would add to both sides in the same proportion. None where the package has no encoder.
    """
    from emolib.encoders.load import load_visual

    experiment = preset("demo", epochs=epochs)
    try:
        encoder = load_visual(experiment, device())
    except EmolibError:
        return None
    faces = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (clips * FRAMES, 112, 112, 3), dtype=np.uint8)
    )
    sets = {window: windows_of_noise(window, clips) for window in experiment.window_list()}

    def ours() -> None:
        for batch in faces.split(256):
            encoder.images(batch)
        for window, windows in sets.items():
            trainer = trainer_of(experiment.replace(window=window), windows)
            for epoch in range(epochs):
                trainer.epoch(epoch)

    def theirs() -> None:
        for window, windows in sets.items():
            trainer = trainer_of(experiment.replace(window=window), windows)
            for epoch in range(epochs):
                for rows in trainer.order(epoch).split(experiment.batch_size):
                    encoder.images(faces[windows.frames[rows.numpy()].reshape(-1)])
                trainer.epoch(epoch)

    mine, peer = interleaved(ours, theirs, 1)
    return peer / mine


def _fit_here(folder: Path, parent: int) -> None:
    end_with(parent)
    torch.set_num_threads(1)
    windows = windows_of_noise(10, clips=4)
    experiment = preset("demo", window=10, epochs=4, amp="float32", width=32)
    fit(experiment, windows, windows, *prompts(), folder, progress=False, device=device())


def resume_equal() -> bool:
    """Whether a run killed after its first epoch and resumed has the bits of one undisturbed."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        whole, killed = Path(name) / "whole", Path(name) / "killed"
        for folder in (whole, killed, killed):
            first = folder is killed and not (killed / "state.pt").exists()
            process = spawn.Process(target=_fit_here, args=(folder, os.getpid()))
            process.start()
            while first and process.is_alive() and not (killed / "state.pt").exists():
                time.sleep(0.01)
            if first:
                process.kill()
            process.join()
        return all(
            hash_file(whole / file) == hash_file(killed / file)
            for file in ("model.safetensors", "history.csv")
        )


def table(result: dict[str, Any]) -> str:
    """The result for people: one line a figure, nested names joined by a colon."""

    def lines(prefix: str, value: Any) -> list[str]:
        if isinstance(value, dict):
            return [
                line
                for key, inner in value.items()
                for line in lines(f"{prefix}{key}: " if prefix else f"{key}: ", inner)
            ]
        return [f"{prefix}{value:.3g}" if isinstance(value, float) else f"{prefix}{value}"]

    return "\n".join(
        lines("", {key: value for key, value in result.items() if key != "provenance"})
    )
