"""Video, sound and JPEG files to arrays and back, on true time.

Every time is in seconds on the video's own clock, 0 where its first frame begins to show; sound is cut or padded to
the same zero. Container timestamps are used as they are, so variable frame rates and late sound tracks keep their
place (docs/data.md, Frame times: a fixed 30 fps drifts by up to 143 s).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import simplejpeg

from emolib.errors import EmolibError, WrongCall
from emolib.system.files import atomic_path

SAMPLE_RATE = 16_000  # Hz; what Wav2Vec2 hears

# Containers whose packets always carry presentation times; elsewhere (AVI, MPEG) only decoded frames tell.
TIMED_CONTAINERS = {"mov", "mp4", "matroska", "webm"}
# Containers that know only when a packet is decoded; FFmpeg's presentation times are guesses there, wrong ones for H.264.
DECODE_TIMED = {"avi"}
GAP = 0.002  # seconds; sound whose timestamps jump by more was lost or doubled, by less is only rounded
SILENCE = (
    2**18
)  # samples in memory at once before sound that starts late; damaged timestamps may say days
INAUDIBLE = 3  # int16 samples up to this are digital silence: -80 dB of full scale
LATEST = 6 * 3600  # seconds of silence in one piece; no real sound starts later


@contextmanager
def _opened(video: Path) -> Iterator[Any]:
    """The container of ``video``; whatever goes wrong inside the block is told as an EmolibError naming the file."""
    try:
        with av.open(
            str(video), metadata_errors="replace"
        ) as container:  # titles in any encoding, or in none
            yield container
    except FileNotFoundError as error:
        raise EmolibError(f"{video}: no such file") from error
    except av.FFmpegError as error:
        raise EmolibError(
            f"{video}: cannot be decoded ({error.strerror}); replace the file or remove it"
        ) from error


def moving_pictures(container: Any) -> Any | None:
    """The video stream that players show, None where there is none; a cover picture is not one."""
    stream = container.streams.best("video")
    return (
        None
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic
        else stream
    )


def sound_track(container: Any) -> Any | None:
    """The sound that players choose (by FFmpeg's rule: the default one, then channels and bit rate), None where there is none."""
    return container.streams.best("audio")


def _video_stream(container: Any, video: Path) -> Any:
    stream = moving_pictures(container)
    if stream is None:
        raise EmolibError(f"{video}: holds no pictures; give a video file")
    stream.thread_type = "AUTO"
    return stream


def _timed_frames(container: Any, video: Path) -> Iterator[tuple[float, Any]]:
    """(seconds on the container's clock, decoded frame), in order of time."""
    stream = _video_stream(container, video)
    step = 1 / float(stream.average_rate or 25)
    previous = None
    slots: deque[float] = (
        deque()
    )  # of a container that knows decode times only; they grow, so the next frame shown takes the next one
    in_slots = bool(DECODE_TIMED & set(container.format.name.split(",")))
    for packet in container.demux(stream):
        if in_slots and packet.size and packet.dts is not None:
            slots.append(float(packet.dts * stream.time_base))
        for frame in packet.decode():
            time = slots.popleft() if slots else frame.time
            if time is None or (previous is not None and time <= previous):
                time = 0.0 if previous is None else previous + step
            previous = time
            yield time, frame


def frame_times(video: Path) -> np.ndarray:
    """When each frame begins to show: float64 ``[n]``, seconds from the first frame, strictly increasing.

    MP4 and Matroska are only demuxed, other containers decoded. Raises EmolibError when there is no picture.
    """
    with _opened(video) as container:
        times = (
            _demuxed_times(container, video)
            if TIMED_CONTAINERS & set(container.format.name.split(","))
            else None
        )
    if times is None:
        with _opened(video) as container:
            times = np.array([time for time, _ in _timed_frames(container, video)])
    if not len(times):
        raise EmolibError(f"{video}: holds no frame; replace the file or remove it")
    return times - times[0]


def _demuxed_times(container: Any, video: Path) -> np.ndarray | None:
    """Presentation times of the packets, or None where they cannot be trusted."""
    stream = _video_stream(container, video)
    packets = [
        packet for packet in container.demux(stream) if packet.size and not packet.is_discard
    ]
    if not packets or any(packet.pts is None or packet.is_corrupt for packet in packets):
        return None
    ticks = np.sort(np.array([packet.pts for packet in packets], dtype=np.int64))
    if (np.diff(ticks) <= 0).any():
        return None
    return ticks * (stream.time_base.numerator / stream.time_base.denominator)


def read_frames(video: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """(1-based frame number, seconds, RGB uint8 ``[H, W, 3]`` upright) of each frame, one in memory at a time.

    Raises EmolibError when nothing can be decoded.
    """
    number, first = 0, 0.0
    with _opened(video) as container:
        for number, (time, frame) in enumerate(_timed_frames(container, video), 1):
            first = time if number == 1 else first
            image = frame.to_ndarray(format="rgb24")
            turns = round(frame.rotation / 90) % 4  # the display matrix, degrees counter-clockwise
            yield (
                number,
                time - first,
                np.ascontiguousarray(np.rot90(image, turns)) if turns else image,
            )
    if number == 0:
        raise EmolibError(f"{video}: holds no frame; replace the file or remove it")


def read_waveform(video: Path) -> np.ndarray | None:
    """The sound: float32 ``[n]``, mono, 16 kHz, sample 0 at the time of the first frame. None when there is no sound.

    Channels are averaged. Sound that starts late is preceded by silence, sound that starts early is cut.
    Raises EmolibError when the file cannot be decoded.
    """
    blocks = stream_waveform(video)
    return None if blocks is None else np.concatenate([np.zeros(0, np.float32), *blocks])


def stream_waveform(video: Path) -> Iterator[np.ndarray] | None:
    """:func:`read_waveform` block by block, so that memory does not grow with the length of the sound."""
    with _opened(video) as container:
        if sound_track(container) is None:
            return None
        zero = _first_picture(container, video)
    return _resampled(video, zero)


def _first_picture(container: Any, video: Path) -> float:
    """Time of the first frame on the container's clock; 0 for a file of sound alone."""
    if moving_pictures(container) is None:
        return 0.0
    for time, _ in _timed_frames(container, video):
        return time
    raise EmolibError(f"{video}: holds no frame; replace the file or remove it")


def _resampled(video: Path, zero: float) -> Iterator[np.ndarray]:
    """Mono blocks at 16 kHz from second ``zero`` of the container's clock on."""
    with _opened(video) as container:
        stream = sound_track(container)
        resampler, position, rate = None, 0, 0  # position: samples at ``rate`` given so far
        for frame in container.decode(stream):
            if (
                resampler is None or frame.sample_rate != rate
            ):  # recordings joined end to end may change it
                if resampler is not None:
                    yield from _through(resampler, None, position, rate)
                    position = round(position * frame.sample_rate / rate)
                rate = frame.sample_rate
                resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            samples = _mono(frame)
            if frame.time is not None:
                begin = round((frame.time - zero) * rate)
                if (
                    position and position - begin > rate
                ):  # the clock begins anew: go on, as the pictures do
                    zero, begin = zero - (position - begin) / rate, position
                if (
                    position == 0 or abs(begin - position) > GAP * rate
                ):  # the first block, or timestamps that jump
                    for silence in _silence(min(begin - position, LATEST * rate)):
                        yield from _through(resampler, silence, position, rate)
                        position += len(silence)
                    if begin > position + rate:
                        raise EmolibError(
                            f"{video}: timestamps of the sound jump by more than {LATEST // 3600} hours; remux or replace the file"
                        )
                    samples = samples[position - begin :]
            if len(samples):
                yield from _through(resampler, samples, position, rate)
                position += len(samples)
        if resampler is not None and position:
            yield from _through(resampler, None, position, rate)


def audible(samples: np.ndarray) -> np.ndarray:
    """Which int16 samples are more than digital silence, bool of the same shape."""
    return np.abs(samples) > INAUDIBLE


def _silence(count: int) -> Iterator[np.ndarray]:
    """``count`` samples in blocks; none where it is negative."""
    for first in range(0, count, SILENCE):
        yield np.zeros(min(SILENCE, count - first), np.float32)


def _through(
    resampler: Any, samples: np.ndarray | None, position: int, rate: int
) -> Iterator[np.ndarray]:
    frame = None
    if samples is not None:
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[None]), format="flt", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
    for resampled in resampler.resample(frame):
        yield resampled.to_ndarray()[0]


def _mono(frame: Any) -> np.ndarray:
    """Float32 ``[n]`` in [-1, 1]: the mean of the channels of a decoded audio frame of any sample format."""
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.mean(axis=0, dtype=np.float32)


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    times: np.ndarray | float,
    waveform: np.ndarray | Iterable[np.ndarray] | None = None,
    *,
    size: tuple[int, int],
) -> None:
    """Write an MP4 (H.264, AAC), atomically; equal input gives equal bytes.

    ``frames``: RGB uint8 ``[H, W, 3]``; ``times``: seconds at which each begins to show, float ``[n]``, or one
    constant rate in frames/s; ``waveform``: float32 ``[n]`` mono 16 kHz from the first frame on, or blocks of it; ``size``: (width,
    height) of the frames; an odd one is padded by repeating its edge, which H.264 needs. Raises WrongCall when frames,
    times and size disagree, EmolibError when the disk is full.
    """
    times = float(times) if np.ndim(times) == 0 else np.asarray(times, dtype=np.float64)
    rate = Fraction(times).limit_denominator(1001) if isinstance(times, float) else None
    # A constant rate gets a clock that ticks once a frame, so that 24000/1001 is exact; others the usual 90 kHz.
    tick = 1 / rate if rate else Fraction(1, 90_000)
    with atomic_path(path) as temporary:
        options = {"fflags": "+bitexact", "video_track_timescale": str(tick.denominator)}
        with av.open(str(temporary), "w", format="mp4", container_options=options) as container:
            video = _h264(container, size, rate or Fraction(30), tick)
            sound = _Sound(container, waveform) if waveform is not None else None
            count = 0
            for count, image in enumerate(frames, 1):
                if image.shape != (size[1], size[0], 3):
                    raise WrongCall(
                        f"{path}: frame {count} has shape {image.shape}, expected ({size[1]}, {size[0]}, 3)"
                    )
                if isinstance(times, np.ndarray) and count > len(times):
                    raise WrongCall(f"{path}: more frames than the {len(times)} times")
                begin = (count - 1) * float(tick) if rate else float(times[count - 1] - times[0])  # type: ignore[index]
                container.mux(
                    video.encode(_picture(image, count - 1 if rate else round(begin / tick), tick))
                )
                if sound:
                    sound.until(begin)
            if isinstance(times, np.ndarray) and count != len(times):
                raise WrongCall(f"{path}: {count} frames but {len(times)} times")
            container.mux(video.encode(None))
            if sound:
                sound.until(None)


