"""Looking at a tree for ``emolib doctor``: every fault by its name (:mod:`emolib.data.kinds`), told
by clip.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from emolib.data import media
from emolib.data.affwild2 import (
    USUAL_DIFFERENCE,
    far_off,
    fit_times,
    image_folder,
    listed_for_test,
)
from emolib.data.annotations import BadFile, read_frame_rates, read_labels, read_template, source_id
from emolib.data.clip import ASSUMED_FPS
from emolib.data.coverage import Coverage, shortfalls
from emolib.data.index import LinkOut, TreeIndex
from emolib.data.kinds import KINDS
from emolib.data.layout import ANNOTATION_FOLDERS, SPLIT_FOLDERS, Layout, TwoCandidates
from emolib.errors import EmolibError
from emolib.system.files import few

SHORTER = 1.0  # seconds of sound missing at the end


class Examination:
    """What has been found so far. One method for each thing looked at, called in the order they
    stand here.
    """

    def __init__(self, root: Path, layout: Layout, *, full: bool) -> None:
        self.root, self.layout, self.full = Path(root), layout, full
        self.index = TreeIndex(layout.root, links_out=layout.links_out)
        self.problems: list[dict[str, Any]] = []
        self.clips: list[dict[str, Any]] = []
        self.labels: dict[str, np.ndarray] = {}  # int8 [n]
        self.faces: dict[str, np.ndarray] = {}  # bool [n]
        self.folders: dict[str, Path | None] = {}  # with the images that count
        self.coverages: list[Coverage] = []  # of clips whose images could be looked at
        self.known: set[str] = set()  # ids of every annotation file and of the test set
        self.test_clips_known = True  # False: the list or the template cannot be read
        self.test_rows: dict[str, int | None] = {}  # highest frame of the template
        self.rates: dict[str, float] = {}
        self.off_by_few: list[str] = []  # clips with one or two lines more or less than frames
        self.videos: dict[str, Path | None] = {}  # by id; None: there is none, or two
        self.decoded: dict[Path, np.ndarray | None] = {}
        self.sounds: dict[Path, bool | None] = {}

    def found(self, kind: str, where: Path | str, what: str, count: int = 1) -> None:
        """Add a problem of ``kind`` at ``where`` (a path is told relative to the tree)."""
        severity, advice = KINDS[kind]
        place = os.path.relpath(where, self.root) if isinstance(where, Path) else where
        self.problems.append(
            {
                "kind": kind,
                "severity": severity,
                "where": place,
                "what": what,
                "do": advice,
                "count": count,
            }
        )

    def refused(self, kind: str, where: Path | str, error: EmolibError) -> None:
        """A refusal of the reader becomes a problem, of the error's own kind or of ``kind``."""
        self.found(kind_of(error, kind), where, str(error))

    def annotations(self) -> list[tuple[str, str]]:
        """(split, id) of every clip whose labels could be read."""
        folder = self.layout.annotations
        assert folder is not None  # find_layout was asked for them
        if folder.name == ANNOTATION_FOLDERS[1]:
            self.found(
                "older-annotation-folder", folder, "the annotation folder has its older name"
            )
        split_of: dict[str, str] = {}
        for split in SPLIT_FOLDERS:
            try:
                files = self.layout.labels_of(split)
            except EmolibError as error:
                self.refused("not-a-tree", folder / SPLIT_FOLDERS[split], error)
                continue
            for file in files:
                if file.stem in split_of:
                    self.found(
                        "id-in-both-splits",
                        file,
                        f"{file.stem} is annotated for {split_of[file.stem]} as well",
                    )
                elif self._labels(file):
                    split_of[file.stem] = split
                self.known.add(file.stem)
        return [(split, clip_id) for clip_id, split in split_of.items()]

    def _labels(self, file: Path) -> bool:
        try:
            labels = read_labels(self.layout.inside(file))
        except EmolibError as error:
            self.refused("unreadable-file", file, error)
            return False
        raw = file.read_bytes()
        if raw.startswith(b"\xef\xbb\xbf"):
            self.found("byte-order-mark", file, "the file begins with a byte order mark")
        if b"\r\n" in raw:
            self.found("crlf", file, "the file has CRLF line ends")
        if (labels < 0).all():
            self.found("nothing-annotated", file, "every label is -1")
        self.labels[file.stem] = labels
        return True

    def test_set(self) -> list[tuple[str, str]]:
        """(split, id) of the test clips, when there is a list or a template."""
        if not self.layout.test_lists and not self.layout.templates:
            return []
        try:
            listed = listed_for_test(self.layout)
            templates = self.layout.submission_templates()
            frames = read_template(templates[0]).frames() if templates else {}
        except EmolibError as error:
            self.test_clips_known = False
            self.refused("test-files", (self.layout.test_lists or self.layout.templates)[0], error)
            return []
        rows = self.test_rows = {clip_id: frames.get(clip_id) for clip_id in [*listed, *frames]}
        if self.layout.test_lists and self.layout.templates:
            extra = sorted(set(frames) - set(listed))
            if extra:
                self.found(
                    "test-clips-differ",
                    self.layout.templates[0],
                    f"rows for {few(extra)}, which the test list lacks",
                    len(extra),
                )
        without = [clip_id for clip_id, n in rows.items() if n is None]
        if without and self.layout.templates:
            self.found(
                "test-clips-differ",
                self.layout.templates[0],
                f"no row for {few(without)} of the test list",
                len(without),
            )
        for clip_id in sorted(self.known & set(rows)):
            self.found("id-in-test-too", clip_id, f"{clip_id} is annotated and in the test list")
        test = sorted(set(rows) - self.known)
        self.known.update(test)
        return [("test", clip_id) for clip_id in test]

    def frame_rates(self) -> None:
        """The list of frame rates, when there is one."""
        if self.layout.frame_rates is not None:
            try:
                self.rates = read_frame_rates(self.layout.frame_rates)
            except EmolibError as error:
                self.refused("frame-rates", self.layout.frame_rates, error)

    def clip(self, split: str, clip_id: str) -> None:
        """Images, video and sound of one clip; adds its row to the table."""
        numbers, labels = self._images(clip_id), self.labels.get(clip_id)
        images = np.zeros(0, dtype=bool) if numbers is None else numbers
        n = self.test_rows.get(clip_id) or len(images) if labels is None else len(labels)
        present = np.pad(images[:n], (0, max(0, n - len(images))))
        self.faces[clip_id] = present
        if labels is not None and far_off(len(images) - n, n):
            what = f"the last image is {len(images):05d}.jpg, the annotation ends at frame {n}"
            self.found("images-beyond-labels", clip_id, what)
        elif numbers is not None:
            counted = np.zeros(n, np.int8) if labels is None else labels
            self.coverages.append(Coverage.of(clip_id, split, counted, present))
        self.clips.append(
            {
                "id": clip_id,
                "split": split,
                "lines": None if labels is None else n,
                "images": int(images.sum()),
                "faces_missing": int(n - present.sum()),
                **self._time(clip_id, n, annotated=labels is not None),
            }
        )

    def _images(self, clip_id: str) -> np.ndarray | None:
        """Which images there are, bool ``[highest]``; None where the reader refuses them."""
        try:
            self.folders[clip_id], images = image_folder(self.layout, self.index, clip_id)
        except EmolibError as error:
            self.folders[clip_id] = None
            self.refused("image-names", self.layout.images[clip_id][0], error)
            return None
        return images

    def missing_faces(self) -> None:
        """Splits and clips of which too few frames have a face, as the reader judges it."""
        for shortfall in shortfalls(self.coverages):
            self.found(shortfall.kind, shortfall.where, shortfall.what)

    def video_of(self, clip_id: str) -> Path | None:
        """The clip's video, None where there is none, or two of which none can be chosen."""
        if clip_id not in self.videos:
            try:
                self.videos[clip_id] = self.layout.video_of(clip_id)
            except EmolibError as error:
                self.videos[clip_id] = None
                self.refused("video-unreadable", clip_id, error)
        return self.videos[clip_id]

    def _time(self, clip_id: str, n: int, *, annotated: bool) -> dict[str, Any]:
        """decoded frames, frame rate and its source, drift of a fixed 30 fps at the end, sound: of
        one clip.
        """
        video = self.video_of(clip_id)
        decoded = None if video is None else self._decoded(video)
        if video is None and not (
            self.layout.videos.get(source_id(clip_id)) or self.layout.videos.get(clip_id)
        ):
            self.found("no-video", clip_id, f"{clip_id} has no video, so no sound")
        if decoded is None or video is None:
            rate = self.rates.get(clip_id) or self.rates.get(source_id(clip_id))
            source = "frame-rate list" if rate else "assumed 30 fps"
            fps, end, sound = rate or ASSUMED_FPS, max(0, n - 1) / (rate or ASSUMED_FPS), False
        else:
            times, fps = fit_times(decoded, max(n, 1))
            end, source = float(times[-1]), "video"
            sound = bool(self._sound(video, decoded))
            if annotated:
                self._frame_count(clip_id, n, len(decoded))
        return {
            "decoded": None if decoded is None else len(decoded),
            "fps": round(fps, 4),
            "time_source": source,
            "drift_s": round(max(0, n - 1) / ASSUMED_FPS - end, 3),
            "sound": sound,
        }

    def _decoded(self, video: Path) -> np.ndarray | None:
        """Times of the decoded frames, None for a video that cannot be read; each video once."""
        if video not in self.decoded:
            try:
                self.decoded[video] = self.index.times(video)
            except EmolibError as error:
                self.decoded[video] = None
                self.refused("video-unreadable", video, error)
        return self.decoded[video]

    def _frame_count(self, clip_id: str, lines: int, decoded: int) -> None:
        off = lines - decoded
        if far_off(abs(off), lines):
            self.found(
                "frame-count-far",
                clip_id,
                f"{lines} annotation lines, but the video has {decoded} frames",
            )
        elif abs(off) > USUAL_DIFFERENCE:
            self.found(
                "frame-count",
                clip_id,
                f"{lines} annotation lines, but the video has {decoded} frames",
            )
        elif off:
            self.off_by_few.append(f"{clip_id} ({off:+d})")

    def _sound(self, video: Path, decoded: np.ndarray) -> bool | None:
        """Whether ``video`` has sound; each video once. Decodes it with ``full``, else believes the
        header.
        """
        if video not in self.sounds:
            try:
                seconds = media.sound_seconds(video, decode=self.full)
            except EmolibError as error:
                self.refused("video-unreadable", video, error)
                seconds = None
            else:
                if seconds is None:
                    self.found("no-sound", video, "the video has no sound")
                elif seconds < decoded[-1] - SHORTER:
                    self.found(
                        "sound-shorter",
                        video,
                        f"{seconds:.1f} s of sound for {decoded[-1]:.1f} s of pictures",
                    )
            self.sounds[video] = seconds is not None
        return self.sounds[video]

    def read_image(self, path: Path) -> str | None:
        """What is wrong with an image, None when it can be decoded."""
        try:
            media.read_jpeg(path)
        except EmolibError as error:
            return str(error)
        return None


def kind_of(error: EmolibError, otherwise: str) -> str:
    """The name under which a refusal of the reader is reported."""
    if isinstance(error, LinkOut):
        return "link-out"
    if isinstance(error, TwoCandidates):
        return "two-candidates"
    return error.kind if isinstance(error, BadFile) else otherwise
