"""A tree in the layout of docs/data.md, built from that page alone: no code of emolib is used.

Every image's colour says which frame it is and which class it shows, and every tenth of a second of
sound has a pitch of its own, so that whatever is read of the tree can be told to be in its place.
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from PIL import Image

CLASSES = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
RATE = 44_100  # of the sound on disk
SLOT = 0.1  # seconds of one pitch
PITCHES, LOWEST, APART = 50, 400.0, 52.0  # Hz


@dataclass(frozen=True)
class Planted:
    """One clip: ``n`` frames, of which ``missing`` have no image."""

    id: str
    split: str
    n: int
    rate: Fraction  # frames per second
    number: int  # says where its classes begin
    video: int  # number of its video, which two people share
    missing: frozenset[int]
    more: int = 0  # annotation lines, or rows of the template, beyond the last frame

    def label(self, frame: int) -> int:
        """The class of a frame, counted from 1."""
        return (min(frame, self.n) // 9 + self.number) % 8

    def image(self, frame: int) -> int:
        """The image that stands for a frame: its own, the last one before, or the first one."""
        return images_shown(self)[frame - 1]

    def colour(self, frame: int) -> tuple[int, int, int]:
        return 16 + 32 * self.label(frame), 8 + 16 * (frame % 16), 8 + 16 * (frame // 16 % 16)

    def pitch(self, seconds: float) -> int:
        """Which pitch its video has at a time."""
        return (int(seconds / SLOT) * 7 + 3 * self.video) % PITCHES


@cache
def images_shown(clip: Planted) -> list[int]:
    """Of every frame, and of those beyond the last, :meth:`Planted.image`."""
    first = next(frame for frame in range(1, clip.n + 1) if frame not in clip.missing)
    shown: list[int] = []
    for frame in range(1, clip.n + clip.more + 1):
        last = shown[-1] if shown else first
        shown.append(last if frame in clip.missing or frame > clip.n else frame)
    return shown


RATES = [
    Fraction(15, 2),
    Fraction(25, 2),
    Fraction(24000, 1001),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
]
NAMES = ["1-30-1280x720", "7-60-1920x1080", "video_2", "135-24-1920x1080", "24-30-1920x1080-1", "x"]


def plan(frames: int, seed: int = 0) -> list[Planted]:
    """Six videos for training, one of them with two people, three for validation, two for test."""
    rng = np.random.default_rng(seed)
    clips: list[Planted] = []
    for video in range(11):
        split = "train" if video < 6 else "validation" if video < 9 else "test"
        name = NAMES[video] if video < len(NAMES) else f"{video}-{split}"
        people = [f"{name}_left", f"{name}_right"] if video == 3 else [name]
        n = frames + int(rng.integers(0, 20))
        for person in people:
            gone = rng.choice(np.arange(1, n), n // 15, replace=False)
            missing = frozenset({*gone.tolist(), *([1, 2] if video % 2 else [])})
            more = 1 if video in (1, 7, 10) else 0
            clips.append(
                Planted(person, split, n, RATES[video % 6], len(clips), video, missing, more)
            )
    return clips


def write(root: Path, clips: list[Planted]) -> None:
    """Annotations, crops, videos, the test list and its template."""
    for clip in clips:
        _write_images(root, clip)
        if clip.split != "test":
            _write_annotation(root, clip)
    for video in sorted({clip.video for clip in clips}):
        _write_video(root, [clip for clip in clips if clip.video == video])
    tests = [clip for clip in clips if clip.split == "test"]
    names = root / "names_of_videos_in_each_test_set"
    names.mkdir()
    listed = "\n".join(clip.id for clip in tests) + "\n"
    (names / "Expression_Recognition_Challenge_test_set_release.txt").write_text(listed)
    rows = [f"{clip.id}/{i:05d}.jpg,0" for clip in tests for i in range(1, clip.n + clip.more + 1)]
    template = "\n".join([f"image_location,{CLASSES}", *rows]) + "\n"
    (root / "ABAW_Expr_test_set_example.txt").write_text(template)


def _write_images(root: Path, clip: Planted) -> None:
    crops = "cropped_aligned_new_50_vids" if clip.video % 4 == 2 else "cropped_aligned"
    folder = root / crops / clip.id
    folder.mkdir(parents=True)
    for frame in range(1, clip.n + 1):
        if frame not in clip.missing:
            picture = Image.new("RGB", (16, 16), clip.colour(frame))
            content = io.BytesIO()
            picture.save(content, "JPEG", quality=100, subsampling=0)
            (folder / f"{frame:05d}.jpg").write_bytes(content.getvalue())


def _write_annotation(root: Path, clip: Planted) -> None:
    folder = {"train": "Train_Set", "validation": "Validation_Set"}[clip.split]
    path = root / "EXPR_Recognition_Challenge" / folder / f"{clip.id}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [CLASSES, *(str(clip.label(frame)) for frame in range(1, clip.n + clip.more + 1))]
    end, mark = ("\r\n", b"\xef\xbb\xbf") if clip.video == 0 else ("\n", b"")
    path.write_bytes(mark + (end.join(lines) + end).encode())


def _write_video(root: Path, people: list[Planted]) -> None:
    first, n = people[0], max(clip.n for clip in people)
    name = first.id.removesuffix("_left").removesuffix("_right")
    suffix, sound_codec = (".avi", "pcm_s16le") if first.video % 3 == 1 else (".mp4", "aac")
    path = root / f"batch{1 + first.video % 3}" / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=first.rate)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream(sound_codec, rate=RATE, layout="mono")
        for number in range(n):
            frame = av.VideoFrame.from_ndarray(
                np.full((32, 32, 3), number % 200, np.uint8), format="rgb24"
            )
            frame.pts, frame.time_base = number, 1 / first.rate
            container.mux(video.encode(frame))
        container.mux(video.encode())
        _write_sound(container, sound, first, float(n / first.rate) + 0.5)


def _write_sound(container, stream, clip: Planted, seconds: float) -> None:
    samples = np.arange(int(seconds * RATE))
    slots = (samples / RATE / SLOT).astype(int)
    pitches = np.array([clip.pitch((slot + 0.5) * SLOT) for slot in range(slots[-1] + 1)])
    phase = 2 * np.pi * np.cumsum(LOWEST + APART * pitches[slots]) / RATE
    wave = (0.4 * np.sin(phase)).astype(np.float32)
    if stream.codec_context.name == "pcm_s16le":
        wave, kind = (wave * 32767).astype(np.int16), "s16"
    else:
        kind = "fltp"
    for first in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(
            wave[None, first : first + 1024], format=kind, layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
