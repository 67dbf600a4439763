"""Files of ``emolib predict``: which videos are meant, where the results of each go,
and that those are whole or not there.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
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
    "timeline.png",
    "timeline.svg",
    "annotated.mp4",
    "summary.json",
)


def collect(videos: Sequence[Path], say: Callable[[str], None] = print) -> list[Path]:
    """The videos named, folders replaced by the videos in them (not deeper), each once.

    ``say`` gets a line about a folder's files that are not taken for videos. Raises WrongCall when
    nothing is named, EmolibError for a folder without videos.
    """
    found: list[Path] = []
    for path in map(Path, videos):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if not p.name.startswith("."))
            taken = [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
            others = [p.name for p in inside if p not in taken and p.is_file()]
            if not taken:
                raise EmolibError(
                    f"{path}: no video in this folder; looked for {', '.join(VIDEO_SUFFIXES)}; "
                    "name other files to try them"
                )
            if others:
                say(printable(f"{path}: not taken: {few(others)}; name them to try them"))
            found += taken
        else:
            found.append(path)
    if not found:
        raise WrongCall("no video given: name files or a folder")
    return list(dict.fromkeys(found))


def folders_for(videos: Sequence[Path], out: Path, *, overwrite: bool) -> dict[Path, Path]:
    """A result folder in ``out`` for each video, named by its stem;
    by its whole name where stems are equal.

    Raises WrongCall for two videos of one name and for results that are there already, EmolibError
    when ``out`` cannot be written or something else is in a result's place; all before any work.
    """
    stems = [video.stem for video in videos]
    names = {
        video: video.stem if stems.count(video.stem) == 1 else video.name.replace(".", "_")
        for video in videos
    }
    for video, name in names.items():
        if list(names.values()).count(name) > 1:
            raise WrongCall(
                f"{video}: another video has the same name; "
                "give them in two calls with two --out folders"
            )
        if not overwrite and any((out / name / file).exists() for file in RESULTS):
            raise WrongCall(
                f"{out / name}: holds results already; choose another --out or say --overwrite"
            )
        if (out / name).exists() and not (out / name).is_dir():
            raise EmolibError(
                f"{out / name}: a file where the folder of results belongs; "
                "move it or choose another --out"
            )
        for path in (out / name / file for file in RESULTS):
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
    return {video: out / name for video, name in names.items()}


@contextmanager
def whole_results(folder: Path) -> Iterator[Path]:
    """A temporary folder for all RESULTS of a video,
    which replace those in ``folder`` when the block ends without an error.

    Before that nothing in ``folder`` changes, and what else it holds stays. summary.json goes first
    and comes last: where it is, the results are whole, even when the machine stops in between.
    Raises EmolibError when ``folder`` cannot be changed.
    """
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
