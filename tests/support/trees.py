"""Tiny Aff-Wild2 trees on disk for the tests of reading, checking and submitting."""

import os
import tempfile
import zlib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import simplejpeg

from emolib.data import media
from emolib.labels import EXPRESSIONS

HEADER = ",".join(EXPRESSIONS)
JPEG = simplejpeg.encode_jpeg(np.full((8, 8, 3), 128, np.uint8))


@dataclass
class Spec:
    """One clip to write. ``fps`` None: no video;
    ``labels`` of a test clip say only how many frames there are.
    """

    id: str
    split: str = "train"
    labels: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4, 5, 6, 7] * 3)
    missing: tuple[int, ...] = ()  # frames without an image
    fps: float | None = 25.0
    crops: str = "cropped_aligned"
    videos: str = "batch1"
    frames: int | None = None  # of the video; None: as many as labels
    sound: bool = True
    sound_seconds: float | None = None  # None: as long as the pictures


def clean() -> list[Spec]:
    """A tree without any fault: every class in both splits, a pair of two people,
    two test clips.
    """
    return [
        Spec("1-30-640x480"),
        Spec("2-25-640x480_left", videos="batch2"),
        Spec("2-25-640x480_right", fps=None, missing=(3, 4)),
        Spec("3-12-640x480", split="validation", fps=12.5, missing=(1,)),
        Spec("4-30-640x480", split="test"),
        Spec("5-30-640x480", split="test", missing=(5,)),
    ]


def make_tree(
    root: Path,
    specs: list[Spec],
    *,
    annotations: str = "EXPR_Recognition_Challenge",
    videos: bool = True,
) -> Path:
    """Write ``specs`` under ``root``, with test clips also the list and the template;
    ``videos`` False: none at all.
    """
    for split in ("Train_Set", "Validation_Set"):
        (root / annotations / split).mkdir(parents=True, exist_ok=True)
    (root / "cropped_aligned").mkdir(exist_ok=True)
    for spec in specs:
        if spec.split != "test":
            folder = (
                root
                / annotations
                / {"train": "Train_Set", "validation": "Validation_Set"}[spec.split]
            )
            (folder / f"{spec.id}.txt").write_text(
                "\n".join([HEADER, *map(str, spec.labels)]) + "\n"
            )
        images = root / spec.crops / spec.id
        images.mkdir(parents=True)
        for frame in range(1, len(spec.labels) + 1):
            if frame not in spec.missing:
                (images / f"{frame:05d}.jpg").write_bytes(JPEG)
        if spec.fps is not None and videos:
            name = spec.id.removesuffix("_left").removesuffix("_right")
            write_video(
                root / spec.videos / f"{name}.mp4",
                spec.frames or len(spec.labels),
                spec.fps,
                sound=spec.sound,
                sound_seconds=spec.sound_seconds,
            )
    write_test_files(root, [spec for spec in specs if spec.split == "test"])
    return root


def write_video(
    path: Path,
    frames: int,
    times: float | np.ndarray,
    *,
    sound: bool = True,
    sound_seconds: float | None = None,
) -> None:
    """``frames`` grey pictures at one rate or at ``times``;
    other names give other pictures and sounds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    at = times if isinstance(times, (int, float)) else tuple(np.asarray(times).tolist())
    path.write_bytes(video_bytes(path.name, frames, at, sound, sound_seconds))


@cache
def video_bytes(
    name: str, frames: int, at: float | tuple[float, ...], sound: bool, sound_seconds: float | None
) -> bytes:
    """A video file's content; encoded once, as most tests write the same few videos."""
    shade = zlib.crc32(name.encode()) % 100_000
    times = np.array(at) if isinstance(at, tuple) else at
    seconds = sound_seconds or (at[-1] + 0.1 if isinstance(at, tuple) else frames / at)
    phase = np.arange(int(seconds * media.SAMPLE_RATE)) / (20 + shade / 1000)
    waveform = np.sin(phase).astype(np.float32) / 4 if sound else None
    pictures = (np.full((16, 16, 3), 40 + (i + shade) % 100, np.uint8) for i in range(frames))
    with tempfile.TemporaryDirectory() as folder:
        media.write_video(Path(folder) / name, pictures, times, waveform, size=(16, 16))
        return (Path(folder) / name).read_bytes()


def write_test_files(root: Path, specs: list[Spec]) -> None:
    if specs:
        folder = root / "names_of_videos_in_each_test_set"
        folder.mkdir(exist_ok=True)
        (folder / "Expression_Recognition_Challenge_test_set_release.txt").write_text(
            "\n".join(spec.id for spec in specs) + "\n"
        )
        rows = [
            f"{spec.id}/{frame:05d}.jpg,0"
            for spec in specs
            for frame in range(1, len(spec.labels) + 1)
        ]
        (root / "ABAW_Expr_test_set_example.txt").write_text(
            "\n".join([f"image_location,{HEADER}", *rows]) + "\n"
        )


def age(root: Path, seconds: float = 60) -> None:
    """Make every folder look unchanged for a while, so that the index keeps it."""
    for folder, _, _ in os.walk(root):
        then = Path(folder).stat().st_mtime - seconds
        os.utime(folder, (then, then))
