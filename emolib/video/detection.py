"""Find faces in video frames, follow them, and cut them out as the training crops are cut.

Detection is OpenCV's YuNet (box, score and five points: the subject's right eye, left eye, nose, right and left mouth
corner). Crops are 112 x 112: ``cropped_aligned`` by the similarity transform of the five points onto the usual 112-pixel
template, as Aff-Wild2's own; ``cropped`` an upright square around the box.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from emolib.errors import EmolibError, WrongCall

CROP = 112  # pixels, Aff-Wild2's
HUB_DETECTOR = ("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx")
GET = f"get {HUB_DETECTOR[1]} of {HUB_DETECTOR[0]} from the Hugging Face hub"
LFS = b"version https://git-lfs"  # how a Git-LFS pointer begins, which a clone without git-lfs and a plain download bring instead of a file
MIN_SCORE = 0.6  # finds every face of the real test clips and nothing else there
LONGEST = 480  # pixels of the longer side that the detector sees: four times as fast as 960, faces from 12 of them on
LOST_AFTER = 1.0  # seconds without a match until a track ends
LOOSE = 1.3  # side of a `cropped` square in box sides

# Where the five points lie in an aligned crop of 112 x 112 (the template of ArcFace's and RetinaFace's alignment).
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


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one frame, in pixels of the whole upright frame."""

    box: tuple[
        float, float, float, float
    ]  # x, y of the upper left corner, width, height; inside the frame
    points: np.ndarray  # float64 [5, 2]
    score: float  # 0..1

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]


def detector_file(given: Path | str | None) -> Path:
    """The YuNet model: ``given``, else the hub's offline cache; raises EmolibError saying how to get it."""
    if given is not None:
        if not Path(given).is_file():
            raise EmolibError(
                f"{given}: no such face detector; --detector takes the YuNet model file (.onnx)"
            )
        return Path(given)
    from huggingface_hub import try_to_load_from_cache

    repository, name = HUB_DETECTOR
    cached = try_to_load_from_cache(repository, name)
    if not isinstance(cached, str):
        raise EmolibError(f"no face detector: {GET} and give it with --detector FILE")
    return Path(cached)


class FaceFinder:
    """YuNet on single frames. Raises EmolibError when ``model`` is not a YuNet file, or only the Git-LFS pointer to one."""

    def __init__(
        self, model: Path, *, min_score: float = MIN_SCORE, longest: int = LONGEST
    ) -> None:
        self.model, self.longest = model, longest
        self.size = (longest, longest)
        try:
            with open(model, "rb") as file:
                if file.read(len(LFS)) == LFS:
                    raise EmolibError(
                        f"{model}: a Git-LFS pointer, not the detector itself; run `git lfs pull` in the clone it comes from, or {GET} "
                        f"(`hf download {' '.join(HUB_DETECTOR)}`)"
                    )
            with _quiet():
                self.detector = cv2.FaceDetectorYN.create(str(model), "", self.size, min_score)
                self.detector.detect(np.zeros((longest, longest, 3), np.uint8))
        except (cv2.error, OSError) as error:
            raise EmolibError(
                f"{model}: not a YuNet face detector that OpenCV {cv2.__version__} can run; {GET}"
            ) from error

    def faces(self, image: np.ndarray) -> list[Face]:
        """The faces in an RGB uint8 ``[H, W, 3]`` image, the largest first."""
        height, width = image.shape[:2]
        scale = min(1.0, self.longest / max(height, width))
        small = cv2.resize(
            image,
            (max(1, round(width * scale)), max(1, round(height * scale))),
            interpolation=cv2.INTER_AREA,
        )
        small = _padded(small)
        if self.size != small.shape[1::-1]:
            self.size = small.shape[1::-1]
            self.detector.setInputSize(self.size)
        found = self.detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        faces = [
            _face(row.astype(np.float64), scale, width, height)
            for row in (found if found is not None else [])
        ]
        return sorted((face for face in faces if face.area > 0), key=lambda face: -face.area)


def _padded(image: np.ndarray, least: int = 64) -> np.ndarray:
    """With black to the right and below where a side is too short for the detector's coarsest grid."""
    height, width = image.shape[:2]
    if min(height, width) >= least:
        return image
    return np.pad(image, ((0, max(0, least - height)), (0, max(0, least - width)), (0, 0)))


