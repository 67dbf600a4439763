"""Aff-Wild2 (EXPR) on disk to ``Clip`` records: labels, faces and true times by frame number
(docs/data.md).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from emolib.data.annotations import (
    BadFile,
    read_frame_rates,
    read_labels,
    read_template,
    read_test_list,
    source_id,
)
from emolib.data.clip import ASSUMED_FPS, Clip
from emolib.data.index import TreeIndex
from emolib.data.layout import (
    FRAME_RATES,
    SPLIT_FOLDERS,
    TEST_LIST,
    Layout,
    TwoCandidates,
    find_layout,
)
from emolib.errors import EmolibError, WrongCall, chosen
from emolib.labels import NOT_ANNOTATED

SPLITS = ("train", "validation", "test")
TIMINGS = {"true": True, "fixed_30": False}  # whether frames have the times of the video
USUAL_DIFFERENCE = 2  # frames between annotation lines and decoded frames
FAR = 0.01  # share of a clip's frames, or of a total, that is no longer a small difference


@dataclass(frozen=True, eq=False)
class Listed:
    """One clip as the annotations or the test set name it."""

    split: str
    id: str
    labels: np.ndarray | None = None  # int8 [n]; None for a test clip
    rows: int | None = None  # highest frame of the submission template


def read_tree(
    root: Path,
    *,
    crops: str = "cropped_aligned",
    timing: str = "true",
    splits: tuple[str, ...] = ("train", "validation"),
    template: Path | None = None,
    links_out: bool = False,
    cache: bool = True,
    progress: bool = False,
) -> list[Clip]:
    """The clips of ``splits``: train, then validation, then test, each sorted by id.

    ``timing``: ``true`` takes each frame's time from the video, without one from
    ``frame_rates.csv``, else assumes 30 fps with a warning that names the clip; ``fixed_30`` is the
    released code's fault, for measuring it. ``template``: the test clips and their frames are those
    of this submission template, whatever the tree lists. ``links_out``: follow links that lead out
    of the tree. The first read lists every image and reads every video; later ones use an index
    that notices change, unless ``cache`` is False.

    Raises EmolibError (file and line where there is one) for a folder that is not a tree, a damaged
    annotation, images of other names, two candidates for one thing, a video that cannot be read or
    a link out of the tree.
    """
    for split in splits:
        if split not in SPLITS:
            raise WrongCall(f"split {split!r}: choose of {', '.join(SPLITS)}")
    true_times = chosen("timing", timing, TIMINGS)
    need_annotations = set(splits) != {"test"}
    layout = find_layout(root, crops, need_annotations=need_annotations, links_out=links_out)
    rates = read_frame_rates(layout.frame_rates) if layout.frame_rates else {}
    index = TreeIndex(layout.root, store=cache, links_out=links_out)
    clips: list[Clip] = []
    try:
        listed = list(_listed(layout, splits, template))
        # The bar comes late: once indexed, reading takes no time.
        bar = tqdm(
            listed, desc="read clips", unit="clip", disable=not progress, delay=2, leave=False
        )
        for one in bar:
            clips.append(_clip(layout, index, rates if true_times else None, one))
    finally:
        index.save()
    return clips


def _listed(layout: Layout, splits: tuple[str, ...], template: Path | None) -> Iterator[Listed]:
    """Every clip of ``splits``, in order."""
    seen: dict[str, Path] = {}
    for split in SPLIT_FOLDERS:
        for path in layout.labels_of(split) if split in splits else []:
            if path.stem in seen:
                raise EmolibError(
                    f"{path}: {path.stem} is annotated in {seen[path.stem]} as well;"
                    " remove one of them"
                )
            seen[path.stem] = path
            yield Listed(split, path.stem, labels=read_labels(layout.inside(path)))
    if "test" in splits:
        for clip_id, rows in sorted(clips_to_predict(layout, template).items()):
            yield Listed("test", clip_id, rows=rows)


def listed_for_test(layout: Layout) -> list[str]:
    """Ids of the tree's test list, in its order; empty without one."""
    test_list = layout.test_list()
    return read_test_list(test_list) if test_list else []


