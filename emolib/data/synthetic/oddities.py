"""Plant in a generated tree every oddity of the real one (docs/data.md),
and on request the faults that spoil it.

Oddities are normal: a tree with them trains, and the labels, images and times of every clip stay
true; a few clips lose their video or sound, as in the real tree. Faults make a reader stop
or a score wrong. Each row of what was planted names the kinds of ``emolib.data.examination`` under
which ``emolib doctor`` must find it, if any.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from emolib.data import media
from emolib.data.annotations import source_id
from emolib.data.layout import ANNOTATION_FOLDERS, FRAME_RATES, SPLIT_FOLDERS, Layout, find_layout
from emolib.errors import WrongCall
from emolib.labels import EXPRESSIONS
from emolib.system.files import atomic_path, write_text

# in the real tree one person of this video is in train, the other in validation
SHARED_ID = "6-30-1920x1080"
CUT = 0.5  # share of the sound that is kept where it ends early
LONG_ENOUGH = 2.5  # seconds of a clip whose sound can be cut so that the doctor speaks of it


@dataclass(frozen=True)
class Site:
    """One clip on disk: one person, alone in its video."""

    root: Path
    id: str
    annotation: Path
    images: Path
    video: Path

    def lines(self) -> list[str]:
        """The annotation's lines, header first."""
        return self.annotation.read_text().split("\n")[:-1]

    def write(self, lines: list[str], *, end: str = "\n", mark: bytes = b"") -> None:
        self.annotation.write_bytes(mark + (end.join(lines) + end).encode())


def plant(root: Path, *, faults: bool = False) -> list[dict[str, Any]]:
    """Plant every oddity in the clean generated tree at ``root``,
    with ``faults`` also one of each fault.

    Returns rows of ``oddity``, ``clip`` (an id, or "" for the whole tree), ``severity`` (``normal``
    or ``fault``) and ``kinds``. Deterministic: clips are taken in order of their ids.
    Raises WrongCall when there are too few clips.
    """
    root = Path(root)
    layout = find_layout(root)
    sites, others = _sites(layout, "train"), _sites(layout, "validation")
    needed = len(CLIP_ODDITIES) + (max(0, len(CLIP_FAULTS) - len(others)) if faults else 0)
    if len(sites) < needed:
        raise WrongCall(
            f"{root}: {len(sites)} training clips of one person, "
            f"{needed} are needed for the oddities; generate more"
        )
    planted = []
    for site, (name, (kinds, change)) in zip(sites, CLIP_ODDITIES.items(), strict=False):
        if change(site) is not False:
            planted.append(_row(name, site.id, kinds))
    if faults:
        spare = others + sites[len(CLIP_ODDITIES) :]
        for site, (name, (kinds, change)) in zip(spare, CLIP_FAULTS.items(), strict=False):
            change(site)
            planted.append(_row(name, site.id, kinds, "fault"))
        for path in layout.test_lists[:1]:
            write_text(path, path.read_text() + "../outside\n")
            planted.append(
                _row("a test id that leads out of the tree", "", ["test-files"], "fault")
            )
    return planted + _plant_in_tree(root, layout, sites[-1])


def _row(name: str, clip_id: str, kinds: list[str], severity: str = "normal") -> dict[str, Any]:
    return {"oddity": name, "clip": clip_id, "severity": severity, "kinds": kinds}


def _sites(layout: Layout, split: str) -> list[Site]:
    """Clips of ``split`` that have images and a video with one person."""
    sites = []
    for annotation in layout.labels_of(split):
        clip_id, video = annotation.stem, layout.video_of(annotation.stem)
        if video is not None and clip_id in layout.images and source_id(clip_id) == clip_id:
            sites.append(Site(layout.root, clip_id, annotation, layout.images[clip_id][0], video))
    return sites


# Oddities of one clip


def _second_crops(site: Site) -> None:
    target = site.root / f"{site.images.parent.name}_new_50_vids" / site.id
    target.parent.mkdir(exist_ok=True)
    site.images.rename(target)