def _face(row: np.ndarray, scale: float, width: int, height: int) -> Face:
    """A row of YuNet's output (x, y, w, h, five points, score), scaled back and its box clipped to the frame."""
    left, top = np.clip(row[:2] / scale, 0, [width, height])
    right, bottom = np.clip((row[:2] + row[2:4]) / scale, 0, [width, height])
    box = (float(left), float(top), float(right - left), float(bottom - top))
    return Face(box=box, points=row[4:14].reshape(5, 2) / scale, score=float(row[14]))


@contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV 5 warns at every load that its new engine has no targets to choose from."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


@dataclass
class Tracker:
    """Gives each face the number of the person it belongs to: 1, 2, ... in order of appearance, never reused.

    A face continues the open track whose last box it overlaps most (intersection over union at least 0.3), else the
    nearest one of similar size whose centre is within half a face; a track without a match for a second ends.
    """

    lost_after: float = LOST_AFTER
    count: int = 0
    open: dict[int, tuple[float, tuple[float, float, float, float]]] = field(
        default_factory=dict
    )  # id -> (last seen, box)

    def update(self, time: float, faces: list[Face]) -> list[int]:
        """The track number of each of ``faces``, seen at ``time`` seconds; times must not decrease."""
        self.open = {
            track: seen for track, seen in self.open.items() if time - seen[0] <= self.lost_after
        }
        pairs = [
            (_likeness(seen[1], face.box), track, i)
            for track, seen in self.open.items()
            for i, face in enumerate(faces)
        ]
        numbers: dict[int, int] = {}
        for likeness, track, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if likeness > 0 and i not in numbers and track not in numbers.values():
                numbers[i] = track
        for i in range(len(faces)):
            if i not in numbers:
                self.count += 1
                numbers[i] = self.count
            self.open[numbers[i]] = (time, faces[i].box)
        return [numbers[i] for i in range(len(faces))]


def _likeness(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """How surely two boxes are one face: 1 + overlap, or 1 - distance of the centres in faces, or 0 for not at all."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    common = max(across, 0.0) * max(down, 0.0)
    overlap = common / (a[2] * a[3] + b[2] * b[3] - common)
    if overlap >= 0.3:
        return 1 + overlap
    sizes = sorted([(a[2] * a[3]) ** 0.5, (b[2] * b[3]) ** 0.5])
    apart = (
        float(np.hypot(a[0] + a[2] / 2 - b[0] - b[2] / 2, a[1] + a[3] / 2 - b[1] - b[3] / 2))
        / sizes[1]
    )
    return 1 - apart if apart < 0.5 and sizes[1] < 2 * sizes[0] else 0.0


def crop(image: np.ndarray, face: Face, kind: str = "cropped_aligned") -> np.ndarray:
    """``face`` cut out of ``image`` (RGB uint8): uint8 ``[112, 112, 3]``, black where the frame ends.

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
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if (
        zoom < 0.5
    ):  # warpAffine samples 2 x 2 pixels: a large face is first made smaller by area, or it would flicker
        shape = (max(1, round(image.shape[1] * 2 * zoom)), max(1, round(image.shape[0] * 2 * zoom)))
        ratio = np.array([shape[0] / image.shape[1], shape[1] / image.shape[0]])
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        shift = matrix[:, :2] @ (0.5 / ratio - 0.5)  # the centre of the first pixel moves
        matrix = np.column_stack([matrix[:, :2] / ratio, matrix[:, 2] + shift])
    return cv2.warpAffine(image, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR)


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, uniform scale and shift, float64 ``[2, 3]``, that bring ``points`` ``[n, 2]`` nearest to ``target``.

    Least squares without reflection (Umeyama 1991), written with complex numbers: target = a * points + b.
    """
    z, w = points @ [1, 1j], target @ [1, 1j]
    centred = z - z.mean()
    spread = float((np.abs(centred) ** 2).sum())
    a = (centred.conj() * (w - w.mean())).sum() / spread if spread > 0 else 1.0 + 0j
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
