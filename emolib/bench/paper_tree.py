"""A tree of Aff-Wild2's true shape, for ``emolib bench paper``: no person in it, and quickly made.

From the counts of ``emolib.data.structure``: every annotation file with its lines, its frames of
each class and its video's rate and lengths. The test set, of which only the number of videos and
rows is known (docs/data.md, Test set and submission), draws its videos from the same counts. What
the counts do not say follows a stated law:

- Labels: each class's frames come in runs of RUN frames in the mean (exponential), in random order,
  and so do the frames without a label.
- Faces: one image in fifty is missing, in runs of GAP frames; a clip's last one is there.
- Images are hard links to a few JPEG crops; pictures of videos are grey squares; sound is noise.

A smaller ``scale`` has the square root of it of the files, and of the length of each: every class
stays, slow rates too, and the longest file stays the longest.
"""

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from emolib.bench.extract_faces import make_faces
from emolib.data.media import SAMPLE_RATE
from emolib.data.structure import CLASS_COLUMNS, annotation_files
from emolib.data.synthetic.tree import ANNOTATIONS, TEMPLATE, TEST_LIST, TEST_LISTS
from emolib.labels import EXPRESSIONS, NOT_ANNOTATED
from emolib.system.files import atomic_path, write_text

RUN, GAP = 100, 10  # frames
MISSING = 0.02  # of the images
TEST_VIDEOS, TEST_ROWS = 228, 1_022_655
SHORTEST = 90  # lines: a clip has at least one window of T = 60
LINKS = 50_000  # to one image; ext4 allows 65,000
SIDE = 8  # pixels of a video's pictures


def files_of(scale: float, seed: int = 0) -> pd.DataFrame:
    """A row for each clip: those of ``structure.annotation_files``, the test set's, both scaled."""
    rng, table = np.random.default_rng(seed), annotation_files()
    drawn = table.iloc[rng.choice(len(table), TEST_VIDEOS)].reset_index(drop=True)
    lengths = drawn[["lines", "video_frames", "video_seconds", "audio_seconds"]]
    lengths = lengths * (TEST_ROWS / drawn["lines"].sum())
    ends = lengths["lines"].cumsum().round()  # whole lines that add up exactly
    test = drawn.assign(**lengths, split="test").assign(lines=ends.diff().fillna(ends))
    test["id"] = test["video"] = [f"test{number}" for number in range(len(test))]
    whole = pd.concat([table, test], ignore_index=True).astype({"lines": float})
    return pd.concat(
        [_scaled(part, scale) for _, part in whole.groupby("split", sort=False)], ignore_index=True
    )


def _scaled(files: pd.DataFrame, scale: float) -> pd.DataFrame:
    """Of one split: every k-th file by frame rate, the richest of each class, the longest."""
    share = scale**0.5
    order = files.sort_values(["fps", "lines"], kind="stable").index
    richest = [files[name].idxmax() for name in (*CLASS_COLUMNS, "lines")]
    count = max(1, round(share * len(files)))
    spread = order[np.linspace(0, len(order) - 1, count).round().astype(int)]
    kept = files.loc[sorted({*spread, *richest})].copy() if scale < 1 else files.copy()
    shorter = np.maximum(share * kept["lines"], SHORTEST) / kept["lines"] if scale < 1 else 1.0
    for name in ("lines", "video_frames", "video_seconds", "audio_seconds", *CLASS_COLUMNS):
        kept[name] = kept[name] * shorter
    return kept


