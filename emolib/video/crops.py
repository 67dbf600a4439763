"""Cut faces out as the training crops are cut: 112 x 112 pixels.

``cropped_aligned``: by the similarity transform of the face's five points onto the usual 112-pixel
template, as Aff-Wild2's own crops. ``cropped``: an upright square around the box.
"""

import cv2
import numpy as np

from emolib.errors import WrongCall
from emolib.video.detection import Face
from emolib.video.scaling import shrunk

CROP = 112  # pixels, Aff-Wild2's
LOOSE = 1.3  # side of a `cropped` square in box sides

# Where the five points lie in an aligned crop of 112 x 112 (the template of
# ArcFace's and RetinaFace's alignment).
TEMPLATE = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ],
    dtype=np.float64,
)


def crop(image: np.ndarray, face: Face, kind: str = "cropped_aligned") -> np.ndarray:
    """``face`` cut out of ``image`` (RGB uint8): uint8 ``[112, 112, 3]``,
    black where the frame ends.

    ``kind`` as ``Experiment.crops``. Raises WrongCall for another one.
    """
    if kind == "cropped_aligned":
        matrix = similarity(face.points, TEMPLATE)
    elif kind == "cropped":
        x, y, width, height = face.box
        scale = CROP / (LOOSE * max(width, height))
        matrix = np.array(
            [
                [scale, 0, CROP / 2 - scale * (x + width / 2)],
                [0, scale, CROP / 2 - scale * (y + height / 2)],
            ]
        )
    else:
        raise WrongCall(f"crops={kind!r}: choose cropped_aligned or cropped")
    image, matrix = around_crop(image, matrix)
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    # warpAffine samples 2 x 2 pixels: a large face is made smaller by area first, or it flickers.
    factor = int(np.ceil(0.5 / zoom))
    small = shrunk(image, factor)
    if small is not image:
        shift = matrix[:, :2] @ np.full(2, (factor - 1) / 2)  # the first pixel's centre moves
        matrix = np.column_stack([matrix[:, :2] * factor, matrix[:, 2] + shift])
    return cv2.warpAffine(small, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR)


def around_crop(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of ``image`` that ``matrix`` brings into the crop, and the matrix for that part.

    The rest of a large picture need not be made smaller.
    """
    corners = np.array([[0, 0], [CROP, 0], [0, CROP], [CROP, CROP]], float)
    sides = matrix[:, :2]
    if np.linalg.det(sides) == 0:
        return image, matrix
    seen = np.linalg.solve(sides, (corners - matrix[:, 2]).T).T
    margin = 2 + 2 * np.ptp(seen, axis=0).max() / CROP  # pixels that interpolation reaches
    size = np.array([image.shape[1], image.shape[0]])
    first = np.floor(seen.min(axis=0) - margin).astype(int).clip(0, size - 1)
    last = np.ceil(seen.max(axis=0) + margin).astype(int).clip(first + 1, size)
    part = image[first[1] : last[1], first[0] : last[0]]
    return part, np.column_stack([sides, matrix[:, 2] + sides @ first])


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and shift, float64 ``[2, 3]``, that bring ``points`` ``[n, 2]``
    nearest to ``target``.

    Least squares without reflection (Umeyama 1991), written with complex numbers:
    target = a * points + b.
    """
    z, w = points @ [1, 1j], target @ [1, 1j]
    centred = z - z.mean()
    spread = float((np.abs(centred) ** 2).sum())
    a = (centred.conj() * (w - w.mean())).sum() / spread if spread > 0 else 1.0 + 0j
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def whole_crop(image: np.ndarray) -> np.ndarray:
    """A picture that is a face crop already, uint8 ``[112, 112, 3]``."""
    if image.shape == (CROP, CROP, 3):
        return image.copy()
    return cv2.resize(image, (CROP, CROP), interpolation=cv2.INTER_AREA)
