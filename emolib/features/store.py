"""The feature store: one safetensors file per clip, whole or absent, safe for several processes at once.

``<cache>/features/<fingerprint>/<clip id>.safetensors`` and ``manifest.json`` (CONTRIBUTING.md, Contracts). A clip is claimed by
locking a file beside it; the system drops the lock when a process dies, however it dies.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from emolib.errors import EmolibError
from emolib.system.files import atomic_path, cache_root, hash_of, write_json

Tensors = dict[str, np.ndarray]
MADE_WITH = (
    "versions",
    "precision",
)  # said in the manifest and in each file, without deciding the folder
YOUNG = 600.0  # seconds; no file takes so long to write


class Claim:
    """The right to compute one clip, until :meth:`release` or the end of the process."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path, self.handle, self.held = path, handle, True

    def release(self) -> None:
        """Give the clip back; whoever waited for it looks first whether it is there. Once is enough."""
        if self.held:
            self.held = False
            self.path.unlink(missing_ok=True)
            os.close(self.handle)


class FeatureStore:
    """Features under one fingerprint. ``identity``: what they depend on; all but MADE_WITH decides the folder.

    The type that ``precision=fast`` means on a device is not in it: what a GPU node has stored counts on a login node. The
    manifest names the type of the process that began the store, each file its own.
    """

    def __init__(self, kind: str, fingerprint: str, identity: dict[str, Any]) -> None:
        depends = {key: value for key, value in identity.items() if key not in MADE_WITH}
        self.precision = identity.get("precision", "")
        self.fingerprint = hash_of([kind, fingerprint, depends])
        self.folder = cache_root() / "features" / self.fingerprint
        self.manifest = {
            "kind": kind,
            "fingerprint": self.fingerprint,
            "experiment": fingerprint,
            **identity,
        }

    def path(self, clip_id: str) -> Path:
        """The file of a clip, whether or not it exists."""
        return self.folder / f"{clip_id}.safetensors"

    def read(self, clip_id: str, *names: str) -> Tensors | None:
        """The arrays of a clip (``names``: these alone), None where it is not stored.

        A damaged file is named in a warning and counts as absent.
        """
        return self._opened(
            clip_id, lambda file: {name: file.get_tensor(name) for name in names or file.keys()}
        )

    def source(self, clip_id: str) -> str | None:
        """The ``source`` that a clip was written with; None where :meth:`read` gives None. Reads no array."""
        return self._opened(clip_id, lambda file: _about(file).get("source"))

    def _opened(self, clip_id: str, take: Callable[[Any], Any]) -> Any:
        path = self.path(clip_id)
        try:
            with safe_open(path, framework="np") as file:
                return take(file)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, ValueError) as error:
            warnings.warn(f"{path}: damaged ({error}); it is computed again", stacklevel=3)
            return None

    def write(self, clip_id: str, tensors: Tensors, source: str = "") -> None:
        """Store a clip's arrays, atomically; equal ones give equal bytes. ``source``: a stamp of what they were made from.

        Raises EmolibError for NaN or a full disk.
        """
        for name, array in tensors.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise EmolibError(
                    f"{clip_id}: {name} features are not finite; set precision=strict, or look at the clip's images and sound"
                )
        if not (self.folder / "manifest.json").is_file():
            write_json(self.folder / "manifest.json", self.manifest)
        about = {"precision": self.precision, "sha256": _digest(tensors), "source": source}
        metadata = {
            "about": json.dumps(about, sort_keys=True)
        }  # one entry: safetensors writes several in any order
        content = save(
            {name: np.ascontiguousarray(array) for name, array in tensors.items()},
            metadata=metadata,
        )
        with atomic_path(self.path(clip_id)) as temporary:
            temporary.write_bytes(content)

    def claim(self, clip_id: str) -> Claim | None:
        """The right to compute a clip; None while another process has it."""
        path = self.folder / ".claims" / clip_id
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise EmolibError(
                f"{path}: cannot be written: {error.strerror}; free space or choose another folder"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        # What a process killed while writing this clip left behind; no other clip's temporary name has this shape. Young
        # ones stay: where locks do not reach other machines, one may be writing the same clip.
        for leftover in self.folder.glob(f".{escape(clip_id)}-????????.safetensors"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - leftover.stat().st_mtime > YOUNG:
                    leftover.unlink()
        return Claim(path, handle)

    def verify(self) -> tuple[int, list[str]]:
        """Re-hash every file: (number of files, paths of damaged ones). Damaged files are removed, so the next
        extraction computes them again."""
        files = sorted(self.folder.glob("[!.]*.safetensors"))  # a dot: being written
        damaged = [path for path in files if not _is_whole(path)]
        for path in damaged:
            path.unlink(missing_ok=True)
        return len(files), [str(path) for path in damaged]


def _about(file: Any) -> dict[str, str]:
    """What :meth:`FeatureStore.write` noted in an open file."""
    return json.loads((file.metadata() or {}).get("about", "{}"))


def _digest(tensors: Tensors) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, framework="np") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return _digest(tensors) == _about(file).get("sha256")
    except (SafetensorError, OSError, ValueError):
        return False