def _avi(site: Site) -> None:
    """The same pictures and sound as a real AVI;
    only a constant frame rate can be kept, so a variable one is left.
    """
    times = media.frame_times(site.video)
    rate = Fraction((len(times) - 1) / (times[-1] - times[0])).limit_denominator(1001)
    target = site.video.with_suffix(".avi")
    with (
        atomic_path(target) as temporary,
        av.open(
            str(temporary), "w", format="avi", container_options={"fflags": "+bitexact"}
        ) as container,
    ):
        size = next(frame for _, _, frame in media.read_frames(site.video)).shape
        video = container.add_stream("mpeg4", rate=rate, options={"q": "3"})
        video.width, video.height, video.pix_fmt = size[1], size[0], "yuv420p"
        video.codec_context.thread_count = 1
        video.codec_context.flags |= av.codec.context.Flags.bitexact
        sound = container.add_stream("pcm_s16le", rate=media.SAMPLE_RATE, layout="mono")
        for number, _, image in media.read_frames(site.video):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = number - 1, 1 / rate
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        waveform = media.read_waveform(site.video)
        if waveform is not None:
            samples = np.round(np.clip(waveform, -1, 1) * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = (
                media.SAMPLE_RATE,
                0,
                Fraction(1, media.SAMPLE_RATE),
            )
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    site.video.unlink()


def _flat_video(site: Site) -> None:
    folder = site.root / "videos"
    folder.mkdir(exist_ok=True)
    site.video.rename(folder / site.video.name)


def _third_batch(site: Site) -> None:
    folder = site.root / "batch3"
    folder.mkdir(exist_ok=True)
    site.video.rename(folder / site.video.name)


def _rate_list(site: Site) -> None:
    times = media.frame_times(site.video)
    write_text(
        site.root / FRAME_RATES,
        f"id,fps\n{site.id},{(len(times) - 1) / (times[-1] - times[0]):.6f}\n",
    )
    site.video.unlink()


def _rewrite_sound(site: Site, waveform: np.ndarray | None) -> None:
    times = media.frame_times(site.video)
    frames = [frame for _, _, frame in media.read_frames(site.video)]
    media.write_video(
        site.video, frames, times, waveform, size=(frames[0].shape[1], frames[0].shape[0])
    )


def _cut_sound(site: Site) -> bool:
    waveform = media.read_waveform(site.video)
    if waveform is None or len(waveform) < LONG_ENOUGH * media.SAMPLE_RATE:
        return False
    _rewrite_sound(site, waveform[: int(CUT * len(waveform))])
    return True


def _lines(more: int) -> Callable[[Site], None]:
    """``more`` annotation lines than decoded frames; added lines repeat the last label."""

    def change(site: Site) -> None:
        lines, wanted = site.lines(), 1 + len(media.frame_times(site.video)) + more
        site.write((lines + lines[-1:] * wanted)[:wanted])

    return change


def _missing_images(site: Site) -> None:
    images = sorted(site.images.glob("*.jpg"))
    for image in images[1:4] + images[-2:]:
        image.unlink()


def _not_annotated(site: Site) -> None:
    lines = site.lines()
    site.write([*lines[:4], *["-1"] * 7, *lines[11:]])


# name -> (kinds the doctor reports, change);
# False: the clip does not allow it. Each on a clip of its own.
CLIP_ODDITIES: dict[str, tuple[list[str], Callable[[Site], Any]]] = {
    "crops in the second folder": ([], _second_crops),
    "video as .avi": ([], _avi),
    "video in one flat folder": ([], _flat_video),
    "video in a third batch": ([], _third_batch),
    "no video": (["no-video"], lambda site: site.video.unlink()),
    "no video but a frame rate": (["no-video"], _rate_list),
    "no sound": (["no-sound"], lambda site: _rewrite_sound(site, None)),
    "sound shorter than the pictures": (["sound-shorter"], _cut_sound),
    "one line more than frames": (["line-count"], _lines(1)),
    "two lines more than frames": (["line-count"], _lines(2)),
    "one line less than frames": (["line-count"], _lines(-1)),
    "CRLF line ends": (["crlf"], lambda site: site.write(site.lines(), end="\r\n")),
    "byte order mark": (
        ["byte-order-mark"],
        lambda site: site.write(site.lines(), mark=b"\xef\xbb\xbf"),
    ),
    "blank lines at the end": ([], lambda site: site.write([*site.lines(), "", ""])),
    "missing faces": ([], _missing_images),
    "frames without a label": ([], _not_annotated),
}


# Oddities of the tree


def _plant_in_tree(root: Path, layout: Layout, spare: Site) -> list[dict[str, Any]]:
    planted = []
    shared = _share_source(root, layout)
    if shared:
        planted.append(
            _row("one person in train, the other in validation", shared, ["known-shared-source"])
        )
    crops = layout.image_roots[0]
    shutil.copytree(spare.images, crops / "other-task-1")
    planted.append(_row("crops of another task", "other-task-1", ["unpaired-images"]))
    shutil.copy(spare.video, spare.video.with_name("other-task-2.mp4"))
    planted.append(_row("video of another task", "other-task-2", ["unpaired-videos"]))
    (crops / "Thumbs.db").write_bytes(b"left by a file manager")
    (spare.annotation.parent / f"._{spare.id}.txt").write_bytes(b"\x00\x05\x16\x07")
    planted.append(_row("files left by file managers", "", []))
    annotations = spare.annotation.parents[1]
    annotations.rename(annotations.with_name(ANNOTATION_FOLDERS[1]))
    planted.append(_row("older name of the annotation folder", "", ["older-annotation-folder"]))
    return planted


def _share_source(root: Path, layout: Layout) -> str | None:
    """Give the first pair in train the real shared id and move its right person to validation."""
    ids = {path.stem: path for path in layout.labels_of("train")}
    pairs = sorted(
        source_id(clip_id)
        for clip_id in ids
        if clip_id.endswith("_left") and f"{source_id(clip_id)}_right" in ids
    )
    video = layout.video_of(pairs[0]) if pairs else None
    if video is None or SHARED_ID in layout.videos:
        return None
    for side in ("_left", "_right"):
        old, new = f"{pairs[0]}{side}", f"{SHARED_ID}{side}"
        split = SPLIT_FOLDERS["train" if side == "_left" else "validation"]
        ids[old].rename(ids[old].parents[1] / split / f"{new}.txt")
        for folder in layout.images.get(old, []):
            folder.rename(folder.with_name(new))
        latents = root / "latents" / f"{old}.json"
        if latents.is_file():
            latents.rename(latents.with_name(f"{new}.json"))
    video.rename(video.with_stem(SHARED_ID))
    return SHARED_ID


# Faults of one clip


def _swapped_header(site: Site) -> None:
    names = [*EXPRESSIONS[4:], *EXPRESSIONS[:4]]
    site.write([",".join(names), *site.lines()[1:]])


def _from_zero(site: Site) -> None:
    for image in sorted(site.images.glob("*.jpg")):  # in order: a name is free before it is taken
        image.rename(image.with_name(f"{int(image.stem) - 1:05d}.jpg"))


def _truncated(site: Site) -> None:
    image = min(site.images.glob("*.jpg"))
    os.truncate(image, image.stat().st_size // 2)


def _misnamed(site: Site) -> None:
    image = min(site.images.glob("*.jpg"))
    image.rename(image.with_name(f"frame{image.name}"))


def _images_of_another(site: Site) -> None:
    image, n = min(site.images.glob("*.jpg")), len(site.lines()) - 1
    for frame in range(n + 1, n + 6 + n // 50):
        shutil.copy(image, site.images / f"{frame:05d}.jpg")


def _last(value: str) -> Callable[[Site], None]:
    return lambda site: site.write([*site.lines()[:-1], value])


CLIP_FAULTS: dict[str, tuple[list[str], Callable[[Site], Any]]] = {
    "header in another order": (["header-order"], _swapped_header),
    "no header": (["header"], lambda site: site.write(site.lines()[1:])),
    "label of 9": (["label-range"], _last("9")),
    "label that is no number": (["label-not-a-number"], _last("happy")),
    "empty annotation": (["empty-file"], lambda site: site.annotation.write_bytes(b"")),
    "no images": (["no-images"], lambda site: shutil.rmtree(site.images)),
    "truncated image": (["image-unreadable"], _truncated),
    "images from zero": (["images-from-zero"], _from_zero),
    "image with another name": (["image-names"], _misnamed),
    "images of a longer clip": (["images-beyond-labels"], _images_of_another),
    "video that cannot be read": (["video-unreadable"], lambda site: os.truncate(site.video, 100)),
    "annotation of a shorter clip": (
        ["frame-count-far", "images-beyond-labels"],
        lambda site: site.write(site.lines()[: len(site.lines()) // 2]),
    ),
}
