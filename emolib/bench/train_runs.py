"""``emolib bench train``: whole runs.

In processes beside each other, killed and resumed, and with the encoder in the loop.
"""

import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emolib.bench.noise import FRAMES, prompts, trainer_of, windows_of_noise
from emolib.bench.side_by_side import interleaved
from emolib.config import preset
from emolib.errors import EmolibError
from emolib.system.device import device
from emolib.system.files import hash_file
from emolib.system.process import end_with
from emolib.training.fit import fit


def _epochs(window: int, threads: int, epochs: int, start: Any, times: Any, parent: int) -> None:
    """In a worker: begin and end of ``epochs`` epochs, after one that does not count."""
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
    """Runs an hour of one worker process a core over those of one process with all cores.

    None on a GPU, and on one core.
    """
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

    times = interleaved({"strict": lambda: strict.epoch(0), "free": free}, 5)
    return times["strict"] / times["free"]


def counted_encoding() -> float:
    """Times that the released code encodes a training frame in the paper's window ablation."""
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
    """Wall time of the window ablation with the encoder inside the loop, over ours, from raw faces.

    Faces only: sound would add to both sides in the same proportion. None where the package has no
    encoder.
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

    def in_the_loop() -> None:
        for window, windows in sets.items():
            trainer = trainer_of(experiment.replace(window=window), windows)
            for epoch in range(epochs):
                for rows in trainer.order(epoch).split(experiment.batch_size):
                    encoder.images(faces[windows.frames[rows.numpy()].reshape(-1)])
                trainer.epoch(epoch)

    times = interleaved({"ours": ours, "in the loop": in_the_loop}, 1)
    return times["in the loop"] / times["ours"]


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