def write_tree(root: Path, scale: float, *, progress: bool = True) -> None:
    """Write the tree into ``root``, a new folder."""
    files = files_of(scale)
    rows = round(files["lines"].sum())
    images = make_faces(root / "images", max(8, rows // LINKS + 1))
    noise = np.random.default_rng(1).normal(0, 3000, 60 * SAMPLE_RATE).astype("<i2")
    bar = tqdm(total=rows, desc="tree", unit="frame", disable=not progress)
    with bar:
        for video, clips in files.groupby("video", sort=False):
            _write_video(root / "batch1" / f"{video}.avi", clips.iloc[0], noise)
            for number, clip in clips.iterrows():
                _write_clip(root, clip, images, np.random.default_rng([2, int(str(number))]))
                bar.update(round(clip["lines"]))
    _write_test_list(root, files[files["split"] == "test"])


def _write_clip(root: Path, clip: Any, images: list[Path], rng: np.random.Generator) -> None:
    lines = round(clip["lines"])
    folder = root / "cropped_aligned" / clip["id"]
    folder.mkdir(parents=True)
    missing = round(MISSING * lines)
    faces = runs({1: lines - missing, 0: missing}, {1: 49 * GAP, 0: GAP}, rng)
    faces[-1] = 1  # images that end early are refused, as unfinished
    for frame in (np.flatnonzero(faces) + 1).tolist():
        os.link(images[frame % len(images)], folder / f"{frame:05d}.jpg")
    if clip["split"] in ANNOTATIONS:
        counts = {c: round(clip[name]) for c, name in enumerate(CLASS_COLUMNS)}
        counts[NOT_ANNOTATED] = max(0, lines - sum(counts.values()))
        labels = runs(counts, dict.fromkeys(counts, RUN), rng)
        parts = [",".join(EXPRESSIONS), *map(str, labels[:lines].tolist())]
        path = root / "EXPR_Recognition_Challenge" / ANNOTATIONS[clip["split"]]
        write_text(path / f"{clip['id']}.txt", "\n".join(parts) + "\n")


def runs(counts: dict[int, int], mean: dict[int, int], rng: np.random.Generator) -> np.ndarray:
    """So many of each value as ``counts`` says, int8, in runs in random order.

    A value's runs are exponential of its ``mean`` length in frames.
    """
    pieces = []
    for value, count in counts.items():
        if count:
            number = max(1, round(count / mean[value]))
            cuts = np.sort(rng.integers(0, count + 1, number - 1))
            pieces += [np.full(part, value, np.int8) for part in np.diff([0, *cuts, count])]
    return np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])


def _write_video(path: Path, clip: Any, noise: np.ndarray) -> None:
    """Grey pictures at the clip's rate, and its sound, both uncompressed."""
    rate = Fraction(float(clip["fps"])).limit_denominator(1001)
    picture = bytes([128]) * (3 * SIDE * SIDE)
    frames, samples = round(clip["video_frames"]), round(clip["audio_seconds"] * SAMPLE_RATE)
    with (
        atomic_path(path) as temporary,
        av.open(f"file:{temporary}", "w", format="avi") as container,
    ):
        video = container.add_stream("rawvideo", rate=rate)
        video.width = video.height = SIDE
        video.pix_fmt = "bgr24"
        sound = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        done = 0
        for frame in range(frames):
            container.mux(_packet(video, picture, frame, 1 / rate))
            # A second of sound before its pictures.
            if frame * SAMPLE_RATE >= done * rate and done < samples:
                block = np.roll(noise, -done)[: min(SAMPLE_RATE, samples - done)]
                container.mux(_packet(sound, block.tobytes(), done, Fraction(1, SAMPLE_RATE)))
                done += len(block)


def _packet(stream: Any, content: bytes, at: int, tick: Fraction) -> Any:
    packet = av.Packet(content)
    packet.stream, packet.time_base = stream, tick
    packet.pts = packet.dts = at
    packet.is_keyframe = True
    return packet


def _write_test_list(root: Path, clips: pd.DataFrame) -> None:
    lengths = dict(zip(clips["id"], clips["lines"].round().astype(int), strict=True))
    folder = root / TEST_LISTS
    write_text(folder / TEST_LIST, "".join(f"{clip}\n" for clip in lengths))
    rows = [f"{clip}/{i:05d}.jpg," for clip, n in lengths.items() for i in range(1, n + 1)]
    header = "image_location," + ",".join(EXPRESSIONS)
    write_text(folder / TEMPLATE, "\n".join([header, *rows]) + "\n")
