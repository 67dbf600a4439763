"""Find faces in the frames of a video, by OpenCV's YuNet.

A face is a box, a score and five points: the subject's right eye, left eye, nose,
right and left mouth corner.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from emolib.errors import EmolibError
from emolib.video.scaling import shrunk

HUB_DETECTOR = ("opencv/face_detection_yunet", "face_detection_yunet_2023mar.onnx")
# Without a folder it goes into Hugging Face's cache, where emolib looks.
DOWNLOAD = f"hf download {' '.join(HUB_DETECTOR)}"
GET = f"get it: {DOWNLOAD}"
# how a Git-LFS pointer begins, which a clone without git-lfs and a plain
# download bring instead of a file
LFS = b"version https://git-lfs"
MIN_SCORE = 0.6  # finds every face of the real test clips and nothing else there
# Pixels of the longer side of a picture that the detector sees. It finds faces from about 12 of
# them on; 480 is four times as fast as 960, which shows a face of 40 pixels at 1080p.
LONGEST, THOROUGH = 480, 960
KEPT_SIZES = 8  # detectors that are ready, each for one size of picture


@dataclass(frozen=True, eq=False)
class Face:
    """One face in one frame, in pixels of the whole upright frame."""

    # Upper left corner (x, y), width and height; inside the frame.
    box: tuple[float, float, float, float]
    points: np.ndarray  # float64 [5, 2]
    score: float  # 0..1

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]


def detector_file(given: Path | str | None) -> Path:
    """The YuNet model: ``given``, else Hugging Face's cache on this machine;
    raises EmolibError saying how to get it.
    """
    if given is not None:
        if not Path(given).is_file():
            raise EmolibError(
                f"{given}: no such face detector; --detector takes the YuNet model file (.onnx); "
                f"{GET} (it is then found without --detector)"
            )
        return Path(given)
    from huggingface_hub import try_to_load_from_cache

    repository, name = HUB_DETECTOR
    cached = try_to_load_from_cache(repository, name)
    if not isinstance(cached, str):
        raise EmolibError(
            f"face detector {name!r}: not on this machine; {GET} (or give a file that you have "
            "with --detector FILE; a video that is a face already needs none: --faces whole)"
        )
    return Path(cached)


class FaceFinder:
    """YuNet on single frames. Raises EmolibError when ``model`` is not a YuNet file,
    or only the Git-LFS pointer to one.
    """

    def __init__(self, model: Path, *, min_score: float = MIN_SCORE) -> None:
        self.model, self.min_score = model, min_score
        self.detectors: dict[tuple[int, int], Any] = {}  # by the size of the picture
        try:
            with open(model, "rb") as file:
                if file.read(len(LFS)) == LFS:
                    raise EmolibError(
                        f"{model}: a Git-LFS pointer, not the detector itself; "
                        f"run `git lfs pull` in the clone it comes from, or {GET}"
                    )
            self._detector((64, 64)).detect(np.zeros((64, 64, 3), np.uint8))
        except (cv2.error, OSError) as error:
            raise EmolibError(
                f"{model}: not a YuNet face detector that OpenCV {cv2.__version__} can run; {GET}"
            ) from error

    def faces(self, image: np.ndarray, longest: int = LONGEST) -> list[Face]:
        """The faces in an RGB uint8 ``[H, W, 3]`` image, the largest first.

        ``longest``: pixels of its longer side that the detector sees, where it has more.
        """
        height, width = image.shape[:2]
        scale = min(1.0, longest / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(shrunk(image, int(1 / scale)), size, interpolation=cv2.INTER_AREA)
        small = _padded(small)
        detector = self._detector((small.shape[1], small.shape[0]))
        found = detector.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1]
        faces = [
            _face(row.astype(np.float64), scale, width, height)
            for row in (found if found is not None else [])
        ]
        return sorted((face for face in faces if face.area > 0), key=lambda face: -face.area)

    def _detector(self, size: tuple[int, int]) -> Any:
        """A detector for pictures of ``size`` (width, height): changing its size is slow."""
        if size not in self.detectors:
            if len(self.detectors) == KEPT_SIZES:
                del self.detectors[next(iter(self.detectors))]
            with _quiet():
                self.detectors[size] = cv2.FaceDetectorYN.create(
                    str(self.model), "", size, self.min_score
                )
        return self.detectors[size]


def overlap(a: Face, b: Face) -> float:
    """Intersection over union of two boxes that have an area."""
    across = min(a.box[0] + a.box[2], b.box[0] + b.box[2]) - max(a.box[0], b.box[0])
    down = min(a.box[1] + a.box[3], b.box[1] + b.box[3]) - max(a.box[1], b.box[1])
    common = max(across, 0.0) * max(down, 0.0)
    return common / (a.area + b.area - common)


def _padded(image: np.ndarray, least: int = 64) -> np.ndarray:
    """With black to the right and below where a side is too short for the
    detector's coarsest grid.
    """
    height, width = image.shape[:2]
    if min(height, width) >= least:
        return image
    return np.pad(image, ((0, max(0, least - height)), (0, max(0, least - width)), (0, 0)))


def _face(row: np.ndarray, scale: float, width: int, height: int) -> Face:
    """A row of YuNet's output (x, y, w, h, five points, score),
    scaled back and its box clipped to the frame.
    """
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
