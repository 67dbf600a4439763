"""Decoded sound, kept on disk: each video is decoded once, whatever windows are asked for,
and read as a memory map.

``<cache>/waveforms/<content of the video>.s16``: 64 bytes that say how many samples follow, what
their hash is and of which video they are, then int16 samples, mono, 16 kHz. A file that is not what
its first bytes say is made anew, so that an empty or a cut one is never taken for a video without
sound, nor that of another video for this one's.
"""

import hashlib
import struct
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from emolib.data.content import content_of_file
from emolib.data.media import stream_waveform
from emolib.errors import EmolibError
from emolib.features.work import workers
from emolib.system.files import atomic_path, cache_root

# Mark, number of samples, SHA-256 of the samples, content of the video (zeros: written before).
HEADER = struct.Struct("<16sq32s8s")
MARK = b"emolib waveform1"
Item = TypeVar("Item")


def waveform(video: Path | None) -> np.ndarray:
    """A video's sound, int16 ``[n]``, mono 16 kHz; empty without sound.

    Raises EmolibError when it cannot be decoded.
    """
    content = content_of_file(video)
    if video is None or not content:  # no video, or none that can be read: decoding says why
        return _decoded(video)
    path = cache_root() / "waveforms" / f"{content}.s16"
    samples = _stored(path)
    if samples is None:
        _write(path, video, content)
        samples = _stored(path)
    if samples is None:
        raise EmolibError(f"{path}: other bytes than were written; check the disk")
    return samples


def _decoded(video: Path | None) -> np.ndarray:
    blocks = (stream_waveform(video) or ()) if video is not None else ()
    return np.concatenate([np.zeros(0, np.int16), *map(_int16, blocks)])


def _int16(block: np.ndarray) -> np.ndarray:
    """Samples from -1 to 1 as little-endian integers."""
    return np.rint(np.clip(block, -1, 1) * 32767).astype("<i2")


def _write(path: Path, video: Path, content: str) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(HEADER.size))
        digest, count = hashlib.sha256(), 0
        for block in stream_waveform(video) or ():
            samples = _int16(block)
            file.write(samples.data)
            digest.update(samples.data)
            count += len(samples)
        file.seek(0)
        file.write(HEADER.pack(MARK, count, digest.digest(), bytes.fromhex(content)))


def _stored(path: Path) -> np.ndarray | None:
    """The samples in ``path``; None where it is missing or damaged, which a warning names."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        header = file.read(HEADER.size)
    size = path.stat().st_size
    if len(header) == HEADER.size:
        mark, count, digest, content = HEADER.unpack(header)
        named = content.hex() == path.stem or not any(content)
        if mark == MARK and named and size == HEADER.size + 2 * count:
            samples = np.memmap(path, "<i2", "r", HEADER.size) if count else np.zeros(0, np.int16)
            if hashlib.sha256(samples.data).digest() == digest:
                return samples
    warnings.warn(f"{path}: damaged; the sound is decoded again", stacklevel=3)
    return None


def decoded_waveforms(
    items: Iterable[Item], video_of: Callable[[Item], Path | None]
) -> Iterator[tuple[Item, np.ndarray | str]]:
    """(item, the sound of its video or the message of what is wrong with it),
    decoded a few items ahead in threads.
    """
    queue: deque[tuple[Item, Future]] = deque()
    with ThreadPoolExecutor(min(4, workers()), thread_name_prefix="waveform") as pool:
        for item in items:
            queue.append((item, pool.submit(waveform, video_of(item))))
            if len(queue) > 4:
                yield _result(*queue.popleft())
        while queue:
            yield _result(*queue.popleft())


def _result(item: Item, future: Future) -> tuple[Item, np.ndarray | str]:
    try:
        return item, future.result()
    except (EmolibError, OSError) as error:
        return item, str(error)
