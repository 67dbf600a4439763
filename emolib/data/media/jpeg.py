"""JPEG images to arrays."""

from pathlib import Path

import numpy as np
import simplejpeg

from emolib.data.media.container import MAX_PIXELS
from emolib.errors import EmolibError
from emolib.system.files import check_regular


def decode_jpeg(content: bytes, name: str = "image") -> np.ndarray:
    """RGB uint8 ``[H, W, 3]``, as Pillow decodes it.

    Raises EmolibError saying ``name`` when it is damaged, no JPEG, or claims more than MAX_PIXELS,
    which is found out before it is decoded.
    """
    try:
        height, width = simplejpeg.decode_jpeg_header(content)[:2]
        if height * width > MAX_PIXELS:
            raise EmolibError(
                f"{name}: {width} x {height} pixels, more than {MAX_PIXELS:,};"
                " replace the image or delete it"
            )
        return simplejpeg.decode_jpeg(content, strict=True)
    except ValueError as error:
        raise EmolibError(
            f"{name}: not a whole JPEG image ({error});"
            " restore the file or delete it (a missing face)"
        ) from error


def read_jpeg(path: Path) -> np.ndarray:
    """:func:`decode_jpeg` of a file; raises EmolibError when it is missing or damaged."""
    try:
        if check_regular(path).st_size > 3 * MAX_PIXELS:
            raise EmolibError(f"{path}: too large for a JPEG image; replace the file or delete it")
        content = Path(path).read_bytes()
    except OSError as error:
        raise EmolibError(f"{path}: cannot be read ({error.strerror})") from error
    return decode_jpeg(content, str(path))
