"""Aff-Wild2 (EXPR) on disk to ``Clip`` records: labels, faces and true times by frame number (docs/data.md).

Every layout variant is found: both names of the annotation folder, ``cropped_aligned`` with its ``_new_50_vids``,
``cropped``, videos as .mp4 or .avi in batch folders or flat, one person of two as ``_left``/``_right``. Nothing
outside the tree is read.
"""

import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from emolib.data.annotations import (
    read_frame_rates,
    read_labels,
    read_template,
    read_test_list,
    source_id,
)
from emolib.data.clip import ASSUMED_FPS, Clip
from emolib.data.index import TreeIndex, inside
from emolib.errors import EmolibError, WrongCall
from emolib.labels import NOT_ANNOTATED

ANNOTATION_FOLDERS = ("EXPR_Recognition_Challenge", "EXPR_Classification_Challenge")
SPLIT_FOLDERS = {"train": "Train_Set", "validation": "Validation_Set"}
SPLITS = ("train", "validation", "test")
CROPS = ("cropped_aligned", "cropped")
TIMINGS = ("true", "fixed_30")
TEST_LIST = "Expression_Recognition_Challenge_test_set_release.txt"
TEMPLATE = re.compile(r"(.*_)?Expr_test_set_example\.txt", re.IGNORECASE)
FRAME_RATES = "frame_rates.csv"
VIDEO_SUFFIXES = (".mp4", ".avi")  # in order of preference
USUAL_DIFFERENCE = 2  # frames between annotation lines and decoded frames
FAR = 0.01  # share of a clip's frames, or of a total, that is no longer a small difference
OURS = re.compile(
    r"(EXPR_|cropped|batch|videos?$|names_of|annotations$)", re.IGNORECASE
)  # folders that may not lead elsewhere


@dataclass(frozen=True, eq=False)
class Layout:
    """Where things are in a tree; found by listing folders, before any file is read."""

    root: Path
    annotations: list[Path]  # annotation folders, newest name first; the first one counts
    image_roots: list[Path]  # folders of one kind of crop that hold a folder for each id
    images: dict[str, list[Path]]  # id -> its image folders; the first one that holds images counts
    videos: dict[str, list[Path]]  # id -> its videos; the first one counts
    test_lists: list[Path]
    templates: list[Path]
    frame_rates: Path | None

    def labels_of(self, split: str) -> list[Path]:
        """Annotation files of ``train`` or ``validation``, sorted by id."""
        folder = inside(self.annotations[0] / SPLIT_FOLDERS[split], self.root)
        if not folder.is_dir():
            raise EmolibError(f"{folder}: no such folder; the {split} annotations belong there")
        files = [
            path
            for path in folder.iterdir()
            if path.suffix.lower() == ".txt" and not path.name.startswith(".")
        ]
        if not files:
            raise EmolibError(
                f"{folder}: no annotation file (<id>.txt); the {split} annotations belong there"
            )
        return sorted(files, key=lambda path: path.stem)

    def submission_templates(self) -> list[Path]:
        """``templates``; raises LinkOut for a link that leads out of the tree."""
        return [inside(path, self.root) for path in self.templates]

    def video_of(self, clip_id: str) -> Path | None:
        """The video of the source, else one that carries the clip's own id."""
        found = self.videos.get(source_id(clip_id)) or self.videos.get(clip_id)
        return found[0] if found else None


def find_layout(
    root: Path, crops: str = "cropped_aligned", *, need_annotations: bool = True
) -> Layout:
    """Look through ``root``, two folders deep. Raises EmolibError with one line saying what was looked for and not found."""
    root = Path(root)
    if crops not in CROPS:
        raise WrongCall(f"crops={crops!r}: choose one of {', '.join(CROPS)}")
    if not root.is_dir():
        raise EmolibError(f"{root}: no such folder; give the folder of the Aff-Wild2 tree")
    folders = list(_folders(root))
    annotations = [
        folder for name in ANNOTATION_FOLDERS for folder in folders if folder.name == name
    ]
    if need_annotations and not annotations:
        names = " or ".join(f"{name}/" for name in ANNOTATION_FOLDERS)
        raise EmolibError(
            f"{root}: not an Aff-Wild2 tree: looked for {names} with Train_Set/ and Validation_Set/; give the folder above it"
        )
    wanted = (crops, f"{crops}_new_50_vids")
    image_roots = [folder for name in wanted for folder in folders if folder.name == name]
    if not image_roots:
        raise EmolibError(
            f"{root}: not an Aff-Wild2 tree: looked for {wanted[0]}/ or {wanted[1]}/ with a folder of images for each id"
        )
    files = [
        path
        for folder in folders
        if not folder.name.startswith("cropped")
        for path in _files(folder)
    ]
    rates = root / FRAME_RATES
    return Layout(
        root=root,
        annotations=annotations,
        image_roots=image_roots,
        images=_by_name(
            (folder, folder.name)
            for image_root in image_roots
            for folder in _subfolders(image_root)
        ),
        videos=_videos(files, root),
        test_lists=[path for path in files if path.name == TEST_LIST],
        templates=[path for path in files if TEMPLATE.fullmatch(path.name)],
        frame_rates=inside(rates, root) if rates.is_file() else None,
    )


