"""Looking at a tree for ``emolib doctor``: every fault by name, with a severity and what to do (docs/data.md).

Three severities. ``error``: training on the tree would stop or give wrong numbers. ``warning``: something is absent
or unusual, what is left is used correctly. ``note``: normal for Aff-Wild2 and handled, told because other code stumbles.
"""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from emolib.data import media
from emolib.data.affwild2 import (
    ANNOTATION_FOLDERS,
    SPLIT_FOLDERS,
    USUAL_DIFFERENCE,
    Layout,
    far_off,
    fit_times,
    listed_for_test,
)
from emolib.data.annotations import BadFile, read_frame_rates, read_labels, read_template, source_id
from emolib.data.clip import ASSUMED_FPS
from emolib.data.index import IMAGE_NAME, LinkOut, TreeIndex, inside
from emolib.errors import EmolibError
from emolib.system.files import few, hash_file

# kind -> (severity, what to do)
KINDS: dict[str, tuple[str, str]] = {
    "not-a-tree": ("error", "give the folder that holds the annotations and the crops"),
    "link-out": ("error", "put the files inside the tree"),
    "empty-file": ("error", "download the annotation again"),
    "unreadable-file": ("error", "download the annotation again"),
    "header": ("error", "download the annotation again"),
    "header-order": ("error", "download the annotation again; its numbers may mean other classes"),
    "label-range": ("error", "correct the line or download the annotation again"),
    "label-not-a-number": ("error", "correct the line or download the annotation again"),
    "id-in-both-splits": ("error", "remove the annotation from one split"),
    "id-in-test-too": ("error", "remove the id from the test list or its annotation"),
    "shared-source": ("error", "move both people of the video to one split; they share the sound"),
    "shared-video": ("error", "remove one of the two; the same video stands in two splits"),
    "video-unreadable": ("error", "download the video again, or remove it to go without sound"),
    "frame-count-far": (
        "error",
        "check that the video belongs to the annotation; labels and sound do not match",
    ),
    "images-beyond-labels": (
        "error",
        "check that the crops belong to the annotation; labels and images do not match",
    ),
    "images-from-zero": ("error", "number the images from 00001.jpg; every label is one frame off"),
    "image-names": (
        "error",
        "name the images {frame:05d}.jpg; as they are they count as missing faces",
    ),
    "image-unreadable": (
        "error",
        "download the image again, or delete it to count as a missing face",
    ),
    "frame-rates": ("error", "correct the line of frame_rates.csv"),
    "test-files": ("error", "download the test list and the template again"),
    "nothing-to-use": (
        "error",
        "look whether the crops and the videos were unpacked where they belong, not a folder deeper",
    ),
    "totals-far": ("error", "complete the tree; scores on it cannot be compared"),
    "totals": ("warning", "compare with the official release; a little is missing or added"),
    "two-annotation-folders": ("warning", "remove the older one; the newer one is used"),
    "images-twice": ("warning", "remove one of the folders; the first is used"),
    "video-twice": ("warning", "remove one of the files; the first is used"),
    "no-images": ("warning", "download the crops, or go on without the clip's frames"),
    "few-faces": (
        "warning",
        "check that the crops are complete; most annotated frames have no image",
    ),
    "nothing-annotated": ("warning", "nothing to learn or to score in this clip"),
    "no-video": ("warning", "download the video, or go on without the clip's sound"),
    "no-sound": ("warning", "the clip goes without sound"),
    "sound-shorter": ("warning", "windows after the end of the sound go without it"),
    "frame-count": ("warning", "the last frames' times are extrapolated or dropped"),
    "test-clips-differ": (
        "warning",
        "clips of either are predicted, the rows of the template written; download both again",
    ),
    "test-files-twice": ("warning", "the first one counts; remove the other"),
    "known-shared-source": ("note", "the official splits share this sound; nothing to do"),
    "older-annotation-folder": ("note", "nothing to do"),
    "byte-order-mark": ("note", "nothing to do"),
    "crlf": ("note", "nothing to do"),
    "line-count": ("note", "nothing to do; frames are matched by number, times by the video"),
    "unpaired-images": (
        "note",
        "nothing to do; these crops have no EXPR annotation and are not used",
    ),
    "unpaired-videos": (
        "note",
        "nothing to do; these videos have no EXPR annotation and are not used",
    ),
}

