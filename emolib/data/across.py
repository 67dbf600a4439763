"""What ``emolib doctor`` finds only by comparing clips: one video in two splits, and what no
annotation names.
"""

import os
from collections import defaultdict
from pathlib import Path

from emolib.data.annotations import source_id
from emolib.data.examination import Examination
from emolib.system.files import few, hash_file

# One person in train, the other in validation (docs/data.md, Structure).
KNOWN_SHARED = {"6-30-1920x1080", "135-24-1920x1080"}


def find_leaks(examination: Examination) -> None:
    """One source video in two splits: under one id (two people), or the same file under two."""
    splits: dict[str, set[str]] = defaultdict(set)
    files: dict[Path, str] = {}
    for row in examination.clips:
        splits[source_id(row["id"])].add(row["split"])
        video = examination.video_of(row["id"])
        if video is not None:
            files[video] = row["split"]
    for source in sorted(source for source, found in splits.items() if len(found) > 1):
        kind = "known-shared-source" if source in KNOWN_SHARED else "shared-source"
        examination.found(
            kind,
            source,
            f"people of one video in {' and '.join(sorted(splits[source]))}: shared sound",
        )
    _same_files(examination, files)


def _same_files(examination: Examination, files: dict[Path, str]) -> None:
    by_size: dict[int, list[Path]] = defaultdict(list)
    for video in sorted(files):
        by_size[video.stat().st_size].append(video)
    for videos in by_size.values():
        if len({files[video] for video in videos}) > 1:  # only then is the content worth reading
            first: dict[str, Path] = {}
            for video in videos:
                earlier = first.setdefault(hash_file(video), video)
                if files[earlier] != files[video]:
                    place = os.path.relpath(earlier, examination.root)
                    splits = f"{files[earlier]} and {files[video]}"
                    what = f"the same file as {place}, in {splits}"
                    examination.found("shared-video", video, what)


def find_left_over(examination: Examination) -> None:
    """Differences of one or two lines, crops and videos that no annotation names, videos of one
    name.
    """
    if examination.off_by_few:
        what = f"one or two lines more (+) or less (-) than frames: {few(examination.off_by_few)}"
        examination.found(
            "line-count", f"{len(examination.off_by_few)} clips", what, len(examination.off_by_few)
        )
    if not examination.test_clips_known:
        return  # nobody knows whether what is left belongs to them
    images = sorted(set(examination.layout.images) - examination.known)
    if images:
        examination.found(
            "unpaired-images",
            examination.layout.image_roots[0],
            f"crops without an annotation: {few(images)}",
            len(images),
        )
    named = examination.known | {source_id(clip_id) for clip_id in examination.known}
    videos = sorted(set(examination.layout.videos) - named)
    if videos:
        examination.found(
            "unpaired-videos",
            examination.layout.root,
            f"videos without an annotation: {few(videos)}",
            len(videos),
        )
