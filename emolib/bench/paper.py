"""``emolib bench paper``: the paper's whole experiment rehearsed at the data set's true size.

A tree of Aff-Wild2's shape (``paper_tree``) goes through the real code: doctor, clips and windows,
extraction, the sweep of four windows and five seeds, the frame protocol at stride 1 and the
submission. The encoders have random weights. What takes hours is done for a stated share, whose
time is divided by it: such seconds are a projection, and the table says of which share. The rest of
the features is written as random numbers (``paper_features``).
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch

from emolib.bench.extract import random_weights
from emolib.bench.memory import Peaks
from emolib.bench.noise import prompts
from emolib.bench.paper_features import RandomSound, fill
from emolib.bench.paper_tree import write_tree
from emolib.bench.side_by_side import device_name
from emolib.bench.train_steps import flops_a_window
from emolib.config import Experiment, preset
from emolib.data import doctor
from emolib.data.clip import Clip
from emolib.data.layout import find_layout
from emolib.data.structure import SPLITS
from emolib.evaluation import predictions as evaluation
from emolib.features import window_sets
from emolib.features.extraction import extract, store_of
from emolib.features.prepare import FrameSets, clips_of
from emolib.features.protocols import index_of
from emolib.features.window_sets import WindowSet, steps_of, window_set
from emolib.features.work import Stream, matrix_rate
from emolib.system.device import device, training_arithmetic, training_dtype
from emolib.system.files import write_json
from emolib.system.provenance import provenance
from emolib.training.trainer import Trainer, grouped

SEEDS = 5
BUDGET = {"cpu": 40.0, "cuda": 20.0}  # seconds for a sampled part of a stage
TRAINING_BUDGET = {"cpu": 900.0, "cuda": 20.0}  # seconds for the training with one window length
FACES = {"cpu": 128, "cuda": 8192}  # images encoded, at least those of one clip
EPOCH_SHARE = 0.1  # of an epoch that is trained, at most
BESIDE = "sound as whole tracks, instead"  # not counted in the sum


Report = Callable[[list[dict[str, Any]]], None]


class Rehearsal:
    """The stages, each of which adds a row to ``rows`` and tells ``report`` so."""

    def __init__(
        self, folder: Path, scale: float, report: Report, *, small: bool, progress: bool
    ) -> None:
        self.folder, self.scale, self.report, self.progress = folder, scale, report, progress
        self.tree, self.rows = folder / "tree", list[dict[str, Any]]()
        self.kind = torch.device(device()).type
        self.budget = 2.0 if small else BUDGET.get(self.kind, BUDGET["cpu"])
        self.training_budget = (
            2.0 if small else TRAINING_BUDGET.get(self.kind, TRAINING_BUDGET["cpu"])
        )
        self.images = 1 if small else FACES.get(self.kind, FACES["cpu"])
        clip, wav2vec2 = random_weights(folder / "weights", small)
        changes: dict[str, Any] = {"width": 64, "windows": "10"} if small else {}
        self.experiment = preset(
            "paper",
            data=str(self.tree),
            visual_encoder=str(clip),
            audio_encoder=str(wav2vec2),
            **changes,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Time and measure what happens inside; what it puts into the row overrides.

        ``share``: of the whole that was done; ``times``: how often the experiment does it.
        """
        row: dict[str, Any] = {"stage": name, "share": 1.0, "times": 1}
        with Peaks() as peaks:
            started = time.perf_counter()
            yield row
            row.setdefault("seconds", time.perf_counter() - started)
        row["projected"] = row["seconds"] / row["share"] * row["times"]
        self.rows.append(row | peaks.as_dict())
        self.report(self.rows)

    def run(self) -> None:
        """All stages in the order of the experiment."""
        with self.stage("make the tree"):
            write_tree(self.tree, self.scale, progress=self.progress)
        with self.stage("doctor") as row:
            row["faults"] = len(doctor.examine(self.tree, progress=self.progress)["problems"])
        with self.stage("clips"):
            splits = (*SPLITS, "test")
            clips = clips_of(self.experiment, splits, progress=self.progress)
        for window in self.experiment.window_list():
            self.of_window(self.experiment.replace(window=window), clips)
        self.whole_tracks(clips)
        with self.stage("submission") as row:
            row["lines"] = self.submit()

    def of_window(self, experiment: Experiment, clips: list[Clip]) -> None:
        """Extraction, training and evaluation with windows of one length."""
        name = f"T = {experiment.window}: "
        with self.stage(f"{name}index") as row:
            windows = [index_of(experiment, c, "window") for c in clips if c.split != "test"]
            row["windows"] = sum(map(len, windows))
        self.extract(experiment, clips)
        with self.stage(f"{name}random features") as row:
            row["disk"] = fill(experiment, clips, progress=self.progress)
        with self.stage(f"{name}load") as row:
            sets = [
                window_set(
                    experiment,
                    [clip for clip in clips if clip.split == split],
                    protocol="window",
                    progress=False,
                )
                for split in SPLITS
            ]
        self.train(experiment, *sets)
        self.frames(experiment, [clip for clip in clips if clip.split == "validation"])
        shutil.rmtree(store_of(experiment, "audio").folder)  # room for the next length

    def extract(self, experiment: Experiment, clips: list[Clip]) -> None:
        """Encode a sample of the clips with labels."""
        labelled = [clip for clip in clips if clip.split != "test"]
        report = extract(experiment, self.sample(clips), progress=self.progress).report
        for stream in report.streams:
            every = clips if stream.name == "faces" else labelled
            if stream.name == "faces":
                units = sum(int(clip.face_present.sum()) for clip in every)
            else:
                units = sum(len(index_of(experiment, clip, "window")) for clip in every)
            with self.stage(f"T = {experiment.window}: {stream.name}") as row:
                row["seconds"], row["share"] = stream.seconds, stream.units / max(units, 1)
                row["of_limit"] = of_limit(stream)

    def sample(self, clips: list[Clip]) -> list[Clip]:
        """The shortest clips of those with labels, as many as the number of images says."""
        sample = list[Clip]()
        labelled = [clip for clip in clips if clip.split != "test"]
        for clip in sorted(labelled, key=lambda clip: len(clip.labels)):
            if sum(int(each.face_present.sum()) for each in sample) < self.images:
                sample.append(clip)
        return sample

    def whole_tracks(self, clips: list[Clip]) -> None:
        """What the sound would take if each track were encoded once for all windows
        (``audio_context=track``): beside the experiment, not a part of it.
        """
        sample = self.sample(clips)
        experiment = self.experiment.replace(audio_context="track")
        (stream,) = extract(experiment, sample, progress=self.progress).report.streams
        with self.stage(BESIDE) as row:
            labelled = [clip for clip in clips if clip.split != "test"]
            row["seconds"], row["share"] = stream.seconds, seconds_of(sample) / seconds_of(labelled)
            row["of_limit"] = of_limit(stream)

    def train(self, experiment: Experiment, train: WindowSet, validation: WindowSet) -> None:
        """A part of an epoch of one seed, and the epoch's check on the validation windows."""
        trainer = Trainer(experiment, train, *prompts(), device())
        steps = grouped(trainer.order(0), experiment, trainer.windows)
        most = max(2, round(EPOCH_SHARE * len(steps)))
        trainer.advance(1e-5, *steps[-1])  # the first is slow
        with self.stage(f"T = {experiment.window}: training") as row:
            done = self.within_training_budget(lambda i: trainer.advance(1e-5, *steps[i]), most)
            row["share"], row["times"] = done / len(steps), experiment.epochs * SEEDS
            row["loss"] = float(trainer.totals[0])  # waits for the device
        count = sum(rows.numel() for step in steps[:done] for rows in step)
        rate = 1e9 * matrix_rate(device(), training_dtype(device(), experiment.amp))
        row = self.rows[-1]
        row["of_limit"] = count * flops_a_window(experiment) / row["seconds"] / rate
        part = first_windows(validation, 1024)
        with self.stage(f"T = {experiment.window}: validation") as row:
            evaluation.predict_windows(trainer.model, part)
            row["share"] = len(part.label) / max(len(validation.label), 1)
            row["times"] = experiment.epochs * SEEDS
        self.model = trainer.model

    def frames(self, experiment: Experiment, clips: list[Clip]) -> None:
        """The frame protocol at stride 1 for some clips, the sound of noise, encoded at once."""
        total = sum(len(clip.labels) * steps_of(experiment, clip) for clip in clips)
        done = 0
        real = window_sets.load_audio
        window_sets.load_audio = lambda *options: RandomSound(real(*options))  # type: ignore[assignment]
        try:
            with self.stage(f"T = {experiment.window}: every frame, without the encoder") as row:
                started = time.perf_counter()
                for part in FrameSets(experiment, clips):
                    evaluation.predict_windows(self.model, part)
                    done += int(part.audio_length.sum())
                    if time.perf_counter() - started > self.budget:
                        break
                row["share"], row["times"] = min(1.0, done / total), SEEDS
        finally:
            window_sets.load_audio = real

    def within_training_budget(self, step: Callable[[int], None], most: int) -> int:
        """``step`` 0, 1, ... up to ``most`` or the end of the budget; how many were done."""
        started = time.perf_counter()
        for number in range(most):
            step(number)
            if time.perf_counter() - started > self.training_budget:
                break
        return number + 1

    def submit(self) -> int:
        """Write random classes along the template and check the file, in a process; its rows."""
        (template,) = find_layout(self.tree, self.experiment.crops).submission_templates()
        command = [sys.executable, "-c", SUBMIT, str(template), str(self.folder / "submission.txt")]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def of_limit(stream: Stream) -> float:
    """The encoder's operations a second, of those of a matrix product measured now."""
    return stream.gflop / stream.seconds / matrix_rate(stream.device, stream.dtype)


