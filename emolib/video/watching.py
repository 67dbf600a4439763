"""From a video file to an :class:`Observation`: pictures are watched and sound is listened to,
both streamed.

A frame lives until its face is cut out, a crop until its batch is encoded.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.data import media
from emolib.data.media import StreamReport
from emolib.encoders.clip import VisualEncoder
from emolib.errors import EmolibError
from emolib.video import reading
from emolib.video.choice import FaceChoice
from emolib.video.detection import Face
from emolib.video.observation import Observation
from emolib.video.sampling import RATE
from emolib.video.spool import PieceSpool, Spool
from emolib.video.thumbnails import Albums

BATCH = 64  # crops encoded at once


def watch(
    video: Path,
    choose: FaceChoice,
    encoder: VisualEncoder | None,
    *,
    fps: float = RATE,
    rotate: int = 0,
    progress: bool = True,
) -> Observation:
    """Decode ``video``, choose faces and encode them (only choose, without an ``encoder``).

    ``fps``: pictures a second that are looked at, at most; ``rotate``: degrees clockwise.
    Raises EmolibError when nothing can be decoded.
    """
    visual = Spool(np.float16, 1 if encoder is None else encoder.width)
    waiting, thumbnails, report = _Batches(encoder), Albums(), StreamReport()
    times: list[float] = []
    looked_at: list[int] = []
    found: list[int] = []
    faces: list[tuple[int, int, Face]] = []
    size = (0, 0)
    bar = tqdm(desc=video.name, unit="frame", disable=not progress)
    for number, time, image in reading.sampled_frames(video, fps, report, rotate):
        bar.total = report.expected_frames
        bar.update()
        times.append(time)
        if image is None:
            continue
        size = image.shape[1], image.shape[0]
        looked_at.append(number)
        for track, face, cut in choose(time, image):
            faces.append((number, track, face))
            thumbnails.offer(track, time, cut, choose.tracker.open)
            waiting.add(cut, visual)
        found.append(choose.found)
    bar.close()
    waiting.flush(visual)
    observation = Observation(
        video=video,
        times=np.array(times),
        size=size,
        looked_at=np.array(looked_at, np.int32),
        found=np.array(found, np.int32),
        visual=visual,
        frame=np.array([face[0] for face in faces], np.int32),
        track=np.array([face[1] for face in faces], np.int32),
        box=np.array([face[2].box for face in faces], np.float32).reshape(-1, 4),
        score=np.array([face[2].score for face in faces], np.float32),
        rotate=rotate,
        upright_at=choose.upright_at(),
        pictures_report=report,
    )
    observation.thumbnails = thumbnails.of(observation.shown)
    return observation


def listen(observation: Observation) -> None:
    """Decode the sound into ``observation``, as far as the pictures go and a second more.

    Sound that cannot be decoded is none: what went wrong is in its report.
    Raises EmolibError when the disk is full.
    """
    spool = PieceSpool(np.int16, 1)
    for place, block in _sound(observation):
        samples = np.rint(np.clip(block, -1, 1) * 32767).astype(np.int16)
        loud = media.audible(samples)
        if observation.sound_begin == float("inf") and loud.any():
            observation.sound_begin = (place + int(np.argmax(loud))) / media.SAMPLE_RATE
        spool.append(place, samples[:, None])
    observation.sound = spool if spool.rows else None


def _sound(observation: Observation) -> Iterator[tuple[int, np.ndarray]]:
    """The pieces of the sound that begin before the pictures end."""
    end = float(observation.times[-1]) + max(1.0, observation.frame_seconds)
    limit = round(end * media.SAMPLE_RATE)
    pieces = reading.read_sound(observation.video, observation.sound_report)
    try:
        for place, block in pieces:
            if place >= limit:
                return
            yield place, block[: limit - place]
    except EmolibError:
        return  # nothing could be decoded; the report says why


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
