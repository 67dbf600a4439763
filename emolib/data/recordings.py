"""Collections of acted recordings to ``Clip`` records: one emotion a file, told by its name
(docs/data.md, Acted recordings).

A collection says how its files are named; everything else is common: files are found in any nesting
of folders, of several files of one take the best is read, and people are divided into folds, so
that nobody is on both sides.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from emolib.data import media
from emolib.data.clip import ASSUMED_FPS, Clip
from emolib.data.content import content_of_file
from emolib.data.index import TreeIndex, inside
from emolib.data.layout import CROPS, JUNK, TwoCandidates
from emolib.errors import EmolibError, WrongCall, chosen
from emolib.labels import EXPRESSIONS, NOT_ANNOTATED

SOUND_SUFFIXES = (".wav", ".flac")
TIMINGS = {"true": True, "fixed_30": False}  # whether frames have the times of the video


@dataclass(frozen=True)
class Collection:
    """A published collection: how its files are named, and how many there are."""

    title: str
    # A whole file name without its suffix. Groups: take (equal for all files of one recording),
    # emotion and person (the actor's number).
    names: re.Pattern[str]
    suffixes: tuple[str, ...]  # the best first: it is read where a take has several files
    classes: Mapping[str, str]  # emotion in a name -> class; none where it has no counterpart
    takes_of: Mapping[str, int]  # emotion in a name -> published number of takes
    people: int  # published number
    first_person: int  # the actors' numbers begin here
    broken_sound: frozenset[str] = frozenset()  # takes whose published sound file holds nothing

    @property
    def takes(self) -> int:
        """Published number of recordings."""
        return sum(self.takes_of.values())


@dataclass(frozen=True, eq=False)
class Recording:
    """One take: the file that is read, and what its name says."""

    path: Path
    take: str
    emotion: str  # as the name has it
    person: str

    @property
    def sound_alone(self) -> bool:
        return self.path.suffix.lower() in SOUND_SUFFIXES


def find_recordings(
    collection: Collection, root: Path, *, links_out: bool = False
) -> list[Recording]:
    """The takes below ``root``, sorted by the name of the file that is read.

    Files of other names are passed over, and so is a sound file that was published broken. Copies
    of one file count once. Raises TwoCandidates for two different files of one take,
    EmolibError where there is no take at all, LinkOut for a link out of ``root``.
    """
    root = Path(root)
    if not root.is_dir():
        raise EmolibError(f"{root}: no such folder; give the folder of {collection.title}")
    takes: dict[str, list[Recording]] = {}
    for path in _files(root, root, links_out, set()):
        name = collection.names.fullmatch(path.stem)
        if name and path.suffix.lower() in collection.suffixes:
            recording = Recording(path, name["take"], name["emotion"], name["person"])
            if not (recording.sound_alone and recording.take in collection.broken_sound):
                takes.setdefault(recording.take, []).append(recording)
    if not takes:
        raise EmolibError(
            f"{root}: no recording of {collection.title}: looked in all folders for files named"
            f" as published ({', '.join(collection.suffixes)}); docs/data.md, Acted recordings"
        )
    best = [_best(collection, candidates) for candidates in takes.values()]
    return sorted(best, key=lambda recording: recording.path.stem)


def _files(folder: Path, root: Path, links_out: bool, seen: set[str]) -> Iterator[Path]:
    """Files below ``folder``, sorted, without crops, hidden files and what archives leave behind.

    ``seen``: real paths of the folders behind links, so that a circle of links ends.
    """
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith(".") or entry.name in JUNK or entry.name in CROPS:
            continue
        path = Path(entry.path)
        if entry.is_symlink():
            real = os.path.realpath(path)
            if not links_out:
                inside(path, root)
            if real in seen:
                continue
            seen.add(real)
        if entry.is_dir():
            yield from _files(path, root, links_out, seen)
        elif entry.is_file():
            yield path


def _best(collection: Collection, candidates: list[Recording]) -> Recording:
    """The file of a take that is read: the best suffix, of copies the first."""
    rank = {suffix: place for place, suffix in enumerate(collection.suffixes)}
    ranked = sorted(candidates, key=lambda one: rank[one.path.suffix.lower()])
    first = ranked[0]
    for other in ranked[1:]:
        same_kind = other.path.suffix.lower() == first.path.suffix.lower()
        if same_kind and content_of_file(other.path) != content_of_file(first.path):
            raise TwoCandidates(
                f"{first.path} and {other.path}: two different files of one recording;"
                " keep one of them"
            )
    return first


def fold_of(collection: Collection, person: str, folds: int) -> int:
    """The fold, 1 to ``folds``, in which a person is held out: two neighbours in the numbering
    after two neighbours.

    It depends on the number alone, so a part of the data has the same folds as the whole. In
    RAVDESS odd numbers are men and even ones women: every fold has as many of both.
    """
    return (int(person) - collection.first_person) // 2 % folds + 1


def label_of(collection: Collection, emotion: str, no_counterpart: str) -> int:
    """Class 0..7 of an emotion in a name; ``no_counterpart`` names the class of one that is none
    of the eight, or ``none``: -1.
    """
    choices = {"none": NOT_ANNOTATED} | {name: label for label, name in enumerate(EXPRESSIONS)}
    otherwise = chosen("no_counterpart", no_counterpart, choices)
    name = collection.classes.get(emotion)
    return otherwise if name is None else EXPRESSIONS.index(name)


def classes_of(collection: Collection, no_counterpart: str) -> list[int]:
    """The classes that the collection can show, in order."""
    labels = {label_of(collection, emotion, no_counterpart) for emotion in collection.takes_of}
    return sorted(labels - {NOT_ANNOTATED})


def read_collection(
    collection: Collection,
    root: Path,
    *,
    fold: int,
    folds: int,
    no_counterpart: str = "none",
    labels: Mapping[str, int] | None = None,
    crops: str = "cropped_aligned",
    timing: str = "true",
    splits: tuple[str, ...] = ("train", "validation"),
    links_out: bool = False,
    cache: bool = True,
    progress: bool = False,
) -> list[Clip]:
    """The clips of ``splits``: ``validation`` has the people of ``fold``, ``train`` all others,
    each sorted by id.

    ``labels``: take -> class, instead of what the names say; a take that is not among them is -1.
    A file of sound alone has frames at 30 a second, so that windows are cut as from a video, and no
    images. Raises EmolibError for a split without a person and for a file that cannot be read,
    WrongCall for a test split, which these data do not have.
    """
    for split in splits:
        if split not in ("train", "validation"):
            raise WrongCall(
                f"split {split!r}: {collection.title} has train and validation, by folds of people"
            )
    true_times = chosen("timing", timing, TIMINGS)
    recordings = find_recordings(collection, root, links_out=links_out)
    index = TreeIndex(Path(root), store=cache, links_out=links_out)
    clips: list[Clip] = []
    try:
        for recording in tqdm(
            recordings, desc="read clips", unit="clip", disable=not progress, delay=2, leave=False
        ):
            held_out = fold_of(collection, recording.person, folds) == fold
            split = "validation" if held_out else "train"
            if split in splits:
                label = label_of(collection, recording.emotion, no_counterpart)
                if labels is not None:
                    label = labels.get(recording.take, NOT_ANNOTATED)
                clips.append(_clip(index, Path(root) / crops, recording, split, label, true_times))
    finally:
        index.save()
    for split in splits:
        if not any(clip.split == split for clip in clips):
            raise EmolibError(
                f"{root}: no person in {split} with fold={fold} of folds={folds};"
                " use fewer folds or another one"
            )
    return [clip for split in ("train", "validation") for clip in clips if clip.split == split]


def _clip(
    index: TreeIndex, crops: Path, recording: Recording, split: str, label: int, true_times: bool
) -> Clip:
    path = recording.path
    if recording.sound_alone:
        times, fps, source = index.times(path, sound_times), ASSUMED_FPS, "sound alone, 30 fps"
    else:
        times, fps, source = index.times(path), ASSUMED_FPS, "video"
        if len(times) > 1:
            fps = (len(times) - 1) / float(times[-1])
        if not true_times:
            times, fps, source = np.arange(len(times)) / ASSUMED_FPS, ASSUMED_FPS, "fixed 30 fps"
    images, present = crops / path.stem, np.zeros(len(times), dtype=bool)
    if images.is_dir() and not recording.sound_alone:
        numbers = index.faces(images)[1:][: len(times)]
        present[: len(numbers)] = numbers
    return Clip(
        id=path.stem,
        split=split,
        labels=np.full(len(times), label, dtype=np.int8),
        face_present=present,
        frame_times=times,
        fps=fps,
        time_source=source,
        images=images if present.any() else None,
        video=path,
        person=recording.person,
    )


def sound_times(path: Path) -> np.ndarray:
    """Times of the frames that a file of sound alone is divided into, 30 a second: float64 [n].

    Raises EmolibError for a file without sound.
    """
    seconds = media.sound_seconds(path, decode=False)
    if seconds is None or seconds == float("inf"):
        seconds = media.sound_seconds(path, decode=True)
    frames = int((seconds or 0.0) * ASSUMED_FPS)
    if not frames:
        raise EmolibError(f"{path}: holds no sound; download it again or remove it")
    return np.arange(frames) / ASSUMED_FPS