def clips_to_predict(layout: Layout, template: Path | None = None) -> dict[str, int | None]:
    """Ids of the test clips -> highest frame of the template, None for a clip it does not have.

    The clips are those of ``template``, which decides alone when it is given, else of the tree's
    list and template.
    """
    if template is not None:
        return dict(read_template(template).frames())
    templates = layout.submission_templates()
    if not layout.test_lists and not templates:
        raise EmolibError(
            f"{layout.root}: no test clips:"
            f" looked for {TEST_LIST} and ABAW_Expr_test_set_example.txt"
        )
    frames = read_template(templates[0]).frames() if templates else {}
    return {clip_id: frames.get(clip_id) for clip_id in [*listed_for_test(layout), *frames]}


def image_folder(layout: Layout, index: TreeIndex, clip_id: str) -> tuple[Path | None, np.ndarray]:
    """(a clip's folder of images, which images there are: bool ``[highest]``, element i - 1 for
    frame i).

    Raises EmolibError where two folders hold images of the clip, or where images are numbered from
    0.
    """
    folders = layout.images.get(clip_id, [])
    chosen, present = (folders[0] if folders else None), np.zeros(0, dtype=bool)
    for folder in folders:
        numbers = index.faces(folder)
        if numbers[0]:
            raise BadFile(
                "images-from-zero",
                f"{folder}: holds an image 00000.jpg, so every label is one frame off;"
                " number the images from 00001.jpg",
            )
        if numbers.any() and present.any():
            raise TwoCandidates(
                f"{folder}: {clip_id} has images in {chosen} as well; keep one of the folders"
            )
        if numbers.any():
            chosen, present = folder, numbers[1:]
    return chosen, present


def _clip(layout: Layout, index: TreeIndex, rates: dict[str, float] | None, listed: Listed) -> Clip:
    clip_id, labels = listed.id, listed.labels
    images, present = image_folder(layout, index, clip_id)
    n = next(
        length for length in (_length(labels), listed.rows, len(present)) if length is not None
    )
    video = layout.video_of(clip_id)
    times, fps, source = _times(index, video, rates, clip_id, n, annotated=labels is not None)
    if labels is not None and far_off(len(present) - n, n):
        warnings.warn(
            f"{clip_id}: the last image is {len(present):05d}.jpg, "
            f"the annotation ends at frame {n};"
            " check that they belong together",
            stacklevel=3,
        )
    return Clip(
        id=clip_id,
        split=listed.split,
        labels=np.full(n, NOT_ANNOTATED, dtype=np.int8) if labels is None else labels,
        face_present=np.pad(present[:n], (0, max(0, n - len(present)))),
        frame_times=times,
        fps=fps,
        time_source=source,
        images=images,
        video=video,
    )


def _length(labels: np.ndarray | None) -> int | None:
    return None if labels is None else len(labels)


def far_off(more: int, n: int) -> bool:
    """Whether ``more`` frames than the ``n`` annotated ones are too many to be the usual
    difference.

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
    """(seconds of ``n`` frames, mean rate, where they come from);
    ``rates`` None: the fixed 30 fps.
    """
    if rates is None:
        return np.arange(n) / ASSUMED_FPS, ASSUMED_FPS, "fixed 30 fps"
    if video is not None:
        decoded = index.times(video)
        if annotated and far_off(abs(n - len(decoded)), n):
            warnings.warn(
                f"{clip_id}: {n} annotation lines, but the video has {len(decoded)} frames;"
                " check that they belong together",
                stacklevel=4,
            )
        times, fps = fit_times(decoded, n)
        return times, fps, "video"
    rate = rates.get(clip_id) or rates.get(source_id(clip_id))
    if rate:
        return np.arange(n) / rate, rate, "frame-rate list"
    warnings.warn(
        f"{clip_id}: no video and no line in {FRAME_RATES};"
        " assuming 30 fps, its audio may be misaligned",
        stacklevel=4,
    )
    return np.arange(n) / ASSUMED_FPS, ASSUMED_FPS, "assumed 30 fps"


def fit_times(decoded: np.ndarray, n: int) -> tuple[np.ndarray, float]:
    """Times of ``n`` annotated frames from those of the decoded frames, and their mean rate.

    Both numbers differ by one or two in most videos: frames beyond the last decoded one follow at
    the mean rate, decoded frames without an annotation are dropped.
    """
    fps = (len(decoded) - 1) / float(decoded[-1] - decoded[0]) if len(decoded) > 1 else ASSUMED_FPS
    beyond = decoded[-1] + np.arange(1, max(0, n - len(decoded)) + 1) / fps
    return np.concatenate([decoded[:n], beyond]), fps
