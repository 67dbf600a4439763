"""What cameras and networks do to videos: odd sound layouts, timestamps, packets and pictures."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.videos import picture, tone

RATE = 25


def write(
    path: Path,
    n: int = 60,
    *,
    codec: str = "mpeg4",
    times: list[float] | None = None,
    sound: str = "",
    layout: str = "mono",
    size: tuple[int, int] = (160, 120),
    pix_fmt: str = "yuv420p",
    aspect: Fraction | None = None,
    keyframes: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    """``n`` pictures with one square each at ``times`` (seconds;
    25 a second), with ``sound`` by that codec in ``layout``.
    """
    with av.open(f"file:{path}", "w", container_options=options or {}) as container:
        video = container.add_stream(codec, rate=RATE)
        video.width, video.height, video.pix_fmt = *size, pix_fmt
        video.codec_context.gop_size = keyframes
        video.codec_context.thread_count = 1
        if aspect:
            video.codec_context.sample_aspect_ratio = aspect
        audio = container.add_stream(sound, rate=48_000, layout=layout) if sound else None
        tick = Fraction(1, RATE if times is None else 1000)
        video.codec_context.time_base = tick
        for number in range(n):
            image = picture(number, [(40, 30, 50)], size)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pix_fmt)
            at = number / RATE if times is None else times[number]
            frame.pts, frame.time_base = round(at / tick), tick
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            encode_sound(container, audio, n / RATE, layout)
    return path


def encode_sound(container: Any, stream: Any, seconds: float, layout: str) -> None:
    """The same tone in every channel."""
    mono = np.repeat(tone(seconds), 3)  # 48 kHz
    channels = stream.codec_context.layout.nb_channels
    packed = np.ascontiguousarray(np.tile(mono, (channels, 1)).T.reshape(1, -1))
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
    resampler = av.AudioResampler(
        format=stream.codec_context.format.name, layout=layout, rate=48_000
    )
    for part in (*resampler.resample(frame), *resampler.resample(None)):
        container.mux(stream.encode(part))
    container.mux(stream.encode(None))


def rewrite(source: Path, target: Path, change: Callable[[Any, int], bytes | bool | None]) -> Path:
    """``source`` packet by packet.

    ``change(packet, number in its stream)`` may move its times;
    False leaves it out, and bytes stand in its place.
    """
    with av.open(str(source)) as old, av.open(f"file:{target}", "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        numbers = dict.fromkeys(streams, 0)
        for packet in old.demux():
            if packet.dts is None:
                continue
            index = packet.stream.index
            answer = change(packet, numbers[index])
            numbers[index] += 1
            if answer is False:
                continue
            written = packet
            if isinstance(answer, bytes):
                written = av.Packet(answer)
                written.pts, written.dts, written.time_base = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                )
                written.is_keyframe = packet.is_keyframe
            written.stream = streams[index]
            new.mux(written)
    return target


def noise(packet: Any, seed: int = 0) -> bytes:
    """Random bytes as long as the packet."""
    return np.random.default_rng(seed).bytes(packet.size)


def later(packet: Any, seconds: float) -> None:
    """Move a packet's times."""
    ticks = round(seconds / packet.time_base)
    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks


def count_frames(path: Path) -> int:
    """How many frames FFmpeg's decoder gives back, packet by packet."""
    count = 0
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.size:
                try:
                    count += len(packet.decode())
                except av.FFmpegError:
                    continue
        count += len(stream.decode(None))
    return count