def seconds_of(clips: list[Clip]) -> float:
    """How long the clips last together."""
    return sum(len(clip.labels) / clip.fps for clip in clips)


SUBMIT = """
import sys
from pathlib import Path
import numpy as np
from emolib.data.annotations import read_template
from emolib.studies.submission import write_submission
from emolib.studies.submission_check import check
template, out = map(Path, sys.argv[1:])
rng = np.random.default_rng(0)
classes = {id: rng.integers(0, 8, n) for id, n in read_template(template).frames().items()}
result = write_submission(template, classes, out)
assert not check(out, template)
print(result["rows"])
"""


def first_windows(windows: WindowSet, count: int) -> WindowSet:
    """The first ``count`` windows."""
    names = ("frames", "audio_start", "audio_length", "label", "clip", "end")
    parts = {name: getattr(windows, name)[:count] for name in names}
    return WindowSet(clips=windows.clips, visual=windows.visual, audio=windows.audio, **parts)


def run(
    folder: Path, *, small: bool = False, scale: float = 1.0, progress: bool = True
) -> dict[str, Any]:
    """Rehearse at ``scale`` of the data set; ``folder``/paper.json is written after each stage.

    The tree and its features lie in a folder beside it, which is removed. ``small``: encoders and
    model of a few channels, only to see that it runs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "scale": scale,
        "small": small,
        "device_name": device_name(device()),
        "arithmetic": training_arithmetic(device(), preset("paper").amp),
        "provenance": provenance(device()),
    }

    def report(rows: list[dict[str, Any]]) -> None:
        result.update(stages=rows, minutes=(time.monotonic() - started) / 60)
        write_json(folder / "paper.json", result)

    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="paper-") as root,
        cache_in(Path(root) / "runs"),
    ):
        Rehearsal(Path(root), scale, report, small=small, progress=progress).run()
    return result


@contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Inside, features and waveforms are kept in ``folder``."""
    before = os.environ.get("EMOLIB_RUNS")
    os.environ["EMOLIB_RUNS"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["EMOLIB_RUNS"]
        else:
            os.environ["EMOLIB_RUNS"] = before


def table(result: dict[str, Any]) -> str:
    """A row for each stage: what was measured, and what it says of the whole experiment."""
    heads = ("measured s", "share", "whole s", "of limit", "host GB", "GPU GB", "disk GB")
    lines = [f"{'':38}" + "".join(f"{head:>11}" for head in heads)]
    for row in result["stages"]:
        limit = f"{row['of_limit']:.0%}" if "of_limit" in row else ""
        cells = (
            f"{row['seconds']:.1f}",
            f"{row['share']:.2%}",
            f"{row['projected']:,.0f}",
            limit,
            *(f"{row.get(name, 0) / 1e9:.2f}" for name in ("host", "device", "disk")),
        )
        lines.append(f"{row['stage']:38}" + "".join(f"{cell:>11}" for cell in cells))
    counted = [row for row in result["stages"][1:] if row["stage"] != BESIDE]
    whole = sum(row["projected"] for row in counted)
    lines.append(
        f"scale {result['scale']:g}, {result['device_name']}, training in {result['arithmetic']}: "
        f"{whole / 60:,.0f} minutes for {SEEDS} seeds of each window "
        "(a projection from the shares), tree not counted"
    )
    return "\n".join(lines)
