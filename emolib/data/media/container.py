"""Opening a container and decoding one of its streams, damaged packets included."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from emolib.errors import EmolibError
from emolib.system.files import check_regular

MAX_PIXELS = 2**26  # of one picture: 8192 x 8192, twice 8K video; 200 MB decoded
# Containers that name other files or addresses, which would be opened.
REFERRING = {
    "concat", "dash", "hds", "hls", "image2", "image2pipe", "imf", "lavfi", "rtp", "rtsp", "sap",
    "sdp", "smoothstreaming", "vobsub", "webm_dash_manifest",
}  # fmt: skip
# Containers whose header says how long the whole file is, so that a cut one can be told.
LENGTH_STATED = {"mov", "mp4", "matroska", "webm", "avi", "flv", "asf"}
CUT = 0.5  # seconds that may be missing at the end of a file without a word


@dataclass
class StreamReport:
    """What a stream says of itself, and what of it could not be decoded."""

    expected_frames: int | None = None  # by the container's word; None: it does not say
    start: float = 0.0  # seconds on the container's own clock at which the first frame begins
    packets_lost: int = 0  # that the decoder refused
    stopped: str = ""  # why reading ended before the file did; empty: it did not
    missing_seconds: float = 0.0  # at the end, of the length that the container states

    @property
    def cut(self) -> bool:
        """Whether the file ends before it says it does."""
        return self.missing_seconds > CUT


@contextmanager
def opened(video: Path) -> Iterator[Any]:
    """The container of ``video``; nothing but this file is ever opened.

    Whatever FFmpeg reports inside the block becomes an EmolibError that names the file, as does a
    pipe or a device, from which reading could wait for ever. Pictures of more than MAX_PIXELS are
    not decoded.
    """
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": ",".join(sorted(av.formats_available - REFERRING)),
        "max_pixels": str(MAX_PIXELS),
    }
    # "file:", since FFmpeg takes what stands before a colon for a protocol.
    # Titles may be in any encoding.
    try:
        check_regular(video)
        with av.open(f"file:{video}", options=options, metadata_errors="replace") as container:
            yield container
    except FileNotFoundError as error:
        raise EmolibError(f"{video}: no such file") from error
    except av.FFmpegError as error:
        raise EmolibError(
            f"{video}: cannot be decoded ({error.strerror}); replace the file or remove it"
        ) from error


def formats(container: Any) -> set[str]:
    """The names of the container's format: mov and mp4 are one."""
    return set(container.format.name.split(","))


def moving_pictures(container: Any) -> Any | None:
    """The video stream that players show, None where there is none; a cover picture is not one."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
        return None
    return stream


def sound_track(container: Any) -> Any | None:
    """The sound that players choose, None where there is none.

    FFmpeg's rule: the default track, then the number of channels and the bit rate.
    """
    return container.streams.best("audio")


def decoded(
    container: Any, stream: Any, report: StreamReport | None = None
) -> Iterator[tuple[Any, list[Any]]]:
    """(packet, the frames that the decoder gives back for it) of ``stream``;
    at the end (None, what it still held).

    Without ``report`` the first packet that cannot be decoded raises av.FFmpegError. With it, such
    packets are counted there and left out, and a file that cannot be read any further ends there.
    """
    last_end = 0.0
    try:
        for packet in container.demux(*_timed_streams(container, stream, report)):
            if packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                last_end = max(last_end, float(end))
            # An empty packet repeats the frame before, which then simply goes on showing. It must
            # not reach the decoder, for which it is the end.
            if packet.stream.index == stream.index and packet.size:
                try:
                    frames = packet.decode()
                except av.FFmpegError:
                    if report is None:
                        raise
                    report.packets_lost += 1
                else:
                    yield packet, frames
        held = stream.decode(None)
        for frame in held:
            frame.time_base = stream.time_base  # which only a packet would have brought
        yield None, held
    except av.FFmpegError as error:
        if report is None:
            raise
        report.stopped = error.strerror or type(error).__name__
    if report is not None:
        report.missing_seconds = max(0.0, _stated_end(container, stream) - last_end)


def _stated_end(container: Any, stream: Any) -> float:
    """Where the file ends by its own header, seconds on its clock; 0 where that says nothing."""
    if not LENGTH_STATED & formats(container) or not container.duration:
        return 0.0
    end = (container.duration + (container.start_time or 0)) / av.time_base
    if "avi" in formats(container) and stream.type == "video" and stream.average_rate:
        # FFmpeg shortens the length of a cut AVI by guess; the header's number of frames stays.
        end = max(end, stream.frames / float(stream.average_rate))
    return end


def expected_frames(container: Any, stream: Any) -> int | None:
    """How many frames there should be: as the container states, or its length times its rate."""
    if stream.frames:
        return int(stream.frames)
    if container.duration and stream.average_rate:
        return round(container.duration / av.time_base * float(stream.average_rate))
    return None


def _timed_streams(container: Any, stream: Any, report: StreamReport | None) -> list[Any]:
    """``stream``; with the other sound and pictures where the end of the whole
    file is asked for.
    """
    if report is None:
        return [stream]
    others = [*container.streams.video, *container.streams.audio]
    return [stream, *(other for other in others if other.index != stream.index)]
