"""Independent draws of the benchmark: on each, every claim's two sides are trained with ten seeds.

A draw is a file of predictions, ``<number>.npz``; a draw that is there is not trained again.
"""

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from emolib.evaluation.predictions import predict_windows
from emolib.studies.calibration import known
from emolib.studies.calibration.known import FULL_MODEL, KNOWN, Known
from emolib.system.code import code_hash, files_of
from emolib.system.files import atomic_path, hash_of
from emolib.system.process import cores, end_with
from emolib.training.stacked import Stack

SEEDS = 10  # of each side
LOGIT_SCALE = 1 / 0.07  # CLIP's at its start
MODULES = (  # whose code decides what a draw holds
    "emolib.tcn",
    "emolib.fusion",
    "emolib.losses",
    "emolib.model",
    "emolib.training.trainer",
    "emolib.training.stacked",
    "emolib.studies.calibration.latents",
    "emolib.studies.calibration.windows",
)


def identity() -> str:
    """What a draw depends on: settings, claims, and the code that makes and trains it."""
    code = code_hash(path.read_text(encoding="utf-8") for path in files_of(MODULES))
    claims = [[each.name, dict(each.changes), each.seeds_from] for each in KNOWN]
    sizes = [known.WINDOW, known.SHORT, known.EVERY, known.DIFFICULTY]
    sizes += [known.TRAIN_CLIPS, known.CHECK_CLIPS, SEEDS, *known.WIDTHS]
    return hash_of([known.experiment().settings("train"), sizes, claims, code])


def train_side(side: Known, draw: int) -> np.ndarray:
    """int8 ``[SEEDS, clips]``: what one side of a claim predicts for the clips it is checked on."""
    first = 1000 * draw + side.seeds_from * SEEDS
    experiments = [
        known.experiment(**side.changes, seed=seed) for seed in range(first, first + SEEDS)
    ]
    train = side.windows(known.TRAIN_CLIPS, 2 * draw)
    check = side.windows(known.CHECK_CLIPS, 2 * draw + 1)
    prompts = np.random.default_rng(draw).normal(size=(8, known.WIDTHS[0])).astype(np.float32)
    stack = Stack(experiments, train, prompts, LOGIT_SCALE, "cpu")
    for epoch in range(experiments[0].epochs):
        stack.epoch(epoch)
    predicted = [predict_windows(trainer.model, check) for trainer in stack.trainers]
    return np.stack(predicted).argmax(axis=2).astype(np.int8)


def train_draw(path: Path, draw: int) -> None:
    """Write the predictions of all sides on one draw, and the labels, to ``path``."""
    arrays: dict[str, Any] = {side.name: train_side(side, draw) for side in (FULL_MODEL, *KNOWN)}
    arrays["label"] = known.long_windows(known.CHECK_CLIPS, 2 * draw + 1).label
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def ensure(folder: Path, draws: int, *, workers: int | None = None, progress: bool = True) -> None:
    """Train the draws 0 to ``draws`` - 1 that ``folder`` lacks, ``workers`` at a time (None: one a
    core).
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {draw: path_of(folder, draw) for draw in range(draws)}
    pending = {draw: path for draw, path in paths.items() if not path.exists()}
    if not pending:
        return
    count = min(workers or cores(), len(pending))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _start, (os.getpid(),)) as pool:
        futures = [pool.submit(train_draw, path, draw) for draw, path in pending.items()]
        bar = tqdm(as_completed(futures), total=draws, initial=draws - len(pending), unit="draw")
        bar.disable = not progress
        for done in bar:
            done.result()


def _start(parent: int) -> None:
    """Of a process that trains draws: one thread, since the draws share the cores."""
    import torch

    torch.set_num_threads(1)
    end_with(parent)


def path_of(folder: Path, draw: int) -> Path:
    """The file of a draw."""
    return folder / f"{draw:03d}.npz"


def load(folder: Path, draws: Iterable[int]) -> list[dict[str, np.ndarray]]:
    """Labels and predictions of finished draws, by name."""
    loaded = []
    for draw in draws:
        with np.load(path_of(folder, draw), allow_pickle=False) as file:
            loaded.append({name: file[name] for name in file.files})
    return loaded
