"""Faces of acted recordings, found and cut out once: crops where Aff-Wild2 has its own
(docs/data.md, Acted recordings).
"""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import simplejpeg
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.datasets import collection_of
from emolib.data.media import StreamReport
from emolib.data.recordings import Recording, find_recordings
from emolib.errors import EmolibError, WrongCall
from emolib.system.files import few
from emolib.system.locks import locked
from emolib.video.choice import FaceChoice
from emolib.video.detection import FaceFinder, detector_file
from emolib.video.reading import read_frames

QUALITY = 95  # of a JPEG; what is lost is less than a video's own coding loses


@dataclass
class Cropped:
    """What was done: recordings with pictures, those cropped now, frames and faces in them."""

    recordings: int = 0
    now: int = 0
    frames: int = 0
    faces: int = 0
    faceless: list[str] = field(default_factory=list)  # ids without a face in any frame
    damaged: list[str] = field(default_factory=list)  # what went wrong, with the file

    def text(self) -> str:
        """For the console."""
        if not self.recordings:
            return "nothing to crop: these recordings have no pictures, they are sound alone"
        lines = [
            f"{self.recordings} recordings with pictures, {self.now} cropped now:"
            f" {self.faces} faces in {self.frames} frames"
        ]
        if self.faceless:
            lines.append(f"no face in {len(self.faceless)} of them: {few(self.faceless)}")
        return "\n".join(lines)


def crop_recordings(
    experiment: Experiment, detector: Path | None = None, *, progress: bool = True
) -> Cropped:
    """Cut one face out of every frame of every video of ``experiment.data``, as
    ``<crops>/<id>/{frame:05d}.jpg``, 112 x 112 pixels; a frame without a face has no image.

    A recording is written as a whole or not at all, and one that is there is not done again, so a
    stopped call goes on where it was; a second call waits for the first. ``detector``: the YuNet
    file; None: the hub's cache. Raises WrongCall for Aff-Wild2, whose crops come with it, and
    EmolibError for a missing detector and, after all others are done, for videos that cannot be
    decoded.
    """
    collection = collection_of(experiment.dataset)
    if collection is None:
        raise WrongCall("the crops of Aff-Wild2 come with it; choose ravdess or crema_d")
    root = Path(experiment.data)
    found = find_recordings(collection, root, links_out=experiment.links_out)
    videos = [recording for recording in found if not recording.sound_alone]
    target, result = root / experiment.crops, Cropped(recordings=len(videos))
    if not _missing(videos, target):
        return result
    finder = FaceFinder(detector_file(detector))
    with locked(target / ".lock"):
        missing = _missing(videos, target)  # another call may have cropped them meanwhile
        bar = tqdm(missing, desc="crop faces", unit="recording", disable=not progress)
        for recording in bar:
            try:
                _crop(recording, target, finder, experiment.crops, result)
            except EmolibError as error:
                result.damaged.append(str(error))
    if result.damaged:
        raise EmolibError(
            f"{len(result.damaged)} damaged files, all others are cropped:"
            f" {few(result.damaged, '; ')}"
        )
    return result


def _missing(videos: list[Recording], target: Path) -> list[Recording]:
    """Those without a folder of crops in ``target``."""
    return [video for video in videos if not (target / video.path.stem).is_dir()]


def _crop(
    recording: Recording, target: Path, finder: FaceFinder, kind: str, result: Cropped
) -> None:
    """Write the crops of one recording and rename their folder when it is complete."""
    choose, report = FaceChoice("tracked", finder, kind), StreamReport()
    frames = faces = 0
    with tempfile.TemporaryDirectory(prefix=".cropping-", dir=target) as folder:
        place = Path(folder) / recording.path.stem
        place.mkdir()
        for number, time, image in read_frames(recording.path, report):
            frames = number
            for _, _, face in choose(time, image):
                encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(face), quality=QUALITY)
                (place / f"{number:05d}.jpg").write_bytes(encoded)
                faces += 1
        if report.packets_lost or report.cut or report.stopped:
            raise EmolibError(f"{recording.path}: damaged or cut; download it again")
        place.rename(target / recording.path.stem)
    result.now, result.frames, result.faces = (
        result.now + 1,
        result.frames + frames,
        result.faces + faces,
    )
    if not faces:
        result.faceless.append(recording.path.stem)