def _h264(container: Any, size: tuple[int, int], rate: Fraction, tick: Fraction) -> Any:
    """An encoder without reordered frames (times stay plain) and with one thread (bytes do not depend on the machine)."""
    stream = container.add_stream(
        "libx264", rate=rate, options={"preset": "ultrafast", "crf": "20", "bf": "0"}
    )
    stream.width, stream.height = (side + side % 2 for side in size)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.thread_count = 1
    stream.codec_context.time_base = stream.time_base = tick
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    return stream


def _picture(image: np.ndarray, pts: int, tick: Fraction) -> Any:
    height, width = image.shape[:2]
    if height % 2 or width % 2:
        image = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    frame.pts, frame.time_base = pts, tick
    return frame


class _Sound:
    """The AAC track of :func:`write_video`, written along with the pictures so that nothing piles up.

    The encoder delays by one block and says so; the muxer writes that into the edit list and every reader undoes it.
    """

    def __init__(self, container: Any, waveform: np.ndarray | Iterable[np.ndarray]) -> None:
        self.container, self.blocks = (
            container,
            iter([waveform] if isinstance(waveform, np.ndarray) else waveform),
        )
        self.left, self.done = (
            np.zeros(0, np.float32),
            0,
        )  # read and not yet encoded; samples encoded
        self.stream = container.add_stream(
            "aac", rate=SAMPLE_RATE, layout="mono", options={"b": "64k"}
        )
        self.stream.codec_context.flags |= av.codec.context.Flags.bitexact

    def until(self, seconds: float | None) -> None:
        """Encode up to ``seconds``; None: to the end."""
        end = None if seconds is None else round(seconds * SAMPLE_RATE)
        while end is None or self.done < end:
            if not len(self.left):
                block = next(self.blocks, None)
                if block is None:
                    break
                self.left = block
            self._encode(self.left[: None if end is None else end - self.done])
        if seconds is None:
            self.container.mux(self.stream.encode(None))

    def _encode(self, samples: np.ndarray) -> None:
        """The first samples of what is left."""
        if len(samples):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[None], dtype=np.float32), format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = (
                SAMPLE_RATE,
                self.done,
                Fraction(1, SAMPLE_RATE),
            )
            self.container.mux(self.stream.encode(frame))
        self.left, self.done = self.left[len(samples) :], self.done + len(samples)


def decode_jpeg(content: bytes, name: str = "image") -> np.ndarray:
    """RGB uint8 ``[H, W, 3]``, as Pillow decodes it. Raises EmolibError saying ``name`` when it is damaged or no JPEG."""
    try:
        return simplejpeg.decode_jpeg(content, strict=True)
    except ValueError as error:
        raise EmolibError(
            f"{name}: not a whole JPEG image ({error}); restore the file or delete it (a missing face)"
        ) from error


def read_jpeg(path: Path) -> np.ndarray:
    """:func:`decode_jpeg` of a file; raises EmolibError when it is missing or damaged."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise EmolibError(f"{path}: cannot be read ({error.strerror})") from error
    return decode_jpeg(content, str(path))
