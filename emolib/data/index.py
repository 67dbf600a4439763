"""What was found out about a tree, kept between reads:
which images exist and when each video's frames begin.

Listing 2.9 million images and reading 548 videos takes minutes; the index makes it seconds. A
folder is listed again when its modification time changed, a video read again when its size or
modification time did. One file, ``<cache_root()>/index/<hash of the tree's path>.npz``,
without pickle; a damaged one is made anew.
"""

import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from emolib.data import media
from emolib.data.annotations import BadFile
from emolib.errors import EmolibError
from emolib.system.files import atomic_path, cache_root, few, hash_of

FORMAT = 4  # raise it when the meaning of what is stored changes
# seconds; a folder changed so recently could change again within one tick of
# the file system's clock
SETTLED = 2.0
SAVE_EVERY = 60.0  # seconds; a first scan that is interrupted loses no more than this
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
IMAGE_NAME = re.compile(r"(\d{5}|[1-9]\d{5,6})\.jpg")  # 7 digits are 92 hours at 30 frames a second


# What reading a damaged archive of arrays raises; RuntimeError: an unknown compression.
DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile)


class LinkOut(EmolibError):
    """A link that leads out of the tree."""


def inside(path: Path, root: Path) -> Path:
    """``path`` when it lies, with every link followed, in ``root``;
    raises LinkOut when a link leads out of it.
    """
    real, tree = os.path.realpath(path), os.path.realpath(root)
    if real != tree and not real.startswith(tree + os.sep):
        raise LinkOut(
            f"{path}: a link that leads out of the tree (to {real}); put the files inside {root},"
            " or read through it: --set links_out=true (emolib doctor: --links-out)"
        )
    return path


def list_images(folder: Path, root: Path | None) -> np.ndarray:
    """Which image numbers exist in ``folder``:
    bool ``[highest + 1]``, element i for ``{i:05d}.jpg``.

    Frames count from 1, so element 0 tells of a folder numbered otherwise. Raises BadFile for
    images of other names, which would count as missing faces, and EmolibError for a link that leads
    out of ``root``; None: it may.
    """
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.is_file(follow_symlinks=False) or _good_link(entry, root)
        ]
    numbered = [name for name in names if IMAGE_NAME.fullmatch(name)]
    if len(numbered) < len(names):
        _refuse_misnamed(folder, sorted(set(names) - set(numbered)))
    numbers = np.array([int(name[:-4]) for name in numbered], dtype=np.int64)
    present = np.zeros(numbers.max(initial=0) + 1, dtype=bool)
    present[numbers] = True
    return present


def _refuse_misnamed(folder: Path, names: list[str]) -> None:
    images = [
        name for name in names if name.lower().endswith(IMAGE_SUFFIXES) and name[:1] not in "._"
    ]
    if images:
        raise BadFile(
            "image-names",
            f"{folder}: {len(images)} images not named like 00001.jpg: {few(images)};"
            " as they are they count as missing faces, so rename or remove them",
        )


def _good_link(entry: os.DirEntry, root: Path | None) -> bool:
    if not entry.is_symlink():
        return False
    path = Path(entry.path)
    return (inside(path, root) if root is not None else path).is_file()


class TreeIndex:
    """The index of one tree. ``store`` False: nothing is read from or written to the cache.

    ``links_out``: links may lead out of the tree.
    """

    def __init__(self, root: Path, *, store: bool = True, links_out: bool = False) -> None:
        self.root, self.links_out = Path(root), links_out
        self.path = (
            cache_root() / "index" / f"{hash_of(os.path.realpath(root))}.npz" if store else None
        )
        # For each folder (stamp, bool [highest + 1]).
        self.faces_of: dict[str, tuple[list[int], np.ndarray]] = {}
        self.times_of: dict[str, tuple[list[int], np.ndarray]] = {}  # video -> (stamp, float64 [n])
        self.changed = False
        self.saved_at = time.monotonic()
        if self.path is not None and self.path.is_file():
            self._load(self.path)

    def faces(self, folder: Path) -> np.ndarray:
        """:func:`list_images` of ``folder``, from the index when the folder did not change."""
        status = folder.stat()
        stamp, key = [status.st_mtime_ns, status.st_ino], self._key(folder)
        if key in self.faces_of and self.faces_of[key][0] == stamp:
            return self.faces_of[key][1]
        scanned = time.time()
        present = list_images(self._inside(folder), None if self.links_out else self.root)
        if scanned - status.st_mtime > SETTLED:
            self._keep(self.faces_of, key, stamp, present)
        return present

    def times(self, video: Path, read: Callable[[Path], np.ndarray] | None = None) -> np.ndarray:
        """``read`` of ``video``, from the index when the file did not change."""
        status = self._inside(video).stat()
        stamp, key = [status.st_mtime_ns, status.st_size], self._key(video)
        if key not in self.times_of or self.times_of[key][0] != stamp:
            self._keep(self.times_of, key, stamp, (read or media.frame_times)(video))
        return self.times_of[key][1]

    def _inside(self, path: Path) -> Path:
        return path if self.links_out else inside(path, self.root)

    def save(self) -> None:
        """Write the index, when there is something new in it."""
        if self.path is None or not self.changed:
            return
        manifest = {
            "format": FORMAT,
            "faces": {
                key: [*stamp, len(present)] for key, (stamp, present) in self.faces_of.items()
            },
            "times": {key: [*stamp, len(times)] for key, (stamp, times) in self.times_of.items()},
        }
        faces = [np.packbits(present) for _, present in self.faces_of.values()]
        times = [times for _, times in self.times_of.values()]
        with atomic_path(self.path) as temporary:
            np.savez(
                temporary,
                manifest=np.frombuffer(json.dumps(manifest).encode(), dtype=np.uint8),
                faces=np.concatenate([np.zeros(0, np.uint8), *faces]),
                times=np.concatenate([np.zeros(0), *times]),
            )
        self.changed, self.saved_at = False, time.monotonic()

    def _key(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _keep(
        self,
        where: dict[str, tuple[list[int], np.ndarray]],
        key: str,
        stamp: list[int],
        value: np.ndarray,
    ) -> None:
        where[key] = (stamp, value)
        self.changed = True
        if time.monotonic() - self.saved_at > SAVE_EVERY:
            self.save()

    def _load(self, path: Path) -> None:
        try:
            with np.load(path, allow_pickle=False) as stored:
                manifest = json.loads(stored["manifest"].tobytes())
                faces, times = stored["faces"], stored["times"]
            if manifest["format"] == FORMAT:
                self._unpack(manifest, faces, times)
        except DAMAGE:
            self.faces_of, self.times_of = {}, {}  # damaged: everything is found out again

    def _unpack(self, manifest: dict[str, Any], faces: np.ndarray, times: np.ndarray) -> None:
        at = 0
        for key, (*stamp, count) in manifest["faces"].items():
            size = (count + 7) // 8
            self.faces_of[key] = (
                stamp,
                np.unpackbits(faces[at : at + size], count=count).astype(bool),
            )
            at += size
        at = 0
        for key, (*stamp, count) in manifest["times"].items():
            if at + count > len(times):
                raise ValueError("shorter than its manifest says")
            self.times_of[key] = (stamp, times[at : at + count])
            at += count
