"""Which images and which video these are, by content:
the same wherever they lie and whenever they were copied.

Features are kept under this identity, so that a tree copied elsewhere, with other paths and times,
is the same tree. Reading every byte of 2.7 million images at each look would take minutes,
so this is the rule:

- A folder of images is the names and sizes of all of its images, and the bytes of a sample:
  the first, the last and 14 spread evenly between them (every image where there are at most 16).
- A video is its size and the bytes of three blocks of 64 KiB: its begin, its middle and its end.

What was found is kept in ``<cache>/index``, one small file each, and holds as long as the size and
the times of change of the folder and of the sampled images (or of the video) stay as they were. An
unchanged tree is therefore not read again, and a changed clock leads only to another reading.

Noticed: images added, removed or renamed; a sampled image or block that changed; after any of these
also every other image's size. Not noticed: an image outside the sample that was overwritten in
place with as many bytes, or, as long as nothing else in its folder changes, with more or fewer;
bytes of a video outside the three blocks. ``emolib clean cache/features`` makes everything anew.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from emolib.data.index import IMAGE_NAME, SETTLED
from emolib.errors import EmolibError
from emolib.system.files import cache_root, check_regular, hash_of, read_json, write_json

FORMAT = 1  # raise it when the rule above changes
SAMPLED = 16  # images of a folder whose bytes are read
BLOCK = 2**16  # bytes of each of a video's three blocks

Stamps = dict[str, list[int]]  # path -> size and times of change


def content_of_images(folder: Path | None) -> str:
    """16 hexadecimal digits for the images in ``folder``; empty where there is none."""
    return _known(folder, _read_images) if folder is not None else ""


def content_of_file(path: Path | None) -> str:
    """16 hexadecimal digits for a video; empty where there is none."""
    return _known(path, _read_blocks) if path is not None else ""


def _known(path: Path, read: Callable[[Path], tuple[str, Stamps]]) -> str:
    """What ``read`` says of ``path``, or said the last time if nothing it
    looked at has changed since.
    """
    path = Path(os.path.realpath(path))
    record = cache_root() / "index" / f"{hash_of(str(path))}.json"
    try:
        known = _load(record)
        stamps = known["stamps"] if known is not None else {}
        if known is not None and str(path) in stamps and stamps == _stamps(stamps):
            return str(known["content"])
        begun = time.time()
        content, stamps = read(path)
    except (OSError, EmolibError):
        return ""  # whoever reads it for its features says why
    if all(begun - max(times) / 1e9 > SETTLED for _, *times in stamps.values()):
        with contextlib.suppress(EmolibError):  # without space for the record it is read again
            entry = {"format": FORMAT, "stamps": stamps, "content": content}
            write_json(record, entry, sealed=True)
    return content


def _load(record: Path) -> dict[str, Any] | None:
    """The record, or None where it is missing, damaged or of another rule."""
    try:
        known = read_json(record)
        content, stamps = known["content"], known["stamps"]
        usable = known["format"] == FORMAT and isinstance(content, str) and isinstance(stamps, dict)
    except (EmolibError, OSError, KeyError, TypeError):
        return None
    return known if usable else None


def _stamps(paths: Iterable[str]) -> Stamps:
    """Size and both times of change of each of ``paths``; raises OSError where one is missing."""
    stamps = {}
    for path in paths:
        status = Path(path).stat()
        stamps[path] = [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
    return stamps


def _read_images(folder: Path) -> tuple[str, Stamps]:
    sizes = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if IMAGE_NAME.fullmatch(entry.name) and entry.is_file():
                sizes[entry.name] = entry.stat().st_size
    names = sorted(sizes)
    digest = hashlib.sha256("".join(f"{name} {sizes[name]}\n" for name in names).encode())
    sample = sorted({*np.linspace(0, len(names) - 1, SAMPLED).round().astype(int)}) if names else []
    paths = [folder / names[number] for number in sample]
    stamps = _stamps(map(str, [folder, *paths]))  # before the bytes: a later change is noticed
    for path in paths:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16], stamps


def _read_blocks(path: Path) -> tuple[str, Stamps]:
    check_regular(path)  # a pipe would be waited for
    stamps = _stamps([str(path)])
    size = stamps[str(path)][0]
    digest = hashlib.sha256(f"{size}\n".encode())
    with open(path, "rb") as file:
        for begin in (0, (size - BLOCK) // 2, size - BLOCK):
            file.seek(max(0, begin))
            digest.update(file.read(BLOCK))
    return digest.hexdigest()[:16], stamps
