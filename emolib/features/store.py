"""The feature store: one safetensors file per clip, whole or absent,
safe for several processes at once.

``<cache>/features/<fingerprint>/<clip id>.<source>.safetensors`` and ``manifest.json``
(CONTRIBUTING.md, Contracts). The fingerprint stands for the encoder and its settings, the source
for the content that the features were made from (:mod:`emolib.data.content`): neither knows a path
or a time, so features are found again for a copied tree and in a copied store. Each array's hash
stands in the file and is compared whenever the array is read. A clip is claimed by locking a file
beside it; the system drops the lock when a process dies, however it dies.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from filelock import BaseFileLock
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from emolib.errors import EmolibError
from emolib.system.files import atomic_path, cache_root, hash_of, write_json
from emolib.system.locks import try_lock

Tensors = dict[str, np.ndarray]
MADE_WITH = ("versions", "precision")  # told in the files, without deciding the folder
YOUNG = 600.0  # seconds; no file takes so long to write


class Claim:
    """The right to compute one clip, until :meth:`release` or the end of the process."""

    def __init__(self, path: Path, lock: BaseFileLock) -> None:
        self.path, self.lock, self.held = path, lock, True

    def release(self) -> None:
        """Give the clip back; whoever waited for it looks first whether it is there.

        Once is enough.
        """
        if self.held:
            self.held = False
            with contextlib.suppress(OSError):  # Windows keeps a locked file
                self.path.unlink(missing_ok=True)
            self.lock.release()


class FeatureStore:
    """Features under one fingerprint.

    ``settings`` and ``identity``: what they depend on, MADE_WITH aside.

    The type that ``precision=fast`` means on a device is not in it: what a GPU node has stored
    counts on a login node. The manifest names the type of the process that began the store,
    each file its own.
    """

    def __init__(self, kind: str, settings: dict[str, Any], identity: dict[str, Any]) -> None:
        depends = {key: value for key, value in identity.items() if key not in MADE_WITH}
        self.precision = identity.get("precision", "")
        self.encoder = hash_of([kind, depends])
        self.fingerprint = hash_of([kind, settings, depends])
        self.folder = cache_root() / "features" / self.fingerprint
        self.manifest = {
            "kind": kind,
            "fingerprint": self.fingerprint,
            "settings": settings,
            **identity,
        }

    def path(self, clip_id: str, source: str) -> Path:
        """The file of a clip's features made from ``source``, whether or not it exists."""
        return self.folder / f"{clip_id}.{source}.safetensors"

    def has(self, clip_id: str, source: str) -> bool:
        """Whether the file is there and as long as its header says; reads no array."""
        return self._opened(clip_id, source, _check_header) is not None

    def read(self, clip_id: str, source: str, *names: str) -> Tensors | None:
        """The arrays of a clip (``names``: these alone), None where it is not stored.

        They are mapped from the file, so that all processes share the memory that they take.
        """
        return self._opened(clip_id, source, lambda path: _read(path, names))

    def _opened(self, clip_id: str, source: str, take: Callable[[Path], Any]) -> Any:
        """``take`` of the clip's file, None where there is none.

        A damaged file is named in a warning and removed, so that it is computed again.
        """
        path = self.path(clip_id, source)
        try:
            return take(path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError) as error:
            warnings.warn(f"{path}: damaged ({error}); it is computed again", stacklevel=3)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            return None

    def write(self, clip_id: str, source: str, tensors: Tensors) -> None:
        """Store a clip's arrays, atomically; equal ones give equal bytes.

        Raises EmolibError for NaN or a full disk.
        """
        for name, array in tensors.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise EmolibError(
                    f"{clip_id}: {name} features are not finite; "
                    "set precision=strict, or look at the clip's images and sound"
                )
        if not (self.folder / "manifest.json").is_file():
            write_json(self.folder / "manifest.json", self.manifest)
        arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        hashes = {name: hash_of_array(array) for name, array in arrays.items()}
        path = self.path(clip_id, source)
        about = {"name": _name(path), "precision": self.precision, "sha256": hashes}
        # One entry of metadata: safetensors writes several in any order.
        content = save(arrays, metadata={"about": json.dumps(about, sort_keys=True)})
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)

    def check_room(self, needed: int) -> None:
        """Raises EmolibError, before any work, where the disk has not the ``needed`` bytes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise EmolibError(
                f"{self.folder}: these features take up to {needed / 1e9:.1f} GB, "
                f"{free / 1e9:.1f} GB are free; free space, set EMOLIB_RUNS to a folder on a "
                "larger disk, or use a shorter window or a longer stride"
            )

    def claim(self, clip_id: str, source: str) -> Claim | None:
        """The right to compute a clip; None while another process has it."""
        stem = self.path(clip_id, source).stem
        path = self.folder / ".claims" / stem
        lock = try_lock(path)
        if lock is None:
            return None
        # What a process killed while writing this file left behind; no other file's temporary name
        # has this shape. Young ones stay: where locks do not reach other machines, one may be
        # writing the same clip.
        for leftover in self.folder.glob(f".{escape(stem)}-????????.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > YOUNG:
                    leftover.unlink()
        return Claim(path, lock)

    def verify(self) -> tuple[int, list[str]]:
        """Re-hash every file: (number of files, paths of damaged ones).

        Damaged files are removed, so the next extraction computes them again.
        """
        files = sorted(self.folder.glob("[!.]*.safetensors"))  # a dot: being written
        damaged = [path for path in files if not _is_whole(path)]
        for path in damaged:
            path.unlink(missing_ok=True)
        return len(files), [str(path) for path in damaged]


def _name(path: Path) -> str:
    """What a file is of: the fingerprint of its store, the clip and the source."""
    return f"{path.parent.name}/{path.stem}"


def _check_header(path: Path) -> bool:
    """True; raises SafetensorError where the file is not as long as its header says."""
    with safe_open(path, framework="np"):
        return True


# torch's tensors are mapped from the file, NumPy's are copies. Windows does not let a mapped file
# be replaced, as a clip's is when it gets more windows.
FRAMEWORK = "pt" if os.name == "posix" else "np"


def _read(path: Path, names: tuple[str, ...] = ()) -> Tensors:
    """The arrays of a file, mapped and each compared with its hash;
    raises ValueError where one differs, an entry is missing, or the file was written under another
    name.
    """
    with safe_open(path, framework=FRAMEWORK) as file:
        about = json.loads((file.metadata() or {}).get("about", "{}"))
        if about.get("name") != _name(path):
            raise ValueError(f"written as {about.get('name')}")
        hashes = about.get("sha256")
        if not isinstance(hashes, dict) or sorted(hashes) != sorted(file.keys()):
            raise ValueError("no hash of what it holds")
        tensors = {name: np.asarray(file.get_tensor(name)) for name in names or hashes}
    for name, array in tensors.items():
        if hash_of_array(array) != hashes[name]:
            raise ValueError(f"other bytes in {name} than were written")
    return tensors


def hash_of_array(array: np.ndarray) -> str:
    """SHA-256 of an array's type, shape and bytes."""
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _is_whole(path: Path) -> bool:
    try:
        _read(path)
    except (SafetensorError, OSError, ValueError):
        return False
    return True
