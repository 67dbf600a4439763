"""Read a user's video through processes of its own, so that no file can take this one with it.

See :mod:`emolib.video.decoding` for the other side. A process that has answered in full serves
again; one that has crashed, hangs or is no longer listened to is ended.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np

import emolib
from emolib.data import media
from emolib.errors import EmolibError
from emolib.video.slots import Slots, shared_file

START = 120.0  # seconds until a process must be ready
STALL = 20.0  # seconds until the next frame must have come
_idle: list["_Decoder"] = []


class DecoderLost(Exception):
    """The process has crashed or was ended because it hung; the message says which."""


class _Decoder:
    """One process that decodes."""

    def __init__(self) -> None:
        package = str(Path(emolib.__file__).parents[1])
        paths = [package, os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self.file = shared_file()
        self.slots = Slots(self.file.fileno())
        shared = [self.slots.descriptor] if os.name == "posix" else []  # Windows passes none on
        words = [str(number) for number in (os.getpid(), *shared)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "emolib.video.decoding", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=shared,
        )
        self.receive(START)

    def ask(self, request: dict[str, Any]) -> None:
        """Send a request."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise DecoderLost(f"the decoder was lost: {error.strerror}") from error

    def give_back(self) -> None:
        """Let the next picture but one take the place of the one that came last."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # lost: what it has sent can still be received
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()

    def receive(self, seconds: float = STALL) -> tuple[dict[str, Any], np.ndarray | None]:
        """The next message. Raises DecoderLost when there is none within ``seconds``."""
        hung = threading.Event()

        def end() -> None:
            hung.set()
            self.process.kill()

        watchdog = threading.Timer(seconds, end)
        watchdog.start()
        try:
            header = json.loads(self._bytes(int.from_bytes(self._bytes(4), "big")))
            if "slot" in header:
                picture = self.slots.picture(header["slot"], tuple(header["shape"]))
                picture.flags.writeable = False
                return header, picture
            if "shape" not in header:
                return header, None
            kind = np.dtype(header["dtype"])
            array = np.empty(header["shape"], kind)
            if array.size:
                self._read_into(array.data.cast("B"))
            return header, array
        except EOFError:
            if hung.is_set():
                raise DecoderLost(f"the decoder gave nothing for {seconds:.0f} s") from None
            code = self.process.wait()
            raise DecoderLost(f"the decoder crashed (exit code {code})") from None
        finally:
            watchdog.cancel()

    def _bytes(self, count: int) -> bytearray:
        content = bytearray(count)
        self._read_into(memoryview(content))
        return content

    def _read_into(self, view: memoryview) -> None:
        assert self.process.stdout is not None
        have = 0
        while have < len(view):
            read = self.process.stdout.readinto(view[have:])  # type: ignore[attr-defined]
            if not read:
                raise EOFError
            have += read

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was still to be sent to it
                    pipe.close()
        self.file.close()


def _decoder() -> _Decoder:
    """One that is ready: it was idle and still lives, or it is new."""
    while _idle:
        decoder = _idle.pop()
        if decoder.process.poll() is None:
            return decoder
        decoder.close()
    return _Decoder()


def end_idle() -> None:
    """End the processes that wait for another video; the next one starts a new one."""
    while _idle:
        _idle.pop().close()


class ReadsVideos:
    """What reads videos, one after another. Close it, or use it as a context manager: a process
    that decodes waits for the next video until then.
    """

    def close(self) -> None:
        """End the waiting processes. Another video may follow: it starts a new one."""
        end_idle()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _answers(
    request: dict[str, Any], report: media.StreamReport
) -> Iterator[tuple[float, np.ndarray | None]]:
    """(place, array) of each message, None for a picture that was not asked for;
    ``report`` is filled at the end. A picture is there until the next message is asked for.

    Raises EmolibError where nothing at all could be decoded.
    """
    given = request["video"]
    # The process may have been started in another folder.
    request = {**request, "video": str(Path(given).absolute())}
    decoder, whole, count = _decoder(), False, 0
    try:
        decoder.ask(request)
        while True:
            header, array = decoder.receive()
            if "report" in header:
                break
            count += 1
            report.expected_frames = header["expected"]
            yield header["place"], array
            if "slot" in header:
                decoder.give_back()
        whole = True
        vars(report).update(header["report"])
        if "error" in header:
            report.stopped = header["error"].replace(request["video"], given)
            if not count:
                raise EmolibError(report.stopped)
    except DecoderLost as lost:
        report.stopped = str(lost)
        if not count:
            raise EmolibError(
                f"{given}: {lost}; convert it (`ffmpeg -i FILE new.mp4`) or leave it out"
            ) from lost
    finally:
        if whole:
            _idle.append(decoder)
        else:
            decoder.close()


def read_frames(
    video: Path, report: media.StreamReport | None = None, rotate: int = 0
) -> Iterator[tuple[int, float, np.ndarray]]:
    """As :func:`emolib.data.media.read_frames`, all frames of the size of the first, each to be
    read (not written) until the next one is asked for.

    ``rotate``: degrees clockwise, a multiple of 90. What could not be decoded is told in ``report``
    at the end. Raises EmolibError when nothing can be decoded.
    """
    for number, time, image in sampled_frames(video, None, report, rotate):
        assert image is not None
        yield number, time, image


def sampled_frames(
    video: Path,
    fps: float | None,
    report: media.StreamReport | None = None,
    rotate: int = 0,
) -> Iterator[tuple[int, float, np.ndarray | None]]:
    """:func:`read_frames`, with at most ``fps`` pictures a second; None for the others."""
    request = {"stream": "pictures", "video": str(video), "rotate": rotate, "fps": fps}
    answers = _answers(request, media.StreamReport() if report is None else report)
    for number, (time, image) in enumerate(answers, 1):
        yield number, time, image


def read_sound(
    video: Path, report: media.StreamReport | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """As :func:`emolib.data.media.sound_pieces`; nothing at all without a track."""
    request = {"stream": "sound", "video": str(video)}
    for place, samples in _answers(request, media.StreamReport() if report is None else report):
        assert samples is not None
        yield int(place), samples
