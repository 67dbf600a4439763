"""``python -m emolib.video.decoding PID [FILE]``: decodes for another process (``video.reading``).

FFmpeg is native code that a damaged or hostile file can crash or hang. Here it can only take this
process with it. Requests are lines of JSON on the standard input. Each answer is a series of
messages on the standard output: the length of a header (4 bytes), the header in JSON,
and the bytes of an array if it names a shape. Pictures lie in ``emolib.video.slots`` instead, if
the other process shares FILE, the number of an open file: the header names their slot, and an
empty line on the standard input gives the slot back.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from emolib.data import media
from emolib.errors import EmolibError
from emolib.system.process import end_with
from emolib.video.sampling import Sampler
from emolib.video.slots import SLOTS, Slots

PIPE = 2**20  # bytes, the most that Linux lets any user ask for
UNFORESEEN = (  # what damaged numbers in a header can lead to
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


def pictures(
    video: Path, report: media.StreamReport, rotate: int, fps: float | None
) -> Iterator[tuple[float, np.ndarray | None]]:
    """(seconds, picture), turned clockwise by ``rotate`` degrees,
    all of the size of the first one; None for those that ``fps`` a second leave out.
    """
    size, wanted = None, Sampler(fps) if fps else None
    for _, time, picture in media.lazy_frames(video, report):
        if wanted is not None and not wanted(time):
            yield time, None
            continue
        image = np.rot90(picture(), -rotate // 90)
        size = size or image.shape[1::-1]
        yield time, fitted(image, size)


def fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``image`` as large as it can be inside ``size`` (width, height), in the middle,
    black around it.
    """
    if image.shape[1::-1] == size:
        return image
    width, height = size
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    result = np.zeros((height, width, 3), np.uint8)
    result[top : top + inner[1], left : left + inner[0]] = cv2.resize(
        image, inner, interpolation=cv2.INTER_AREA
    )
    return result


def sound(video: Path, report: media.StreamReport) -> Iterator[tuple[int, np.ndarray]]:
    """(first sample, samples) of each piece of the sound."""
    return iter(media.sound_pieces(video, report) or ())


def answer(request: dict[str, Any], out: BinaryIO, slots: Slots | None) -> None:
    """Write what ``request`` asks for, then how its stream ended.

    ``slots``: where pictures go; None: to ``out``, as sound.
    """
    video, report = Path(request["video"]), media.StreamReport()
    try:
        stream: Iterator[tuple[float, np.ndarray | None]]
        if request["stream"] == "pictures":
            stream = pictures(video, report, request["rotate"], request["fps"])
        else:
            stream, slots = sound(video, report), None
        numbers = count()
        for place, array in stream:
            header: dict[str, Any] = {"place": place, "expected": report.expected_frames}
            if array is not None:
                header |= {"shape": array.shape, "dtype": array.dtype.str}
            if array is not None and slots is not None:
                header["slot"] = share(array, next(numbers), slots)
                array = None
            send(out, header, array)
        send(out, {"report": asdict(report)})
    except EmolibError as error:
        send(out, {"report": asdict(report), "error": str(error)})
    except UNFORESEEN as error:
        what = f"{type(error).__name__}: {error}".rstrip(": ")
        send(out, {"report": asdict(report), "error": f"{video}: cannot be decoded ({what})"})


def share(image: np.ndarray, number: int, slots: Slots) -> int:
    """Put picture ``number`` into its slot, as soon as the one before it there is given back."""
    if number >= SLOTS and not sys.stdin.readline():
        raise SystemExit  # nobody asks any more
    slots.picture(number, image.shape)[...] = image
    return number


def send(out: BinaryIO, header: dict[str, Any], array: np.ndarray | None = None) -> None:
    """One message."""
    text = json.dumps(header).encode()
    out.write(len(text).to_bytes(4, "big") + text)
    if array is not None:
        out.write(np.ascontiguousarray(array).data)
    out.flush()


def widen(pipe: BinaryIO) -> None:
    """Let ``pipe`` hold more of a picture at once, where the system can."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)


def main(parent: int, file: int | None) -> None:
    """Answer requests until the standard input ends, or the process ``parent``, which asks
    and shares the open ``file``.
    """
    end_with(parent)  # also in the midst of an answer, or where FFmpeg hangs
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    widen(out)
    os.dup2(2, 1)  # nothing that a library prints may get between the messages
    cv2.setNumThreads(1)
    slots = None if file is None else Slots(file)
    send(out, {"ready": True})
    for line in iter(sys.stdin.readline, ""):
        if line.strip():  # an empty one gives back a slot of the last video
            with contextlib.suppress(BrokenPipeError):
                answer(json.loads(line), out, slots)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
