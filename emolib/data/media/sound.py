"""The sound of a video: mono, 16 kHz, on the clock of its pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from emolib.data.media.container import StreamReport, decoded, moving_pictures, opened, sound_track
from emolib.data.media.pictures import timed_frames
from emolib.errors import EmolibError

SAMPLE_RATE = 16_000  # Hz; what Wav2Vec2 hears
LOWEST_RATE = 1_000  # Hz; a few kilobytes at 1 Hz would become gigabytes at 16 kHz
# seconds; sound whose timestamps jump by more was lost or doubled, by less is only rounded
GAP = 0.002
PIECE = 1.0  # seconds; a longer silence is not filled with samples but begins another piece
SILENCE = 2**18  # samples in memory at once of a silence that is filled
INAUDIBLE = 3  # int16 samples up to this are digital silence: -80 dB of full scale
LATEST = 6 * 3600  # seconds of silence in one waveform; no real sound starts later

Piece = tuple[int, np.ndarray]  # (first sample at 16 kHz, float32 [n])


def read_waveform(video: Path) -> np.ndarray | None:
    """The sound: float32 ``[n]``, mono, 16 kHz, sample 0 at the time of the first frame.

    None when there is no sound.

    Sound that starts late is preceded by silence, sound that starts early is cut.
    Raises EmolibError when the file cannot be decoded.
    """
    blocks = stream_waveform(video)
    return None if blocks is None else np.concatenate([np.zeros(0, np.float32), *blocks])


def stream_waveform(video: Path) -> Iterator[np.ndarray] | None:
    """:func:`read_waveform` block by block, so that memory does not grow with
    the length of the sound.
    """
    pieces = sound_pieces(video)
    return None if pieces is None else _filled(video, pieces)


def _filled(video: Path, pieces: Iterator[Piece]) -> Iterator[np.ndarray]:
    """One waveform of all pieces, with silence between them."""
    position = 0
    for first, samples in pieces:
        if first - position > LATEST * SAMPLE_RATE:
            raise EmolibError(
                f"{video}: timestamps of the sound jump by more than {LATEST // 3600} hours;"
                " remux or replace the file"
            )
        yield from silence(first - position)
        yield samples
        position = first + len(samples)


def silence(count: int) -> Iterator[np.ndarray]:
    """``count`` samples in blocks; none where it is negative."""
    for first in range(0, count, SILENCE):
        yield np.zeros(min(SILENCE, count - first), np.float32)


def sound_pieces(video: Path, report: StreamReport | None = None) -> Iterator[Piece] | None:
    """The sound in pieces, in order of time and without overlap; between them nothing sounds.

    None without a track.

    What cannot be decoded is counted in ``report`` and is silent;
    without it, it raises EmolibError.
    """
    with opened(video) as container:
        if sound_track(container) is None:
            return None
        zero = _first_picture(container, video)
    return _pieces(video, zero, report)


def _first_picture(container: Any, video: Path) -> float:
    """Time of the first frame on the container's clock; 0 for a file of sound alone."""
    if moving_pictures(container) is None:
        return 0.0
    for time, _ in timed_frames(container, video, StreamReport()):
        return time
    raise EmolibError(f"{video}: holds no frame; replace the file or remove it")


def _pieces(video: Path, zero: float, report: StreamReport | None) -> Iterator[Piece]:
    """From second ``zero`` of the container's clock on."""
    track, mixer = None, _Mixer()
    with opened(video) as container:
        for _, frames in decoded(container, sound_track(container), report):
            for frame in frames:
                if frame.sample_rate < LOWEST_RATE:
                    raise EmolibError(
                        f"{video}: sound at {frame.sample_rate} Hz, which holds no voice; "
                        "replace the file or remove it"
                    )
                if track is None or frame.sample_rate != track.rate:
                    # Recordings joined end to end may change the rate.
                    position, zero = (
                        (0, zero) if track is None else track.moved_to(frame.sample_rate)
                    )
                    if track is not None:
                        yield from track.finish()
                    track = _Track(frame.sample_rate, zero, position)
                time = frame.time
                yield from track.add(mixer(frame), time)
        if track is not None:
            yield from track.finish()


