"""From a video file to an :class:`Observation`: pictures are watched and sound is listened to, both streamed.

A frame lives until its face is cut out, a crop until its batch is encoded.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.data import media
from emolib.encoders.clip import VisualEncoder
from emolib.errors import EmolibError
from emolib.video.choice import FaceChoice
from emolib.video.crops import crop, whole_crop
from emolib.video.observation import Observation
from emolib.video.spool import Spool
from emolib.video.thumbnails import Albums

BATCH = 64  # crops encoded at once


def watch(
    video: Path,
    choose: FaceChoice,
    encoder: VisualEncoder | None,
    crops: str,
    *,
    progress: bool = True,
    width: int = 512,
) -> Observation:
    """Decode ``video``, choose faces and encode them (only choose, without an ``encoder``).

    ``crops`` as ``Experiment.crops``. Raises EmolibError when the video cannot be decoded.
    """
    visual, waiting = Spool(np.float16, width), _Batches(encoder)
    thumbnails = Albums()
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
            cut = whole_crop(image) if choose.which == "whole" else crop(image, face, crops)
            thumbnails.offer(track, time, cut, choose.tracker.open)
            waiting.add(cut, visual)
        found.append(choose.found)
    waiting.flush(visual)
    observation = Observation(
        video=video,
        times=np.array(times),
        size=size,
        found=np.array(found, np.int32),
        visual=visual,
        frame=np.array([face[0] for face in faces], np.int32),
        track=np.array([face[1] for face in faces], np.int32),
        box=np.array([face[2] for face in faces], np.float32).reshape(-1, 4),
    )
    observation.thumbnails = thumbnails.of(observation.shown)
    return observation


def listen(observation: Observation) -> None:
    """Decode :func:`sound_of` into ``observation``; leaves None when there is none.

    Raises EmolibError when it cannot be decoded.
    """
    blocks = sound_of(observation)
    if blocks is None:
        return
    spool = Spool(np.int16, 1)
    for block in blocks:
        samples = np.rint(np.clip(block, -1, 1) * 32767).astype(np.int16)
        if observation.sound_begin == float("inf") and (loud := media.audible(samples)).any():
            observation.sound_begin = (spool.rows + int(np.argmax(loud))) / media.SAMPLE_RATE
        spool.append(samples[:, None])
    observation.sound = spool if spool.rows else None


def sound_of(observation: Observation) -> Iterator[np.ndarray] | None:
    """The sound as far as the pictures go (and a second more), float32 blocks at 16 kHz; None when there is none.

    Raises EmolibError when it cannot be decoded.
    """
    blocks = media.stream_waveform(observation.video)
    limit = round(
        (float(observation.times[-1]) + max(1.0, observation.frame_seconds)) * media.SAMPLE_RATE
    )
    return None if blocks is None else _up_to(limit, blocks)


def _up_to(count: int, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    for block in blocks:
        yield block[:count]
        count -= len(block)
        if count <= 0:
            return


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


def _expected_frames(video: Path) -> int | None:
    """For the progress bar: the number of frames that the container states, or its length times its rate."""
    try:
        with media.opened(video) as container:
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
    except EmolibError:
        return None  # reading the frames tells what is wrong
