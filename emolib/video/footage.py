"""One video of a user's as features: faces and sound, streamed, so that memory does not grow with its length.

A frame lives until its face is cut out, a crop until its batch is encoded. Features (1 KB a face) and sound (32 KB a
second) go to unnamed temporary files and are read back window by window.
"""

import tempfile
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.data import media
from emolib.encoders.clip import VisualEncoder
from emolib.errors import EmolibError
from emolib.video.detection import CROP, Face, FaceFinder, Tracker, crop

WHICH_FACES = {
    "tracked": "one person: the largest face until it is lost for a second, then the largest again",
    "largest": "the largest face of each frame, whoever it is",
    "all": "everybody: one row for each face in each frame",
    "whole": "the video is a face crop already: every frame is the face, nothing is detected",
}
BATCH = 64  # crops encoded at once
THUMBNAILS = 8  # at least so many crops are kept for the timeline, and at most twice as many


class Spool:
    """Rows of one type and width on disk, appended at the end and read from anywhere."""

    def __init__(self, dtype: type, width: int) -> None:
        self.file = tempfile.TemporaryFile(prefix="emolib-")  # noqa: SIM115 - lives as long as the spool
        self.dtype, self.width = np.dtype(dtype), width
        self.rows = 0

    def append(self, rows: np.ndarray) -> None:
        """``[n, width]``. Raises EmolibError when the disk is full."""
        rows = np.ascontiguousarray(rows, self.dtype).reshape(-1, self.width)
        try:
            self.file.seek(0, 2)
            self.file.write(rows.tobytes())
            self.file.flush()
        except OSError as error:
            raise EmolibError(
                f"{tempfile.gettempdir()}: cannot be written: {error.strerror}; free space or set TMPDIR"
            ) from error
        self.rows += len(rows)

    def read(self, first: int, last: int) -> np.ndarray:
        """Rows ``first`` to ``last`` (not included) as far as they exist, ``[n, width]``, writable."""
        first, last = max(0, min(first, self.rows)), max(0, min(last, self.rows))
        self.file.seek(first * self.width * self.dtype.itemsize)
        content = self.file.read(max(0, last - first) * self.width * self.dtype.itemsize)
        return np.frombuffer(bytearray(content), self.dtype).reshape(-1, self.width)

    def mapped(self) -> np.ndarray:
        """All rows as a memory map."""
        return np.memmap(self.file, self.dtype, "r").reshape(-1, self.width)


@dataclass(eq=False)
class Footage:
    """What was seen and heard in one video. Frames count from 1; R faces were chosen, in order of frames."""

    video: Path
    times: np.ndarray  # float64 [n]; seconds at which each frame begins to show
    size: tuple[int, int]  # width, height of the first frame, pixels
    found: np.ndarray  # int32 [n]; faces found in each frame, chosen or not
    frame: np.ndarray  # int32 [R]; the frame each face is in
    track: np.ndarray  # int32 [R]; the person's number, from 1
    box: np.ndarray  # float32 [R, 4]; x, y, width, height in pixels
    visual: Spool  # float16 [R, 512]; none when the run does not see
    sound: Spool | None = (
        None  # int16 [samples, 1] at 16 kHz, sample 0 at the first frame; None: no audio stream
    )
    steps: Spool | None = (
        None  # float16 [steps, 768] of the whole track, for runs with audio_context=track
    )
    sound_begin: float = float(
        "inf"
    )  # seconds; where the first sample that is not digital silence is
    thumbnails: list[tuple[float, np.ndarray]] = field(
        default_factory=list
    )  # (seconds, crop) of whom ``shown`` names

    @property
    def fps(self) -> float:
        """Mean rate, frames/s; 30 for a single frame, whose length nothing tells."""
        return (len(self.times) - 1) / float(self.times[-1]) if len(self.times) > 1 else 30.0

    @property
    def constant_rate(self) -> bool:
        """Whether all frames show for the same time, but for what containers round."""
        steps = np.diff(self.times)
        return not len(steps) or bool(np.ptp(steps) < 0.002)

    @property
    def frame_seconds(self) -> float:
        """How long the last frame shows, which no container tells: the median of the others, which a pause leaves as it is."""
        return float(np.median(np.diff(self.times))) if len(self.times) > 1 else 1 / self.fps

    @property
    def end(self) -> float:
        """Seconds; where the last frame has shown."""
        return float(self.times[-1]) + self.frame_seconds

    @property
    def sound_seconds(self) -> float:
        return self.sound.rows / media.SAMPLE_RATE if self.sound else 0.0

    @property
    def heard(self) -> bool:
        """Whether anything but digital silence sounds before the pictures end."""
        return self.sound_begin < self.end

    @property
    def shown(self) -> int | None:
        """The track that a picture of one person shows: the one in most frames where some frame has several; None: all of them."""
        return (
            int(np.bincount(self.track).argmax())
            if len(np.unique(self.frame)) < len(self.frame)
            else None
        )

    @property
    def title(self) -> str:
        """The film's name, with the track where only one of several is shown."""
        return self.video.name + (f", track {self.shown}" if self.shown else "")