KNOWN_SHARED = {
    "6-30-1920x1080",
    "135-24-1920x1080",
}  # one person in train, the other in validation (docs/data.md, Structure)
SHORTER = 1.0  # seconds of sound missing at the end


class Examination:
    """What has been found so far. One method for each thing looked at, called in the order they stand here."""

    def __init__(self, root: Path, layout: Layout, *, full: bool) -> None:
        self.root, self.layout, self.full = Path(root), layout, full
        self.index = TreeIndex(layout.root)
        self.problems: list[dict[str, Any]] = []
        self.clips: list[dict[str, Any]] = []
        self.labels: dict[str, np.ndarray] = {}  # int8 [n]
        self.faces: dict[str, np.ndarray] = {}  # bool [n]
        self.folders: dict[str, Path | None] = {}  # with the images that count
        self.known: set[str] = set()  # ids of every annotation file and of the test set
        self.test_rows: dict[str, int | None] = {}  # highest frame of the template
        self.rates: dict[str, float] = {}
        self.off_by_few: list[str] = []  # clips with one or two lines more or less than frames
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
        """A refusal of the reader becomes a problem: of an annotation's own kind, of a link, or of ``kind``."""
        if isinstance(error, BadFile) and kind == "unreadable-file":
            kind = error.kind
        elif isinstance(error, LinkOut):
            kind = "link-out"
        self.found(kind, where, str(error))

    def annotations(self) -> list[tuple[str, str]]:
        """(split, id) of every clip whose labels could be read."""
        folders = self.layout.annotations
        if len(folders) > 1:
            self.found("two-annotation-folders", folders[1], f"{folders[0].name} stands beside it")
        elif folders[0].name == ANNOTATION_FOLDERS[1]:
            self.found(
                "older-annotation-folder", folders[0], "the annotation folder has its older name"
            )
        split_of: dict[str, str] = {}
        for split in SPLIT_FOLDERS:
            try:
                files = self.layout.labels_of(split)
            except EmolibError as error:
                self.refused("not-a-tree", folders[0] / SPLIT_FOLDERS[split], error)
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
            labels = read_labels(inside(file, self.root))
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
            frames = (
                read_template(self.layout.submission_templates()[0]).frames()
                if self.layout.templates
                else {}
            )
        except EmolibError as error:
            self.refused("test-files", (self.layout.test_lists or self.layout.templates)[0], error)
            return []
        rows = self.test_rows = {clip_id: frames.get(clip_id) for clip_id in [*listed, *frames]}
        for found in (self.layout.test_lists, self.layout.templates):
            if len(found) > 1:
                self.found(
                    "test-files-twice",
                    found[1],
                    f"{os.path.relpath(found[0], self.root)} is another one",
                    len(found) - 1,
                )
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
        images, labels = self._images(clip_id), self.labels.get(clip_id)
        n = self.test_rows.get(clip_id) or len(images) if labels is None else len(labels)
        present = np.pad(images[:n], (0, max(0, n - len(images))))
        self.faces[clip_id] = present
        if labels is not None and len(images):
            self._against_labels(clip_id, labels, images, present)
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

    def _images(self, clip_id: str) -> np.ndarray:
        """Which image numbers exist: bool ``[highest]``."""
        first = np.zeros(0, dtype=bool)
        self.folders[clip_id] = None
        for folder in self.layout.images.get(clip_id, []):
            try:
                numbers = self.index.faces(folder)
            except EmolibError as error:
                self.refused("link-out", folder, error)
                return first
            if numbers[0]:
                self.found(
                    "images-from-zero",
                    folder,
                    "there is an image 00000.jpg; frames count from 00001.jpg",
                )
            else:
                self._names(folder)
            images = numbers[1:]
            if images.any() and first.any():
                self.found(
                    "images-twice", folder, f"{clip_id} has images in another folder as well"
                )
            if not first.any():
                first, self.folders[clip_id] = images, folder
        if not first.any():
            self.found("no-images", clip_id, f"{clip_id} has no images")
        return first

    def _names(self, folder: Path) -> None:
        """Images whose name is not the number of a frame."""
        suffixes = (".jpg", ".jpeg", ".png", ".bmp")
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not IMAGE_NAME.fullmatch(entry.name)]
        wrong = sorted(
            name for name in names if name.lower().endswith(suffixes) and not name.startswith(".")
        )
        if wrong:
            self.found(
                "image-names", folder, f"images not named like 00001.jpg: {few(wrong)}", len(wrong)
            )

    def _against_labels(
        self, clip_id: str, labels: np.ndarray, images: np.ndarray, present: np.ndarray
    ) -> None:
        if far_off(len(images) - len(labels), len(labels)):
            what = f"the last image is {len(images):05d}.jpg, the annotation ends at frame {len(labels)}"
            self.found("images-beyond-labels", clip_id, what)
        elif (labels >= 0).any() and present[labels >= 0].mean() < 0.5:
            what = f"{present[labels >= 0].sum()} of {(labels >= 0).sum()} annotated frames have an image"
            self.found("few-faces", clip_id, what)

    def _time(self, clip_id: str, n: int, *, annotated: bool) -> dict[str, Any]:
        """decoded frames, frame rate and its source, drift of a fixed 30 fps at the end, sound: of one clip."""
        video = self.layout.video_of(clip_id)
        decoded = None if video is None else self._decoded(video)
        if video is None:
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
        """Whether ``video`` has sound; each video once. Decodes it with ``full``, else believes the header."""
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

    def leaks(self) -> None:
        """One source video in two splits: under one id (two people), or the same file under two."""
        splits: dict[str, set[str]] = defaultdict(set)
        files: dict[Path, str] = {}
        for row in self.clips:
            splits[source_id(row["id"])].add(row["split"])
            video = self.layout.video_of(row["id"])
            if video is not None:
                files[video] = row["split"]
        for source in sorted(source for source, found in splits.items() if len(found) > 1):
            kind = "known-shared-source" if source in KNOWN_SHARED else "shared-source"
            self.found(
                kind,
                source,
                f"people of one video in {' and '.join(sorted(splits[source]))}: shared sound",
            )
        self._same_files(files)

    def _same_files(self, files: dict[Path, str]) -> None:
        by_size: dict[int, list[Path]] = defaultdict(list)
        for video in sorted(files):
            by_size[video.stat().st_size].append(video)
        for videos in by_size.values():
            if (
                len({files[video] for video in videos}) > 1
            ):  # only then is the content worth reading
                first: dict[str, Path] = {}
                for video in videos:
                    earlier = first.setdefault(hash_file(video), video)
                    if files[earlier] != files[video]:
                        what = f"the same file as {os.path.relpath(earlier, self.root)}, in {files[earlier]} and {files[video]}"
                        self.found("shared-video", video, what)

    def left_over(self) -> None:
        """Differences of one or two lines, crops and videos that no annotation names, videos of one name."""
        if self.off_by_few:
            what = f"one or two lines more (+) or less (-) than frames: {few(self.off_by_few)}"
            self.found("line-count", f"{len(self.off_by_few)} clips", what, len(self.off_by_few))
        images = sorted(set(self.layout.images) - self.known)
        complete = all(
            problem["kind"] != "test-files" for problem in self.problems
        )  # else nobody knows which are test clips
        if images and complete:
            self.found(
                "unpaired-images",
                self.layout.image_roots[0],
                f"crops without an annotation: {few(images)}",
                len(images),
            )
        wanted = {video for video in map(self.layout.video_of, self.known) if video is not None}
        videos = sorted(
            name for name, paths in self.layout.videos.items() if not wanted & set(paths)
        )
        if videos and complete:
            self.found(
                "unpaired-videos",
                self.layout.root,
                f"videos without an annotation: {few(videos)}",
                len(videos),
            )
        for name, paths in sorted(self.layout.videos.items()):
            if len(paths) > 1 and wanted & set(paths):
                self.found(
                    "video-twice",
                    paths[1],
                    f"{name} is {os.path.relpath(paths[0], self.root)} as well",
                )