@dataclass
class _Track:
    """Sound of one sampling rate on its way to 16 kHz."""

    rate: int  # Hz
    zero: float  # seconds on the container's clock where sample 0 lies
    position: int = 0  # samples at ``rate`` that are behind
    resampler: Any = None
    first: int = 0  # sample at 16 kHz where the resampler's next output lies
    begun: bool = field(init=False)

    def __post_init__(self) -> None:
        self.begun = self.position > 0

    def moved_to(self, rate: int) -> tuple[int, float]:
        """(position, zero) of the track of another rate that goes on from here."""
        return round(self.position * rate / self.rate), self.zero

    def add(self, samples: np.ndarray, time: float | None) -> Iterator[Piece]:
        """``samples`` float32 ``[n]`` that begin at ``time`` on the container's clock;
        None: where the last ended.
        """
        if time is not None:
            begin = round((time - self.zero) * self.rate)
            if self.begun and self.position - begin > self.rate:
                # The clock begins anew: go on, as the pictures do.
                self.zero -= (self.position - begin) / self.rate
                begin = self.position
            if not self.begun or abs(begin - self.position) > GAP * self.rate:
                yield from self._advance(begin)
                samples = samples[max(0, self.position - begin) :]
        if len(samples):
            self.begun = True
            yield from self._through(samples)

    def _advance(self, begin: int) -> Iterator[Piece]:
        """Silence up to sample ``begin``, as samples or as a new piece;
        nothing where it is behind.
        """
        gap = begin - self.position
        if gap > PIECE * self.rate:
            yield from self.finish()
            self.position = begin
        elif gap > 0:
            yield from self._through(np.zeros(gap, np.float32))

    def _through(self, samples: np.ndarray | None) -> Iterator[Piece]:
        if self.resampler is None:
            self.resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            self.first = round(self.position * SAMPLE_RATE / self.rate)
        frame = None
        if samples is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples[None]), format="flt", layout="mono"
            )
            frame.sample_rate, frame.time_base = self.rate, Fraction(1, self.rate)
            frame.pts = self.position
            self.position += len(samples)
        for resampled in self.resampler.resample(frame):
            block = resampled.to_ndarray()[0]
            yield self.first, block
            self.first += len(block)

    def finish(self) -> Iterator[Piece]:
        """What the resampler still holds."""
        if self.resampler is not None:
            yield from self._through(None)
        self.resampler = None


def audible(samples: np.ndarray) -> np.ndarray:
    """Which int16 samples are more than digital silence, bool of the same shape."""
    return np.abs(samples) > INAUDIBLE


class _Mixer:
    """Channels of any number and format to one, mixed by FFmpeg at the rate they have.

    Mixing into integers keeps the sum of the channels' weights at one,
    so two equal channels stay as loud as one.
    """

    def __init__(self) -> None:
        self.source: tuple[str, str, int] | None = None
        self.resampler: Any = None

    def __call__(self, frame: Any) -> np.ndarray:
        """Float32 ``[n]`` in [-1, 1] of a decoded audio frame."""
        source = (frame.format.name, frame.layout.name, frame.sample_rate)
        if source != self.source:
            self.source = source
            self.resampler = av.AudioResampler(format="s32", layout="mono", rate=frame.sample_rate)
        frame.pts = None  # the mixer would fill gaps of damaged timestamps
        mixed = [part.to_ndarray()[0] for part in self.resampler.resample(frame)]
        samples = np.concatenate(mixed) if mixed else np.zeros(0, np.int32)
        return (samples / np.float64(2**31)).astype(np.float32)


def sound_seconds(video: Path, *, decode: bool) -> float | None:
    """Second at which the sound ends, by decoding it or by its header; None without sound.

    A header that does not tell counts as infinitely long.
    Raises EmolibError when the sound cannot be decoded.
    """
    if decode:
        blocks = stream_waveform(video)
        return None if blocks is None else sum(len(block) for block in blocks) / SAMPLE_RATE
    with opened(video) as container:
        stream = sound_track(container)
        if stream is None:
            return None
        if stream.duration is None or stream.time_base is None:
            return float("inf")
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