class FaceChoice:
    """Which of a frame's faces are analysed, by one of ``WHICH_FACES``; gives (track, face) pairs, largest face first.

    ``found``: how many faces the last frame has, chosen or not.
    """

    def __init__(self, which: str, finder: FaceFinder | None) -> None:
        self.which, self.finder, self.tracker = which, finder, Tracker()
        self.followed, self.found = 0, 0

    def __call__(self, time: float, image: np.ndarray) -> list[tuple[int, Face]]:
        if self.which == "whole":
            self.found = 1
            height, width = image.shape[:2]
            return [
                (
                    1,
                    Face(
                        box=(0.0, 0.0, float(width), float(height)),
                        points=np.zeros((5, 2)),
                        score=1.0,
                    ),
                )
            ]
        if self.finder is None:
            return []
        faces = self.finder.faces(image)
        self.found = len(faces)
        tracked = list(zip(self.tracker.update(time, faces), faces, strict=True))
        if self.which == "all":
            return tracked
        if self.which == "largest":
            return tracked[:1]
        if tracked and self.followed not in self.tracker.open:
            self.followed = tracked[0][0]
        return [pair for pair in tracked if pair[0] == self.followed]


def watch(
    video: Path,
    choose: FaceChoice,
    encoder: VisualEncoder | None,
    crops: str,
    *,
    progress: bool = True,
    width: int = 512,
) -> Footage:
    """Decode ``video``, choose faces and encode them (only choose, without an ``encoder``).

    ``crops`` as ``Experiment.crops``. Raises EmolibError when the video cannot be decoded.
    """
    visual, waiting = Spool(np.float16, width), _Batches(encoder)
    thumbnails = _Albums()
    times: list[float] = []
    found: list[int] = []
    faces: list[tuple[int, int, tuple[float, float, float, float]]] = []
    size = (0, 0)
    frames = tqdm(
        media.read_frames(video),
        total=_expected_frames(video),
        desc=video.name,
        unit="frame",
        disable=not progress,
    )
    for number, time, image in frames:
        size = size if times else (image.shape[1], image.shape[0])
        times.append(time)
        for track, face in choose(time, image):
            faces.append((number, track, face.box))
            cut = _whole(image) if choose.which == "whole" else crop(image, face, crops)
            thumbnails.offer(track, time, cut, choose.tracker.open)
            waiting.add(cut, visual)
        found.append(choose.found)
    waiting.flush(visual)
    footage = Footage(
        video=video,
        times=np.array(times),
        size=size,
        found=np.array(found, np.int32),
        visual=visual,
        frame=np.array([face[0] for face in faces], np.int32),
        track=np.array([face[1] for face in faces], np.int32),
        box=np.array([face[2] for face in faces], np.float32).reshape(-1, 4),
    )
    footage.thumbnails = thumbnails.of(footage.shown)
    return footage


def listen(footage: Footage) -> None:
    """Decode :func:`sound_of` into ``footage``; leaves None when there is none.

    Raises EmolibError when it cannot be decoded.
    """
    blocks = sound_of(footage)
    if blocks is None:
        return
    spool = Spool(np.int16, 1)
    for block in blocks:
        samples = np.rint(np.clip(block, -1, 1) * 32767).astype(np.int16)
        if footage.sound_begin == float("inf") and (loud := media.audible(samples)).any():
            footage.sound_begin = (spool.rows + int(np.argmax(loud))) / media.SAMPLE_RATE
        spool.append(samples[:, None])
    footage.sound = spool if spool.rows else None


