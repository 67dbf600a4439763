"""The pictures of a video: when each begins to show, and what it shows,
upright with square pixels.
"""

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from emolib.data.media.container import (
    StreamReport,
    decoded,
    expected_frames,
    formats,
    moving_pictures,
    opened,
)
from emolib.errors import EmolibError

# Containers whose packets always carry presentation times;
# elsewhere (AVI, MPEG) only decoded frames tell.
TIMED_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
# Containers that know only when a packet is decoded;
# FFmpeg's presentation times are guesses there, wrong ones for H.264.
DECODE_TIMED = {"avi"}
# Seconds that a timestamp lies back; less is a repeated or a disordered one.
CLOCK_BEGINS_ANEW = 1.0
TIE = 0.001  # seconds between frames whose timestamps are equal


class Clock:
    """Timestamps as they are where they increase,
    and strictly increasing times where they do not.
    """

    def __init__(self, step: float) -> None:
        self.step = step  # seconds a frame, where timestamps say nothing
        self.previous: float | None = None
        self.shift = 0.0  # of a clock that began anew

    def __call__(self, timestamp: float | None) -> float:
        """The time of the next frame, seconds."""
        self.previous = self._next(timestamp)
        return self.previous

    def _next(self, timestamp: float | None) -> float:
        if self.previous is None:
            return timestamp or 0.0
        if timestamp is None:
            return self.previous + self.step
        time = timestamp + self.shift
        if time > self.previous:
            return time
        if time > self.previous - CLOCK_BEGINS_ANEW:
            return self.previous + min(TIE, self.step)
        self.shift += self.previous + self.step - time
        return self.previous + self.step


def video_stream(container: Any, video: Path) -> Any:
    """The pictures of ``container``, decoded by several threads where one frame allows it.

    (With a thread a frame, FFmpeg loses up to three whole frames beside a damaged packet.)
    Raises EmolibError when there are none.
    """
    stream = moving_pictures(container)
    if stream is None:
        raise EmolibError(f"{video}: holds no pictures; give a video file")
    stream.thread_type = "SLICE"
    return stream


def timed_frames(
    container: Any, video: Path, report: StreamReport | None = None
) -> Iterator[tuple[float, Any]]:
    """(seconds on the container's clock, decoded frame), in order of time."""
    stream = video_stream(container, video)
    clock = Clock(1 / float(stream.average_rate or 25))
    # Of a container that knows decode times only;
    # they grow, so the next frame shown takes the next one.
    slots: deque[float] = deque()
    in_slots = bool(DECODE_TIMED & formats(container))
    for packet, frames in decoded(container, stream, report):
        if in_slots and packet is not None and packet.dts is not None:
            slots.append(float(packet.dts * stream.time_base))
        for frame in frames:
            yield clock(slots.popleft() if slots else frame.time), frame


def frame_times(video: Path) -> np.ndarray:
    """When each frame begins to show: float64 ``[n]``, seconds from the first frame,
    strictly increasing.

    MP4 and Matroska are only demuxed, other containers decoded.
    Raises EmolibError when there is no picture.
    """
    times = None
    with opened(video) as container:
        if TIMED_CONTAINERS & formats(container):
            times = _demuxed_times(container, video)
    if times is None:
        with opened(video) as container:
            times = np.array([time for time, _ in timed_frames(container, video)])
    if not len(times):
        raise EmolibError(f"{video}: holds no frame; replace the file or remove it")
    return times - times[0]


def _demuxed_times(container: Any, video: Path) -> np.ndarray | None:
    """Presentation times of the packets, or None where they cannot be trusted."""
    stream = video_stream(container, video)
    packets = [
        packet for packet in container.demux(stream) if packet.size and not packet.is_discard
    ]
    if not packets or any(packet.pts is None or packet.is_corrupt for packet in packets):
        return None
    ticks = np.sort(np.array([packet.pts for packet in packets], dtype=np.int64))
    if (np.diff(ticks) <= 0).any():
        return None
    return ticks * (stream.time_base.numerator / stream.time_base.denominator)


def read_frames(
    video: Path, report: StreamReport | None = None
) -> Iterator[tuple[int, float, np.ndarray]]:
    """(1-based frame number, seconds, RGB uint8 ``[H, W, 3]`` upright) of each frame,
    one in memory at a time.

    What cannot be decoded is counted in ``report`` and left out; without it, it raises EmolibError,
    as does a video of which nothing can be decoded.
    """
    for number, time, picture in lazy_frames(video, report):
        yield number, time, np.ascontiguousarray(picture())


def lazy_frames(
    video: Path, report: StreamReport | None = None
) -> Iterator[tuple[int, float, Callable[[], np.ndarray]]]:
    """:func:`read_frames` with, in place of each image, a function that gives it when called before
    the next frame is asked for: converting an image that nobody looks at takes time.
    """
    number, first, converter = 0, 0.0, VideoReformatter()
    with opened(video) as container:
        stream = video_stream(container, video)
        if report is not None:
            report.expected_frames = expected_frames(container, stream)
        for number, (time, frame) in enumerate(timed_frames(container, video, report), 1):
            if number == 1:
                first = time
                if report is not None:
                    report.start = time
            yield (
                number,
                time - first,
                partial(upright, frame, converter, stream.sample_aspect_ratio),
            )
    if number == 0:
        raise EmolibError(f"{video}: holds no frame; replace the file or remove it")


def upright(frame: Any, converter: VideoReformatter, ratio: Fraction | None = None) -> np.ndarray:
    """A decoded frame as players show it: RGB uint8 ``[H, W, 3]`` in any order in memory,
    turned and mirrored as its display matrix says.

    ``ratio``: width of a pixel in heights; the image returned has square ones.
    """
    image = square_pixels(rgb(frame, converter), ratio)
    steps = _display_steps(frame)
    return image if steps is None else oriented(image, *steps)


def rgb(frame: Any, converter: VideoReformatter) -> np.ndarray:
    """The pixels of a decoded frame, uint8 ``[H, W, 3]``, where FFmpeg has put them.

    PyAV's ``to_ndarray`` copies them, and starts threads anew for each frame.
    """
    plane: Any = converter.reformat(frame, format="rgb24", threads=1).planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : 3 * frame.width].reshape(frame.height, frame.width, 3)


def square_pixels(image: np.ndarray, ratio: Fraction | None) -> np.ndarray:
    """``image`` made wider or higher, never smaller, by the width of its pixels in heights."""
    if not ratio or ratio == 1:
        return image
    height, width = image.shape[:2]
    wider, higher = max(float(ratio), 1.0), max(1 / float(ratio), 1.0)
    size = (round(width * wider), round(height * higher))
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def _display_steps(frame: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Where the frame's display matrix sends one step to the right and one step down,
    ``[2]`` each as (x, y).
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].astype(float)
    return np.array([a, b]), np.array([c, d])


def oriented(image: np.ndarray, right: np.ndarray, down: np.ndarray) -> np.ndarray:
    """``image`` turned by the nearest quarter and mirrored, as the two steps ask."""
    if np.abs(right[0]) < np.abs(right[1]):  # a step to the right becomes one up or down
        image = image.transpose(1, 0, 2)
        right, down = down, right
    if right[0] < 0:
        image = image[:, ::-1]
    if down[1] < 0:
        image = image[::-1]
    return image
