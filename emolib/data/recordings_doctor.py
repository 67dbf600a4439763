"""``emolib doctor --dataset``: is a folder of acted recordings what was published?
(docs/data.md, Acted recordings)
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from emolib.data import media
from emolib.data.examination import kind_of
from emolib.data.index import TreeIndex
from emolib.data.kinds import KINDS, RECORDING_KINDS, SOUND_ALONE
from emolib.data.recordings import Collection, Recording, find_recordings, sound_times
from emolib.errors import EmolibError
from emolib.system.files import few

Problem = dict[str, Any]  # kind, severity, where, what, do, count
LFS = b"version https://git-lfs"  # how the pointer begins that a clone without git-lfs brings


def examine_recordings(
    collection: Collection,
    root: Path,
    *,
    full: bool = False,
    crops: str = "cropped_aligned",
    links_out: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Examine the recordings below ``root``; ``full`` decodes all sound instead of the headers.

    Returns, ready for JSON: ``root``, ``dataset``, ``classes`` (emotion in a name -> class,
    where it has one), ``full``, ``totals`` and ``published`` (recordings, people, and recordings of
    each emotion as the names have it), ``clips`` (rows of id, person, emotion, frames, images,
    sound), ``problems`` (as ``doctor.examine`` has them) and ``exit_ok``, False when training on
    the folder would stop or give wrong numbers.
    """
    recordings: list[Recording] = []
    problems: list[Problem] = []
    try:
        recordings = find_recordings(collection, root, links_out=links_out)
    except EmolibError as error:
        problems.append(_problem(kind_of(error, "not-a-tree"), ".", str(error)))
    index = TreeIndex(Path(root), links_out=links_out)
    clips: list[dict[str, Any]] = []
    for recording in tqdm(recordings, desc="examine", unit="clip", disable=not progress):
        where = os.path.relpath(recording.path, root)
        try:
            clips.append(_row(index, Path(root) / crops, recording, full))
        except EmolibError as error:
            kind = "git-lfs" if _is_pointer(recording.path) else "video-unreadable"
            problems.append(_problem(kind, where, str(error)))
            continue
        if not clips[-1]["sound"]:
            problems.append(_problem("no-sound", where, "no sound in this file"))
    index.save()
    totals, published = _totals(clips), _published(collection)
    if recordings and totals != published:
        problems.append(_problem("published-totals", ".", _difference(totals, published)))
    problems += _of_all(collection, clips, crops)
    order = {severity: place for place, severity in enumerate(("error", "warning", "note"))}
    return {
        "root": str(root),
        "dataset": collection.title,
        "classes": dict(collection.classes),
        "full": full,
        "totals": totals,
        "published": published,
        "clips": clips,
        "problems": sorted(problems, key=lambda problem: order[problem["severity"]]),
        "exit_ok": all(problem["severity"] != "error" for problem in problems),
    }


def _problem(kind: str, where: str, what: str, count: int = 1) -> Problem:
    severity, advice = (KINDS | RECORDING_KINDS)[kind]
    problem = {"kind": kind, "severity": severity, "where": where, "what": what}
    return problem | {"do": advice, "count": count}


def _of_all(collection: Collection, clips: list[dict[str, Any]], crops: str) -> Iterator[Problem]:
    """Problems that are of no recording alone."""
    if collection.broken_sound:
        names = few(sorted(collection.broken_sound))
        what = "its sound file holds nothing as published; it is left out"
        yield _problem("known-broken", names, what)
    seen = [row for row in clips if row["images"] is not None]
    if clips and not seen:
        dataset = collection.title.lower().replace("-", "_")
        what = (
            "sound alone, without pictures: train with"
            f" --set dataset={dataset},{SOUND_ALONE},selection=last; emolib crop is not needed"
        )
        yield _problem("sound-alone", ".", what, len(clips))
    without = [row["id"] for row in seen if not row["images"]]
    if without:
        what = f"{len(without)} of {len(seen)} videos have no crops: {few(without)}"
        yield _problem("no-crops", crops, what, len(without))


def _published(collection: Collection) -> dict[str, Any]:
    """What :func:`_totals` is of the whole collection."""
    return {
        "recordings": collection.takes,
        "people": collection.people,
        "emotions": dict(collection.takes_of),
    }


def _row(index: TreeIndex, crops: Path, recording: Recording, full: bool) -> dict[str, Any]:
    """The table's row of one recording; ``images`` None for sound alone."""
    path, images = recording.path, None
    frames = len(index.times(path, sound_times) if recording.sound_alone else index.times(path))
    if not recording.sound_alone:
        folder = crops / path.stem
        images = int(np.sum(index.faces(folder))) if folder.is_dir() else 0
    return {
        "id": path.stem,
        "person": recording.person,
        "emotion": recording.emotion,
        "frames": frames,
        "images": images,
        "sound": bool(media.sound_seconds(path, decode=full)),
    }


def _totals(clips: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "recordings": len(clips),
        "people": len({row["person"] for row in clips}),
        "emotions": dict(sorted(Counter(row["emotion"] for row in clips).items())),
    }


def _difference(totals: dict[str, Any], published: dict[str, Any]) -> str:
    """What is not as published, in words."""
    parts = [
        f"{totals[name]:,} {name}, published are {published[name]:,}"
        for name in ("recordings", "people")
        if totals[name] != published[name]
    ]
    emotions = [
        f"{name} {totals['emotions'].get(name, 0):,} of {count:,}"
        for name, count in published["emotions"].items()
        if totals["emotions"].get(name, 0) != count
    ]
    return "; ".join([*parts, *emotions])


def _is_pointer(path: Path) -> bool:
    """Whether a file is only the Git-LFS pointer to one."""
    with path.open("rb") as file:
        return file.read(len(LFS)) == LFS


def format_recordings(report: dict[str, Any]) -> list[str]:
    """The head of the report as lines: found and published, side by side."""
    totals, published = report["totals"], report["published"]
    lines = [
        f"{report['root']} ({report['dataset']})",
        "",
        f"{'':16}{'found':>10}{'published':>12}",
    ]
    for name in ("recordings", "people"):
        lines.append(f"{name:16}{totals[name]:>10,}{published[name]:>12,}")
    for name, count in published["emotions"].items():
        title = f"{name} {report['classes'].get(name, 'no class')}"
        lines.append(f"{title:16}{totals['emotions'].get(name, 0):>10,}{count:>12,}")
    return [*lines, ""]