def sound_of(footage: Footage) -> Iterator[np.ndarray] | None:
    """The sound as far as the pictures go (and a second more), float32 blocks at 16 kHz; None when there is none.

    Raises EmolibError when it cannot be decoded.
    """
    blocks = media.stream_waveform(footage.video)
    limit = round((float(footage.times[-1]) + max(1.0, footage.frame_seconds)) * media.SAMPLE_RATE)
    return None if blocks is None else _up_to(limit, blocks)


def _up_to(count: int, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block[:count]
        count -= len(block)
        if count <= 0:
            return


def envelope(footage: Footage, buckets: int) -> np.ndarray:
    """Largest absolute sample in each of ``buckets`` equal parts of the pictures' time, float32; empty without sound."""
    if footage.sound is None:
        return np.zeros(0, np.float32)
    edges = np.linspace(0, footage.end * media.SAMPLE_RATE, buckets + 1).astype(int)
    return np.array(
        [np.abs(footage.sound.read(a, b) / 32767).max(initial=0.0) for a, b in pairwise(edges)],
        np.float32,
    )


class _Batches:
    """Collects crops and appends their features to a spool, a batch at a time."""

    def __init__(self, encoder: VisualEncoder | None) -> None:
        self.encoder = encoder
        self.crops: list[np.ndarray] = []

    def add(self, cut: np.ndarray, spool: Spool) -> None:
        if self.encoder is not None:
            self.crops.append(cut)
            if len(self.crops) == BATCH:
                self.flush(spool)

    def flush(self, spool: Spool) -> None:
        if self.encoder is not None and self.crops:
            spool.append(self.encoder.images(torch.from_numpy(np.stack(self.crops))).cpu().numpy())
            self.crops = []


class _Thumbnails:
    """Evenly spaced crops of a stream whose length is not known: every k-th, k doubling as it goes on."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, np.ndarray]] = []
        self.step, self.seen = 1, 0

    def offer(self, time: float, cut: np.ndarray) -> None:
        if self.seen % self.step == 0:
            self.kept.append((time, cut))
            if len(self.kept) > 2 * THUMBNAILS:
                self.kept, self.step = self.kept[::2], 2 * self.step
        self.seen += 1


class _Albums:
    """Thumbnails of everybody and of each track, a track's only as long as it may turn out to be the one seen longest."""

    def __init__(self) -> None:
        self.everybody = _Thumbnails()
        self.tracks: dict[int, _Thumbnails] = {}

    def offer(self, track: int, time: float, cut: np.ndarray, still_open: Container[int]) -> None:
        """``still_open``: the tracks that may be seen again; of the others only the longest is kept, or a crowd would fill the memory."""
        if track not in self.tracks:
            longest = max(self.tracks, key=lambda known: self.tracks[known].seen, default=track)
            self.tracks = {
                known: kept
                for known, kept in self.tracks.items()
                if known == longest or known in still_open
            }
            self.tracks[track] = _Thumbnails()
        for album in (self.everybody, self.tracks[track]):
            album.offer(time, cut)

    def of(self, track: int | None) -> list[tuple[float, np.ndarray]]:
        """Those of ``track``; of everybody for None."""
        return (self.everybody if track is None else self.tracks[track]).kept


def _whole(image: np.ndarray) -> np.ndarray:
    return (
        image
        if image.shape == (CROP, CROP, 3)
        else cv2.resize(image, (CROP, CROP), interpolation=cv2.INTER_AREA)
    )


def _expected_frames(video: Path) -> int | None:
    """For the progress bar: the number of frames that the container states, or its length times its rate."""
    try:
        with av.open(str(video), metadata_errors="replace") as container:
            stream = media.moving_pictures(container)
            if stream is None:
                return None  # as below
            if stream.frames:
                return stream.frames
            return (
                round(container.duration / av.time_base * float(stream.average_rate))
                if container.duration and stream.average_rate
                else None
            )
    except av.FFmpegError:
        return None  # reading the frames tells what is wrong