def _subfolders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".") and Path(entry.path).is_dir()
        )


def _folders(root: Path) -> Iterator[Path]:
    """``root``, its folders and theirs; a crop folder's own folders are left to :func:`find_layout`."""
    yield root
    for folder in _subfolders(root):
        if _stays(folder, root):
            yield folder
            if not folder.name.startswith("cropped"):
                yield from (below for below in _subfolders(folder) if _stays(below, root))


def _stays(folder: Path, root: Path) -> bool:
    """Whether to look into ``folder``: a link that leads out of the tree is refused where data belong, else passed over."""
    if folder.is_symlink():
        if OURS.match(folder.name):
            inside(folder, root)
        return os.path.realpath(folder).startswith(os.path.realpath(root) + os.sep)
    return True


def _files(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if not entry.name.startswith(".") and Path(entry.path).is_file()
        )


def _by_name(pairs: Iterator[tuple[Path, str]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path, name in pairs:
        found.setdefault(name, []).append(path)
    return found


def _videos(files: list[Path], root: Path) -> dict[str, list[Path]]:
    """Videos by stem, .mp4 before .avi; one file reached under one stem by several links counts once."""
    videos = [path for suffix in VIDEO_SUFFIXES for path in files if path.suffix.lower() == suffix]
    unique = {(path.stem, os.path.realpath(inside(path, root))): path for path in reversed(videos)}
    return _by_name(
        (path, path.stem) for path in videos if unique[path.stem, os.path.realpath(path)] is path
    )


def read_tree(
    root: Path,
    *,
    crops: str = "cropped_aligned",
    timing: str = "true",
    splits: tuple[str, ...] = ("train", "validation"),
    template: Path | None = None,
    cache: bool = True,
    progress: bool = False,
) -> list[Clip]:
    """The clips of ``splits``: train, then validation, then test, each sorted by id.

    ``timing``: ``true`` takes each frame's time from the video, without one from ``frame_rates.csv``, else assumes
    30 fps with a warning that names the clip; ``fixed_30`` is the released code's fault, for measuring it.
    ``template``: the test clips and their frames are those of this submission template, whatever the tree lists. The first
    read lists every image and reads every video; later ones use an index that notices change, unless ``cache`` is False.

    Raises EmolibError (file and line where there is one) for a folder that is not a tree, a damaged annotation, a
    video that cannot be read or a link out of the tree.
    """
    for split in splits:
        if split not in SPLITS:
            raise WrongCall(f"split {split!r}: choose of {', '.join(SPLITS)}")
    if timing not in TIMINGS:
        raise WrongCall(f"timing={timing!r}: choose one of {', '.join(TIMINGS)}")
    layout = find_layout(root, crops, need_annotations=set(splits) != {"test"})
    rates = read_frame_rates(layout.frame_rates) if layout.frame_rates else {}
    index = TreeIndex(layout.root, store=cache)
    clips: list[Clip] = []
    try:
        listed = list(_listed(layout, splits, template))
        bar = tqdm(
            listed, desc="read clips", unit="clip", disable=not progress, delay=2, leave=False
        )  # later reads take no time
        for split, clip_id, labels, rows in bar:
            clips.append(
                _clip(
                    layout, index, rates if timing == "true" else None, split, clip_id, labels, rows
                )
            )
    finally:
        index.save()
    return clips


def _listed(
    layout: Layout, splits: tuple[str, ...], template: Path | None
) -> Iterator[tuple[str, str, np.ndarray | None, int | None]]:
    """(split, id, labels, rows of the template) of every clip, in order."""
    seen: dict[str, Path] = {}
    for split in SPLIT_FOLDERS:
        for path in layout.labels_of(split) if split in splits else []:
            if path.stem in seen:
                raise EmolibError(
                    f"{path}: {path.stem} is annotated in {seen[path.stem]} as well; remove one of them"
                )
            seen[path.stem] = path
            yield split, path.stem, read_labels(inside(path, layout.root)), None
    if "test" in splits:
        for clip_id, rows in sorted(clips_to_predict(layout, template).items()):
            yield "test", clip_id, None, rows


def listed_for_test(layout: Layout) -> list[str]:
    """Ids of the tree's test list, in its order; empty without one."""
    return read_test_list(inside(layout.test_lists[0], layout.root)) if layout.test_lists else []


def clips_to_predict(layout: Layout, template: Path | None = None) -> dict[str, int | None]:
    """Ids of the test clips -> highest frame of the template, None for a clip it does not have.

    The clips are those of ``template``, which decides alone when it is given, else of the tree's list and template.
    """
    if template is not None:
        return dict(read_template(template).frames())
    if not layout.test_lists and not layout.templates:
        raise EmolibError(
            f"{layout.root}: no test clips: looked for {TEST_LIST} and ABAW_Expr_test_set_example.txt"
        )
    frames = read_template(layout.submission_templates()[0]).frames() if layout.templates else {}
    return {clip_id: frames.get(clip_id) for clip_id in [*listed_for_test(layout), *frames]}


def _clip(
    layout: Layout,
    index: TreeIndex,
    rates: dict[str, float] | None,
    split: str,
    clip_id: str,
    labels: np.ndarray | None,
    rows: int | None,
) -> Clip:
    present, images = np.zeros(0, dtype=bool), None
    for folder in layout.images.get(clip_id, []):  # the first one that holds images
        if images is None or not present.any():
            numbers, images = index.faces(folder), folder
            if numbers[0]:
                raise EmolibError(
                    f"{folder}: holds an image 00000.jpg, so every label is one frame off; number the images from 00001.jpg"
                )
            present = numbers[1:]
    n = len(labels) if labels is not None else rows if rows is not None else len(present)
    video = layout.video_of(clip_id)
    times, fps, source = _times(index, video, rates, clip_id, n, annotated=labels is not None)
    if labels is not None and far_off(len(present) - n, n):
        told = f"{clip_id}: the last image is {len(present):05d}.jpg, the annotation ends at frame {n}; check that they belong together"
        warnings.warn(told, stacklevel=3)
    return Clip(
        id=clip_id,
        split=split,
        labels=np.full(n, NOT_ANNOTATED, dtype=np.int8) if labels is None else labels,
        face_present=np.pad(present[:n], (0, max(0, n - len(present)))),
        frame_times=times,
        fps=fps,
        time_source=source,
        images=images,
        video=video,
    )


def far_off(more: int, n: int) -> bool:
    """Whether ``more`` frames than the ``n`` annotated ones are too many to be the usual difference.

    See docs/data.md, Frame times.
    """
    return more > max(USUAL_DIFFERENCE, FAR * n)


def _times(
    index: TreeIndex,
    video: Path | None,
    rates: dict[str, float] | None,
    clip_id: str,
    n: int,
    *,
    annotated: bool,
) -> tuple[np.ndarray, float, str]:
    """(seconds of ``n`` frames, mean rate, where they come from); ``rates`` None: the fixed 30 fps."""
    if rates is None:
        return np.arange(n) / ASSUMED_FPS, ASSUMED_FPS, "fixed 30 fps"
    if video is not None:
        decoded = index.times(video)
        if annotated and far_off(abs(n - len(decoded)), n):
            told = f"{clip_id}: {n} annotation lines, but the video has {len(decoded)} frames; check that they belong together"
            warnings.warn(told, stacklevel=4)
        times, fps = fit_times(decoded, n)
        return times, fps, "video"
    rate = rates.get(clip_id) or rates.get(source_id(clip_id))
    if rate:
        return np.arange(n) / rate, rate, "frame-rate list"
    warnings.warn(
        f"{clip_id}: no video and no line in {FRAME_RATES}; assuming 30 fps, its audio may be misaligned",
        stacklevel=4,
    )
    return np.arange(n) / ASSUMED_FPS, ASSUMED_FPS, "assumed 30 fps"


def fit_times(decoded: np.ndarray, n: int) -> tuple[np.ndarray, float]:
    """Times of ``n`` annotated frames from those of the decoded frames, and their mean rate.

    Both numbers differ by one or two in most videos: frames beyond the last decoded one follow at the mean rate,
    decoded frames without an annotation are dropped.
    """
    fps = (len(decoded) - 1) / float(decoded[-1] - decoded[0]) if len(decoded) > 1 else ASSUMED_FPS
    beyond = decoded[-1] + np.arange(1, max(0, n - len(decoded)) + 1) / fps
    return np.concatenate([decoded[:n], beyond]), fps
