"""Generated faces: a cartoon head at 112x112 whose expression, pitch and identity are all known.

Seven expression parameters carry the class group; the head's pitch carries motion and nothing else;
the rest (identity, yaw, roll, light, blinks, sensor noise) is nuisance. Drawn by OpenCV with
sub-pixel, anti-aliased polygons.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

SIZE = 112  # pixels, as Aff-Wild2's cropped_aligned
SHIFT = 4  # OpenCV's fixed point: 1/16 pixel
PITCH_PIXELS = 6.0  # displacement of the features at pitch 1
PARAMETERS = (
    "mouth_curve",
    "mouth_open",
    "mouth_width",
    "brow_raise",
    "brow_slant",
    "eye_open",
    "cheek",
)

# A still face shows one of five groups: two single classes and three pairs (docs/benchmark.md,
# Known answers).
GROUPS = (
    ("Neutral",),
    ("Happiness",),
    ("Anger", "Disgust"),
    ("Fear", "Surprise"),
    ("Sadness", "Other"),
)
PROTOTYPES = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 0.3, 0.7, 0.1, 0.0, -0.3, 1.0],
        [-0.3, 0.0, -0.3, -0.9, -1.0, -0.5, 0.6],
        [0.0, 1.0, -0.2, 1.0, 0.3, 1.0, 0.0],
        [-1.0, 0.0, -0.1, 0.2, 1.0, -0.4, 0.0],
    ]
)


@dataclass(frozen=True)
class Identity:
    """What stays the same about one person; lengths in pixels, colours RGB 0..255."""

    skin: np.ndarray
    hair: np.ndarray
    background: np.ndarray
    iris: np.ndarray
    head: tuple[float, float]  # half width, half height
    eye_distance: float
    eye_size: float
    brow_thickness: float
    nose: float
    mouth: float
    hair_line: float
    beard: float
    glasses: bool


def draw_identity(rng: np.random.Generator) -> Identity:
    """A random person."""
    tone = rng.uniform(0, 1)
    skin = (
        (1 - tone) * np.array([245, 208, 180])
        + tone * np.array([110, 72, 50])
        + rng.normal(0, 6, 3)
    )
    return Identity(
        skin=skin,
        hair=rng.uniform(0.2, 1)
        * np.array([rng.uniform(30, 150), rng.uniform(25, 110), rng.uniform(20, 80)]),
        background=rng.uniform(30, 220, 3),
        iris=np.array([[70, 45, 25], [60, 90, 130], [70, 100, 60]][rng.integers(3)], float),
        head=(rng.uniform(37, 43), rng.uniform(47, 53)),
        eye_distance=rng.uniform(15.5, 19.5),
        eye_size=rng.uniform(6.5, 8.2),
        brow_thickness=rng.uniform(1.5, 3.2),
        nose=rng.uniform(9, 14),
        mouth=rng.uniform(12, 15),
        hair_line=rng.uniform(0.52, 0.72),
        beard=float(rng.choice([0, 0, 0.35, 0.7])),
        glasses=bool(rng.random() < 0.2),
    )


@dataclass(frozen=True)
class Pose:
    """Nuisances of one frame; pitch is the motion coordinate (1 = raised, -1 = lowered,
    in units of PITCH_PIXELS).
    """

    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0  # radians
    light: float = 0.0  # -1 from the left .. 1 from the right
    blink: float = 0.0  # 1 closed


@lru_cache(maxsize=1)
def _unit_circle() -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1)


@lru_cache(maxsize=1)
def _noise_tiles() -> np.ndarray:
    # Sensor noise is cut from fixed tiles at a random offset:
    # drawing it anew would cost more than the face.
    return np.random.default_rng(0).normal(0, 2.0, (256, 256, 1)).astype(np.float32)


class _Canvas:
    """An image and the head's frame of reference: (x right,
    y down) from the middle of the face, rolled.
    """

    def __init__(self, identity: Identity, pose: Pose):
        self.image = np.empty((SIZE, SIZE, 3), np.uint8)
        self.image[:] = identity.background
        c, s = np.cos(pose.roll), np.sin(pose.roll)
        self.turn = np.array([[c, s], [-s, c]])
        self.centre = np.array([56.0 + 2 * pose.yaw, 58.0])

    def points(self, points: np.ndarray) -> np.ndarray:
        return np.round((points @ self.turn + self.centre) * (1 << SHIFT)).astype(np.int32)

    def fill(self, points: np.ndarray, colour: np.ndarray) -> None:
        cv2.fillPoly(self.image, [self.points(points)], colour.tolist(), cv2.LINE_AA, SHIFT)

    def line(self, points: np.ndarray, colour: np.ndarray, thickness: float) -> None:
        cv2.polylines(
            self.image,
            [self.points(points)],
            False,
            colour.tolist(),
            max(1, round(thickness)),
            cv2.LINE_AA,
            SHIFT,
        )

    def ellipse(
        self, centre: tuple[float, float], half: tuple[float, float], colour: np.ndarray
    ) -> None:
        self.fill(_unit_circle() * half + centre, colour)


def render(
    identity: Identity, expression: np.ndarray, pose: Pose, rng: np.random.Generator
) -> np.ndarray:
    """One face, RGB uint8 ``[112, 112, 3]``;
    ``expression`` holds the seven PARAMETERS, about -1..1.
    """
    canvas = _Canvas(identity, pose)
    width, height = identity.head
    canvas.ellipse((0, -6), (width + 4, height + 3), identity.hair)
    canvas.ellipse((0, 0), (width, height), identity.skin)
    canvas.fill(_hair_line(identity), identity.hair)
    # Turning the head moves the features over its outline.
    middle = np.array([6.0 * pose.yaw, -PITCH_PIXELS * pose.pitch])
    if identity.beard:
        beard = identity.skin * (1 - identity.beard) + identity.hair * identity.beard
        canvas.ellipse((middle[0], 30 + 0.5 * middle[1]), (width * 0.7, 15), beard)
    _eyes(canvas, identity, expression, pose, middle)
    _nose_and_cheeks(canvas, identity, expression, middle)
    _mouth(canvas, identity, expression, middle)
    return _develop(canvas.image, pose, rng)


def _hair_line(identity: Identity) -> np.ndarray:
    width, height = identity.head
    x = np.linspace(-1, 1, 9)
    top = np.stack([x * (width + 3), -height * np.sqrt(np.maximum(0, 1.15 - x**2)) - 4], 1)
    fringe = np.stack(
        [
            x[::-1] * width,
            -height * identity.hair_line * np.sqrt(np.maximum(0.0, 1.02 - x[::-1] ** 2)),
        ],
        1,
    )
    return np.concatenate([top, fringe])


def _eyes(
    canvas: _Canvas, identity: Identity, expression: np.ndarray, pose: Pose, middle: np.ndarray
) -> None:
    brow_raise, brow_slant, eye_open = expression[3:6]
    opening = identity.eye_size * 0.62 * (1 + 0.55 * eye_open) * (1 - pose.blink)
    for side in (-1, 1):
        eye = middle + (side * identity.eye_distance, -9)
        canvas.ellipse(
            tuple(eye), (identity.eye_size, max(0.7, opening)), np.array([240.0, 240, 240])
        )
        if opening > 1.5:
            radius = min(3.4, opening)
            canvas.ellipse(tuple(eye), (3.4, radius), identity.iris)
            canvas.ellipse(tuple(eye), (1.6, min(1.6, radius)), np.zeros(3))
        # brow_slant raises the inner end (sadness) or lowers it (anger)
        inner, outer = (
            eye[1] - 11 - 4 * brow_raise - 4 * brow_slant,
            eye[1] - 11 - 4 * brow_raise + 3 * brow_slant,
        )
        brow = np.array(
            [
                [eye[0] - side * 7, inner],
                [eye[0], (inner + outer) / 2 - 1.5],
                [eye[0] + side * 8, outer],
            ]
        )
        canvas.line(brow, identity.hair * 0.6, identity.brow_thickness)
        if identity.glasses:
            canvas.line(_unit_circle()[np.r_[:24, 0]] * 10.5 + eye, np.full(3, 40.0), 1)


def _nose_and_cheeks(
    canvas: _Canvas, identity: Identity, expression: np.ndarray, middle: np.ndarray
) -> None:
    shade = identity.skin * 0.72
    tip = middle * 1.25 + (0, -4 + identity.nose)
    canvas.line(np.array([middle + (-1.5, -4), tip + (-4, 0), tip, tip + (4, 0)]), shade, 1.6)
    cheek = expression[6]
    if cheek > 0.15:
        for side in (-1, 1):
            fold = np.array(
                [tip + (side * 7, -2), tip + (side * 12, 5 - 2 * cheek), tip + (side * 14, 11)]
            )
            canvas.line(fold, identity.skin * (1 - 0.35 * cheek), 1.5)


def _mouth(canvas: _Canvas, identity: Identity, expression: np.ndarray, middle: np.ndarray) -> None:
    curve, opening, wide = expression[:3]
    centre = middle + (0, 24)
    half = identity.mouth * (1 + 0.25 * wide)
    x = np.linspace(-1, 1, 9)
    lips = np.stack([half * x, -6.0 * curve * (x**2 - 0.4)], 1)
    gap = np.maximum(0, 1.4 + 7.5 * max(0.0, opening)) * (1 - x**2)
    canvas.fill(
        centre
        + np.concatenate(
            [lips - [[0, 1]] * np.c_[gap * 0.5], (lips + [[0, 1]] * np.c_[gap])[::-1]]
        ),
        np.array([90.0, 20, 25]),
    )
    lip = identity.skin * [0.85, 0.5, 0.5]
    canvas.line(centre + lips - [[0, 1]] * np.c_[gap * 0.5], lip, 2)
    canvas.line(centre + lips + [[0, 1]] * np.c_[gap], lip, 2)


def _develop(image: np.ndarray, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Light from one side and sensor noise."""
    top, left = rng.integers(0, 256 - SIZE, 2)
    lit = image * (1 + 0.25 * pose.light * np.linspace(-1, 1, SIZE, dtype=np.float32))[:, None]
    lit += _noise_tiles()[top : top + SIZE, left : left + SIZE]
    return cv2.convertScaleAbs(lit)


def draw_expression(group: int, rng: np.random.Generator, frames: int = 1) -> np.ndarray:
    """Expression parameters ``[frames, 7]`` of a group:
    intensity 0.75 to 1 (one per call) and small noise per frame.
    """
    return rng.uniform(0.75, 1.0) * PROTOTYPES[group] + rng.normal(
        0, 0.07, (frames, len(PARAMETERS))
    )
