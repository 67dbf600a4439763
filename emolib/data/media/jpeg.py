"""JPEG images to arrays."""

from pathlib import Path

import numpy as np
import simplejpeg

from emolib.errors import EmolibError


def decode_jpeg(content: bytes, name: str = "image") -> np.ndarray:
    """RGB uint8 ``[H, W, 3]``, as Pillow decodes it. Raises EmolibError saying ``name`` when it is damaged or no JPEG."""
    try:
        return simplejpeg.decode_jpeg(content, strict=True)
    except ValueError as error:
        raise EmolibError(
            f"{name}: not a whole JPEG image ({error}); restore the file or delete it (a missing face)"
        ) from error


def read_jpeg(path: Path) -> np.ndarray:
    """:func:`decode_jpeg` of a file; raises EmolibError when it is missing or damaged."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise EmolibError(f"{path}: cannot be read ({error.strerror})") from error
    return decode_jpeg(content, str(path))
