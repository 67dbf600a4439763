"""Files of ``emolib predict``: which videos are meant, where the results of each go,
and that those are whole or not there.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from emolib.errors import EmolibError, WrongCall
from emolib.system.files import few, printable

VIDEO_SUFFIXES = (
    ".mp4",
    ".mov",
    ".mkv",
    ".avi",
    ".webm",
    ".mpg",
    ".mpeg",
    ".m4v",
    ".wmv",
    ".flv",
    ".ts",
    ".3gp",
    ".mts",
    ".m2ts",
    ".vob",
    ".asf",
    ".3g2",
    ".mxf",
    ".ogv",
)
RESULTS = (
    "predictions.csv",
    "predictions.parquet",
    "predictions.vtt",
    "seconds.csv",
    "timeline.png",
    "timeline.svg",
    "annotated.mp4",
    "summary.json",
)


def collect(
    videos: Sequence[Path], say: Callable[[str], None] = print, *, recursive: bool = True
) -> dict[Path, Path]:
    """The videos named, folders replaced by the videos in them and, if ``recursive``, in the
    folders below; each once, with its path below the folder that was named.

    ``say`` gets a line about a folder's files that are not taken for videos. Raises WrongCall when
    nothing is named, EmolibError for a folder without videos.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, videos):
        if path.is_dir():
            inside = _files_in(path, recursive=recursive)
            taken = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
            others = [str(p.relative_to(path)) for p in inside if p not in taken]
            if not taken:
                raise EmolibError(
                    f"{path}: no video in this folder; looked for {', '.join(VIDEO_SUFFIXES)}; "
                    "name other files to try them"
                )
            if others:
                say(printable(f"{path}: not taken: {few(others)}; name them to try them"))
            for video in taken:
                found.setdefault(video, video.relative_to(path))
        else:
            found.setdefault(path, Path(path.name))
    if not found:
        raise WrongCall("no video given: name files or a folder")
    return found


def _files_in(folder: Path, *, recursive: bool) -> list[Path]:
    """The files in ``folder``, sorted; without hidden ones and without what results hold."""
    files = []
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if recursive and not name.startswith("."))
        results = RESULTS if "summary.json" in names else ()
        files += [
            Path(place) / name
            for name in sorted(names)
            if not name.startswith(".") and name not in results
        ]
    return files


def results_in(videos: Mapping[Path, Path], out: Path) -> dict[Path, Path]:
    """The folder in ``out`` for the results of each of ``videos`` (:func:`collect`):
    its path below the folder that was named, without the suffix where no other video differs by it
    alone.

    Of equal ones, given from several folders, the paths below the folder that holds them all.
    Raises WrongCall where two are equal even so.
    """
    below = _distinct(dict(videos))
    stems = [path.with_suffix("") for path in below.values()]
    places = {
        video: path.with_suffix("")
        if stems.count(path.with_suffix("")) == 1
        else path.with_name(path.name.replace(".", "_"))
        for video, path in below.items()
    }
    for video, place in places.items():
        if list(places.values()).count(place) > 1:
            raise WrongCall(
                f"{video}: another video has the same name; "
                "give them in two calls with two --out folders"
            )
    return {video: out / place for video, place in places.items()}


def _distinct(below: dict[Path, Path]) -> dict[Path, Path]:
    """``below``, or where two are equal the paths below the folder that holds all videos."""
    if len(set(below.values())) == len(below):
        return below
    whole = {video: video.absolute() for video in below}
    root = os.path.commonpath([path.parent for path in whole.values()])
    return {video: path.relative_to(root) for video, path in whole.items()}


def has_results(folder: Path) -> bool:
    """Whether ``folder`` holds the whole results of a video."""
    return (folder / "summary.json").is_file()


def check_folders(folders: Mapping[Path, Path], out: Path, *, overwrite: bool) -> None:
    """That the results of each video can go into its folder in ``out``, before any work.

    Raises WrongCall for results that are there already, EmolibError when ``out`` cannot be written
    or something else is in a result's place.
    """
    for folder in folders.values():
        if not overwrite and any((folder / file).exists() for file in RESULTS):
            raise WrongCall(
                f"{folder}: holds results already; choose another --out, or say --overwrite or "
                "--skip-existing"
            )
        if folder.exists() and not folder.is_dir():
            raise EmolibError(
                f"{folder}: a file where the folder of results belongs; "
                "move it or choose another --out"
            )
        for path in (folder / file for file in RESULTS):
            if path.is_dir():
                raise EmolibError(
                    f"{path}: a folder where a result belongs; move it or choose another --out"
                )
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise EmolibError(
            f"{out}: cannot be written: {error.strerror}; choose another --out folder"
        ) from error


@contextmanager
def whole_results(folder: Path) -> Iterator[Path]:
    """A temporary folder for all RESULTS of a video,
    which replace those in ``folder`` when the block ends without an error.

    Before that nothing in ``folder`` changes, and what else it holds stays. summary.json goes first
    and comes last: where it is, the results are whole, even when the machine stops in between.
    Raises EmolibError when ``folder`` cannot be changed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()  # a link may lead to another disk, onto which nothing can be renamed
    with tempfile.TemporaryDirectory(prefix=".emolib-", dir=folder.parent) as name:
        yield Path(name)
        try:
            folder.mkdir(exist_ok=True)
            (folder / "summary.json").unlink(missing_ok=True)
            for file in RESULTS:
                if (Path(name) / file).exists():
                    (Path(name) / file).replace(folder / file)
                else:
                    (folder / file).unlink(missing_ok=True)
        except OSError as error:
            raise EmolibError(
                f"{folder}: results cannot be replaced: {error.strerror}; "
                "choose another --out folder"
            ) from error
