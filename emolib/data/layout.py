"""Where things are in an Aff-Wild2 tree (docs/data.md), found by listing folders alone.

Every layout variant is known: both names of the annotation folder, ``cropped_aligned`` with its
``_new_50_vids``, ``cropped``, videos as .mp4 or .avi in batch folders or flat. Where two candidates
exist for one thing, none is chosen: both are named. Nothing outside the tree is read, unless links
that lead out of it are allowed.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from emolib.data.annotations import source_id
from emolib.data.index import inside
from emolib.errors import EmolibError, WrongCall

ANNOTATION_FOLDERS = ("EXPR_Recognition_Challenge", "EXPR_Classification_Challenge")
SPLIT_FOLDERS = {"train": "Train_Set", "validation": "Validation_Set"}
CROPS = ("cropped_aligned", "cropped")
TEST_LIST = "Expression_Recognition_Challenge_test_set_release.txt"
TEMPLATE = re.compile(r"(.*_)?Expr_test_set_example\.txt", re.IGNORECASE)
FRAME_RATES = "frame_rates.csv"
VIDEO_SUFFIXES = (".mp4", ".avi")
JUNK = {"__MACOSX", "Thumbs.db"}  # left by file managers, beside names that begin with a dot
# Folders of the data set, which may not lead elsewhere.
OURS = re.compile(r"(EXPR_|cropped|batch|videos?$|names_of|annotations$)", re.IGNORECASE)
DEEPEST = 4  # folders below the given one in which misplaced annotations are looked for


class TwoCandidates(EmolibError):
    """Two files for one thing: neither is chosen."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where things are in a tree."""

    root: Path
    annotations: Path | None  # None: only test clips are wanted, and there is none
    image_roots: list[Path]  # folders of one kind of crop that hold a folder for each id
    images: dict[str, list[Path]]  # id -> its image folders, of which one holds images
    videos: dict[str, list[Path]]  # stem -> videos of that name
    test_lists: list[Path]
    templates: list[Path]
    frame_rates: Path | None
    links_out: bool  # whether links may lead out of the tree

    def inside(self, path: Path) -> Path:
        """``path``; raises LinkOut when it leads out of the tree and may not."""
        return path if self.links_out else inside(path, self.root)

    def labels_of(self, split: str) -> list[Path]:
        """Annotation files of ``train`` or ``validation``, sorted by id."""
        if self.annotations is None:
            raise EmolibError(f"{self.root}: no annotations in this tree")
        folder = self.inside(self.annotations / SPLIT_FOLDERS[split])
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
        """The submission template, none or one. Raises TwoCandidates, naming both, where there are
        two.
        """
        advice = "keep the one of your challenge, or give it (--template FILE)"
        template = self._only(self.templates, "two submission templates", advice)
        return [template] if template else []

    def test_list(self) -> Path | None:
        """The list of test clips, None without one. Raises TwoCandidates, naming both, where there
        are two.
        """
        return self._only(self.test_lists, "two lists of test clips", "keep one of them")

    def video_of(self, clip_id: str) -> Path | None:
        """The video of the source, else one that carries the clip's own id, None without one.

        Raises TwoCandidates, naming both, where there are two.
        """
        videos = self.videos.get(source_id(clip_id)) or self.videos.get(clip_id) or []
        return self._only(videos, f"two videos for {clip_id}", "keep one of them")

    def _only(self, paths: list[Path], what: str, advice: str) -> Path | None:
        if len(paths) > 1:
            names = " and ".join(os.path.relpath(path, self.root) for path in paths[:2])
            raise TwoCandidates(f"{self.root}: {what}, {names}; {advice}")
        return self.inside(paths[0]) if paths else None


