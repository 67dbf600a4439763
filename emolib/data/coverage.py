"""What share of the frames that count has a face: the one judgement of doctor, reader and
submission.

The frames that count are a training or validation clip's annotated frames, and every row of a test
clip. In the official release 98.0 % of them have a face in train and 98.7 % in validation
(docs/data.md). A clip or a split with much less is one whose crops were not downloaded or unpacked
as a whole: a model trained on it, or a submission filled from it, would look complete. Reading
therefore stops, unless ``min_face_share`` says that it may go on.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from emolib.data.clip import Clip
from emolib.data.kinds import SOUND_ALONE
from emolib.data.official import FACE_SHARES, OFFICIAL
from emolib.errors import EmolibError
from emolib.system.files import few

MIN_FACE_SHARE = 0.5  # of a clip and of a split; the default of the setting
ENDS_EARLY = 0.1  # share of a clip's frames after its last face that no longer happens by itself


class Shortfall(NamedTuple):
    """A clip or split with too few faces;
    ``kind`` is the name under which the doctor reports it.
    """

    kind: str
    where: str
    what: str


@dataclass(frozen=True)
class Coverage:
    """How many of one clip's frames that count have a face."""

    id: str
    split: str
    frames: int  # that count
    faces: int  # of these
    after: int  # frames that count after the last face
    last: int  # number of the last frame with a face, 0 without one

    @classmethod
    def of(cls, clip_id: str, split: str, labels: np.ndarray, present: np.ndarray) -> "Coverage":
        """``labels`` int8 [n], ``present`` bool [n]; of a test clip every frame counts."""
        counts = np.ones(len(present), bool) if split == "test" else labels >= 0
        last = int(np.flatnonzero(present).max(initial=-1)) + 1
        faces = int((counts & present).sum())
        return cls(clip_id, split, int(counts.sum()), faces, int(counts[last:].sum()), last)

    def shortfall(self, least: float) -> Shortfall | None:
        """What is wrong where fewer than ``least`` of the clip's frames have a face, or its images
        end early; None where nothing is.
        """
        if least == 0 or (not self.frames and self.split != "test"):
            return None
        if not self.faces:
            return Shortfall("no-images", self.id, f"no image of its {self.frames:,} frames")
        if self.after > ENDS_EARLY * self.frames:
            what = (
                f"the images end at frame {self.last},"
                f" {self.after:,} of {self.frames:,} frames before the end"
            )
            return Shortfall("images-end-early", self.id, what)
        if self.faces < least * self.frames:
            what = f"{self.faces:,} of {self.frames:,} frames have an image"
            return Shortfall("few-faces", self.id, what)
        return None


def coverage_of(clips: Iterable[Clip]) -> list[Coverage]:
    """Of each clip."""
    return [Coverage.of(clip.id, clip.split, clip.labels, clip.face_present) for clip in clips]


def face_shares(coverages: Iterable[Coverage]) -> dict[str, float]:
    """Share of the frames that count with a face, for each split that has any."""
    frames: dict[str, int] = {}
    faces: dict[str, int] = {}
    for one in coverages:
        frames[one.split] = frames.get(one.split, 0) + one.frames
        faces[one.split] = faces.get(one.split, 0) + one.faces
    return {split: faces[split] / count for split, count in frames.items() if count}


def shortfalls(coverages: list[Coverage], least: float = MIN_FACE_SHARE) -> list[Shortfall]:
    """Splits of which less than ``least`` of the frames that count has a face, and such clips of
    the other splits.
    """
    short = {split: share for split, share in face_shares(coverages).items() if share < least}
    splits = []
    for split, share in short.items():
        clips = [one for one in coverages if one.split == split]
        without = sum(not one.faces for one in clips)
        what = f"{share:.0%} of the frames have an image, {without} of {len(clips)} clips have none"
        splits.append(Shortfall("split-few-faces", split, what))
    of_clips = [one.shortfall(least) for one in coverages if one.split not in short]
    return splits + [shortfall for shortfall in of_clips if shortfall is not None]


def check_coverage(clips: Iterable[Clip], least: float = MIN_FACE_SHARE) -> dict[str, float]:
    """:func:`face_shares` of ``clips``; raises EmolibError, saying what to do, where there is a
    shortfall.
    """
    coverages = coverage_of(clips)
    short = shortfalls(coverages, least)
    if short and not any(one.faces for one in coverages):
        raise EmolibError(
            "too few faces: no frame of any clip has an image. Complete the crops (emolib doctor"
            " names every clip; emolib crop cuts them out of the videos of acted recordings), or"
            f" take the sound alone: --set {SOUND_ALONE}"
        )
    if short:
        told = few([f"{shortfall.where}: {shortfall.what}" for shortfall in short], "; ")
        raise EmolibError(
            f"too few faces: {told}. Complete the crops (emolib doctor names every clip), or go on"
            " with what there is: --set min_face_share=0, for a submission --min-face-share 0"
        )
    return face_shares(coverages)


def told_of_clips(clips: int) -> str:
    """For a caption: that fewer clips have annotations than in the official release; empty for as
    many. Training and validation clips together: how they are divided is a setting.
    """
    official = OFFICIAL["train"]["clips"] + OFFICIAL["validation"]["clips"]
    return f"{clips} of the {official} annotated clips" if clips < official else ""


def told(shares: dict[str, float]) -> str:
    """For a caption: splits with a smaller share than the official release; empty where none is."""
    return ", ".join(
        f"faces in {shares[split]:.1%} of the annotated {split} frames"
        f" (official release: {official:.1%})"
        for split, official in FACE_SHARES.items()
        if shares.get(split, 1.0) < official - 0.0005
    )
