"""Write a video with its sound as MP4, atomically."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from emolib.data.media.sound import SAMPLE_RATE
from emolib.errors import WrongCall
from emolib.system.files import atomic_path


def write_video(
    path: Path,
    frames: Iterable[np.ndarray],
    times: np.ndarray | float,
    waveform: np.ndarray | Iterable[np.ndarray] | None = None,
    *,
    size: tuple[int, int],
) -> None:
    """Write an MP4 (H.264, AAC), atomically; equal input gives equal bytes.

    ``frames``: RGB uint8 ``[H, W, 3]``; ``times``: seconds at which each begins to show, float
    ``[n]``, or one constant rate in frames/s; ``waveform``: float32 ``[n]`` mono 16 kHz from the
    first frame on, or blocks of it; ``size``: (width, height) of the frames; an odd one is padded
    by repeating its edge, which H.264 needs. Raises WrongCall when frames, times and size disagree,
    EmolibError when the disk is full.
    """
    times = float(times) if np.ndim(times) == 0 else np.asarray(times, dtype=np.float64)
    rate = Fraction(times).limit_denominator(1001) if isinstance(times, float) else None
    # A constant rate gets a clock that ticks once a frame, so that 24000/1001 is exact;
    # others the usual 90 kHz.
    tick = 1 / rate if rate else Fraction(1, 90_000)
    with atomic_path(path) as temporary:
        options = {"fflags": "+bitexact", "video_track_timescale": str(tick.denominator)}
        with av.open(
            f"file:{temporary}", "w", format="mp4", container_options=options
        ) as container:
            video = _h264(container, size, rate or Fraction(30), tick)
            sound = _Sound(container, waveform) if waveform is not None else None
            count = 0
            for count, image in enumerate(frames, 1):
                if image.shape != (size[1], size[0], 3):
                    raise WrongCall(
                        f"{path}: frame {count} has shape {image.shape}, expected ({size[1]}, "
                        f"{size[0]}, 3)"
                    )
                if isinstance(times, np.ndarray) and count > len(times):
                    raise WrongCall(f"{path}: more frames than the {len(times)} times")
                if isinstance(times, np.ndarray):
                    begin = float(times[count - 1] - times[0])
                else:
                    begin = (count - 1) * float(tick)
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
    """An encoder without reordered frames, so that times stay plain, and with one thread, so that
    bytes do not depend on the machine.
    """
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
    """The AAC track of :func:`write_video`, written along with the pictures so
    that nothing piles up.

    The encoder delays by one block and says so;
    the muxer writes that into the edit list and every reader undoes it.
    """

    def __init__(self, container: Any, waveform: np.ndarray | Iterable[np.ndarray]) -> None:
        self.container = container
        self.blocks = iter([waveform] if isinstance(waveform, np.ndarray) else waveform)
        self.left = np.zeros(0, np.float32)  # read and not yet encoded
        self.done = 0  # samples encoded
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
            frame.sample_rate, frame.time_base = SAMPLE_RATE, Fraction(1, SAMPLE_RATE)
            frame.pts = self.done
            self.container.mux(self.stream.encode(frame))
        self.left, self.done = self.left[len(samples) :], self.done + len(samples)