def find_layout(
    root: Path,
    crops: str = "cropped_aligned",
    *,
    need_annotations: bool = True,
    links_out: bool = False,
) -> Layout:
    """Look through ``root``, two folders deep. ``links_out``: follow links that lead out of the
    tree.

    Raises EmolibError with one line saying what was looked for and not found.
    """
    root = Path(root)
    if crops not in CROPS:
        raise WrongCall(f"crops={crops!r}: choose one of {', '.join(CROPS)}")
    if not root.is_dir():
        raise EmolibError(f"{root}: no such folder; give the folder of the Aff-Wild2 tree")
    folders = list(_folders(root, links_out))
    annotations = [folder for folder in folders[1:] if folder.name in ANNOTATION_FOLDERS]
    if need_annotations and not annotations:
        raise EmolibError(f"{root}: not an Aff-Wild2 tree: {_where_annotations_are(root)}")
    if len(annotations) > 1:
        names = " and ".join(os.path.relpath(folder, root) for folder in annotations[:2])
        raise TwoCandidates(f"{root}: two annotation folders, {names}; keep one of them")
    wanted = (crops, f"{crops}_new_50_vids")
    image_roots = [folder for name in wanted for folder in folders if folder.name == name]
    if not image_roots:
        raise EmolibError(
            f"{root}: not an Aff-Wild2 tree:"
            f" looked for {wanted[0]}/ or {wanted[1]}/ with a folder of images for each id"
        )
    for folder in image_roots:
        if (folder / folder.name).is_dir():
            raise EmolibError(
                f"{folder / folder.name}: the crops lie a folder too deep;"
                f" move what is in it up into {folder}"
            )
    files = [path for folder in folders if not _holds_crops(folder) for path in _files(folder)]
    subfolders = (path for folder in image_roots for path in _subfolders(folder))
    rates = root / FRAME_RATES
    if rates.exists() and not links_out:
        inside(rates, root)
    return Layout(
        root=root,
        annotations=annotations[0] if annotations else None,
        image_roots=image_roots,
        images=_by_name((path, path.name) for path in subfolders),
        videos=_videos(files, root, links_out),
        test_lists=[path for path in files if path.name == TEST_LIST],
        templates=[path for path in files if TEMPLATE.fullmatch(path.name)],
        frame_rates=rates if rates.exists() else None,
        links_out=links_out,
    )


def _where_annotations_are(root: Path) -> str:
    """What to do where there are no annotations within two folders:
    they may lie deeper, or above.
    """
    names = " or ".join(f"{name}/" for name in ANNOTATION_FOLDERS)
    if root.name in ANNOTATION_FOLDERS or any(
        (root / name).is_dir() for name in SPLIT_FOLDERS.values()
    ):
        return f"this is the annotation folder itself; give the folder above it, {root.parent}"
    level = [root]
    for _ in range(DEEPEST):
        level = [
            below for folder in level if not _holds_crops(folder) for below in _subfolders(folder)
        ]
        for folder in level:
            if folder.name in ANNOTATION_FOLDERS:
                return f"the annotations lie deeper, in {folder}; give {folder.parent}"
    return f"looked for {names} with Train_Set/ and Validation_Set/; give the folder that holds it"


def _holds_crops(folder: Path) -> bool:
    """Whether a folder's own folders are left to :func:`find_layout`: there is one for each id."""
    return folder.name.startswith("cropped")


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in JUNK


def _subfolders(folder: Path) -> list[Path]:
    """Sorted; fast also where ``folder`` holds a million files."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not _is_junk(entry.name) and _is_folder(entry)]
    return [folder / name for name in sorted(names)]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle
        return False


def _folders(root: Path, links_out: bool) -> Iterator[Path]:
    """``root``, its folders and theirs."""
    yield root
    for folder in _subfolders(root):
        if _stays(folder, root, links_out):
            yield folder
            if not _holds_crops(folder):
                yield from (
                    below for below in _subfolders(folder) if _stays(below, root, links_out)
                )


def _stays(folder: Path, root: Path, links_out: bool) -> bool:
    """Whether to look into ``folder``: a link that leads out of the tree is refused where data
    belong, else passed over.
    """
    if not folder.is_symlink():
        return True
    if OURS.match(folder.name):
        if not links_out:
            inside(folder, root)
        return True
    return os.path.realpath(folder).startswith(os.path.realpath(root) + os.sep)


def _files(folder: Path) -> list[Path]:
    """Files of ``folder`` that can belong to the data set; fast also where it holds a million
    others.
    """
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if not _is_junk(entry.name) and _is_ours(entry.name) and entry.is_file()
        ]
    return [folder / name for name in sorted(names)]


def _is_ours(name: str) -> bool:
    known = name == TEST_LIST or TEMPLATE.fullmatch(name) is not None
    return known or name.lower().endswith(VIDEO_SUFFIXES)


def _by_name(pairs: Iterable[tuple[Path, str]]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path, name in pairs:
        found.setdefault(name, []).append(path)
    return found


def _videos(files: list[Path], root: Path, links_out: bool) -> dict[str, list[Path]]:
    """Videos by stem, .mp4 before .avi; one file reached under one stem by several links counts
    once.
    """
    videos = [path for suffix in VIDEO_SUFFIXES for path in files if path.suffix.lower() == suffix]
    if not links_out:
        for path in videos:
            inside(path, root)
    unique = {(path.stem, os.path.realpath(path)): path for path in reversed(videos)}
    return _by_name(
        (path, path.stem) for path in videos if unique[path.stem, os.path.realpath(path)] is path
    )
