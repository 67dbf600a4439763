"""Find the faces of picture after picture: the whole picture now and then, in between only around
the faces that are known.

The detector takes half of the time of a video when it sees each whole picture. Around a known face
it sees 128 x 128 pixels, a small face even enlarged.
"""

import cv2
import numpy as np

from emolib.video.detection import LONGEST, THOROUGH, Face, FaceFinder, overlap
from emolib.video.scaling import shrunk

EVERY = 10  # pictures from one thorough search to the next: a third of a second
REGION = 2.0  # side of the square around a known face, in sides of the face
NEAR = 128  # pixels of that square that the detector sees
STILL_KNOWN = 30  # pictures that a face is looked for where it was last seen
MANY = 32  # known faces from which on one thorough search takes no longer than looking at each
SAME = 0.3  # overlap from which a face found around a known one is that one


class FaceSearch:
    """The faces of each picture in turn.

    A face that appears beside a known one is found with the next thorough search; where nobody is
    known or somebody has just been lost, every whole picture is searched. In a crowd of more than
    MANY only whole pictures are searched, so a picture's time does not grow with its faces.
    """

    def __init__(self, finder: FaceFinder, size: int = THOROUGH) -> None:
        self.finder, self.size = finder, size
        self.known: list[tuple[Face, int]] = []  # and pictures since it was seen
        self.since = EVERY  # pictures since the last thorough search

    def __call__(self, image: np.ndarray, *, is_cut: bool = False) -> list[Face]:
        """The faces in ``image`` (RGB uint8 ``[H, W, 3]``), the largest first.

        ``is_cut``: it is the first of another shot.
        """
        if is_cut:
            self.known = []
        crowded = len(self.known) > MANY
        around = [] if crowded else [self.near(image, face) for face, _ in self.known]
        faces = [face for face in around if face is not None]
        self.since += 1
        thorough = is_cut or crowded or self.since >= EVERY
        if thorough or not faces or len(faces) < len(self.known):
            found = self.finder.faces(image, self.size if thorough else LONGEST)
            new = [face for face in found if not any(overlap(face, one) > SAME for one in faces)]
            faces += new if len(new) > MANY else [self.near(image, face) or face for face in new]
            self.since = 0 if thorough else self.since
        faces = distinct(faces)
        lost = [
            (face, missed + 1)
            for face, missed in self.known
            if missed < STILL_KNOWN and not any(overlap(face, one) > SAME for one in faces)
        ]
        self.known = [(face, 0) for face in faces] + lost
        return faces

    def near(self, image: np.ndarray, known: Face) -> Face | None:
        """The face in the square around ``known`` that lies where it lay; None where there is
        none.
        """
        x, y, width, height = known.box
        side = max(8.0, REGION * max(width, height))
        corner = np.array([x + width / 2 - side / 2, y + height / 2 - side / 2])
        faces = [
            placed(face, corner, side / NEAR, image)
            for face in self.finder.faces(patch(image, corner, side), NEAR)
        ]
        best = max(faces, key=lambda face: overlap(face, known), default=None)
        return best if best is not None and overlap(best, known) > SAME else None


def patch(image: np.ndarray, corner: np.ndarray, side: float) -> np.ndarray:
    """The square of ``side`` pixels from ``corner`` (x, y) on, black where ``image`` ends:
    uint8 ``[NEAR, NEAR, 3]``.
    """
    size = np.array([image.shape[1], image.shape[0]])
    first = np.floor(corner).astype(int).clip(0, size - 1)
    last = np.ceil(corner + side).astype(int).clip(first + 1, size)
    part = image[first[1] : last[1], first[0] : last[0]]
    factor = max(1, int(side / NEAR))
    small = shrunk(part, factor)
    scale = NEAR / side * (factor if small is not part else 1)
    shift = scale / 2 - 0.5 + (first - corner) * NEAR / side  # of the first pixel's centre
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(small, matrix, (NEAR, NEAR), flags=cv2.INTER_LINEAR)


def placed(face: Face, corner: np.ndarray, scale: float, image: np.ndarray) -> Face:
    """``face`` of a part of ``image`` that begins at ``corner`` and was made smaller by ``scale``,
    in pixels of the whole, its box inside.
    """
    size = np.array([image.shape[1], image.shape[0]])
    first = np.clip(np.array(face.box[:2]) * scale + corner, 0, size)
    last = np.clip((np.array(face.box[:2]) + face.box[2:]) * scale + corner, 0, size)
    box = (*first.tolist(), *(last - first).tolist())
    return Face(box=box, points=face.points * scale + corner, score=face.score)


def distinct(faces: list[Face]) -> list[Face]:
    """Each face once, the largest first."""
    result: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.area):
        if face.area > 0 and not any(overlap(face, one) > SAME for one in result):
            result.append(face)
    return result
