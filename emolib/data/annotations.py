"""Aff-Wild2's text files, read strictly: annotations, test list, submission template,
frame rates (docs/data.md).

A line that is not what it should be is refused with file and line: a label that is silently read as
something else moves every later label against its image (docs/data.md, Traps). A byte order mark,
CRLF line ends and blank lines at the end are taken as they are meant.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from emolib.errors import EmolibError
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.system.files import check_regular

ROW_NAME = re.compile(r"([^/\\,]+)/(\d{5,7})\.jpg")  # of a template row: <id>/{frame:05d}.jpg
SUBMISSION_HEADER = "image_location," + ",".join(EXPRESSIONS)
_LABELS = {str(label): label for label in range(-1, NUM_CLASSES)}


class BadFile(EmolibError):
    """A file that is not what it should be;
    ``kind`` is the name under which ``emolib doctor`` reports it.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def source_id(clip_id: str) -> str:
    """The id of the video: ``clip_id`` without the ``_left`` or ``_right`` of one of two people."""
    return re.sub(r"(?<=.)_(left|right)$", "", clip_id)


def check_id(clip_id: str, where: str) -> str:
    """``clip_id`` when it names one entry of a folder;
    raises EmolibError at ``where`` when it could leave the tree.
    """
    if (
        not clip_id
        or clip_id != clip_id.strip()
        or clip_id.startswith(".")
        or re.search(r"[/\\\x00-\x1f]", clip_id)
    ):
        raise EmolibError(
            f"{where}: {clip_id!r} is not the id of a clip; "
            "an id is one plain file name without a path"
        )
    return clip_id


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file without line ends, byte order mark and blank lines at the end.

    Raises EmolibError for a missing, empty or non-text file.
    """
    try:
        check_regular(path)
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BadFile("unreadable-file", f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(10) + 1
        raise BadFile(
            "unreadable-file", f"{path}:{line}: not a text file (UTF-8); replace it"
        ) from error
    lines = text.replace("\r\n", "\n").rstrip().split("\n")
    if lines == [""]:
        raise BadFile("empty-file", f"{path}:1: the file is empty; replace it or remove it")
    return lines


def read_labels(path: Path) -> np.ndarray:
    """Labels of one annotation file: int8 ``[n]``, -1..7; line i after the header is frame i.

    Raises EmolibError with file and line for another header,
    a value outside -1..7 or a line that is not a number.
    """
    lines = read_lines(path)
    _check_header(lines[0], path)
    labels = list(map(_LABELS.get, lines[1:]))
    if not labels:
        raise BadFile(
            "empty-file", f"{path}:2: no label after the header; replace the file or remove it"
        )
    if None in labels:
        labels = [_LABELS.get(line.strip()) for line in lines[1:]]
    if None in labels:
        number = labels.index(None)
        line = lines[1 + number].strip()
        if re.fullmatch(r"[+-]?\d+", line):
            raise BadFile(
                "label-range",
                f"{path}:{number + 2}: label {line} is outside -1..{NUM_CLASSES - 1}; "
                "correct the line",
            )
        raise BadFile(
            "label-not-a-number",
            f"{path}:{number + 2}: {line!r} is not a label (an integer); correct the line",
        )
    return np.array(labels, dtype=np.int8)


def _check_header(line: str, path: Path) -> None:
    """Raises EmolibError unless ``line`` names the eight classes in order."""
    names = [name.strip().lower() for name in line.split(",")]
    expected = [name.lower() for name in EXPRESSIONS]
    if names == expected:
        return
    if sorted(names) == sorted(expected):
        kind, what = "header-order", f"the header has the classes in another order ({line.strip()})"
    elif line.strip() in _LABELS:
        kind, what = "header", "no header line"
    else:
        kind, what = "header", f"not the header of an EXPR annotation ({line.strip()[:80]!r})"
    raise BadFile(kind, f"{path}:1: {what}; expected {','.join(EXPRESSIONS)}")


def read_test_list(path: Path) -> list[str]:
    """Ids of the test clips, in the file's order.

    Raises EmolibError with file and line for a bad or repeated id.
    """
    ids: dict[str, int] = {}
    for number, line in enumerate(read_lines(path), 1):
        clip_id = check_id(line.strip(), f"{path}:{number}")
        if clip_id in ids:
            raise EmolibError(
                f"{path}:{number}: {clip_id} stands on line {ids[clip_id]} already; "
                "remove one of them"
            )
        ids[clip_id] = number
    return list(ids)


@dataclass(frozen=True, eq=False)
class Template:
    """The rows that a submission must have, in order."""

    path: Path
    header: str
    rows: list[str]  # image_location, e.g. "14-30-1920x1080/00001.jpg"
    ids: list[str]  # clips in order of their first row
    clip: np.ndarray  # int32 [R], index into ids
    frame: np.ndarray  # int32 [R], 1-based

    def frames(self) -> dict[str, int]:
        """Highest frame number of each clip."""
        highest = np.zeros(len(self.ids), dtype=np.int64)
        np.maximum.at(highest, self.clip, self.frame)
        return dict(zip(self.ids, highest.tolist(), strict=True))


def read_template(path: Path) -> Template:
    """Read the official template: a header, then ``<id>/<frame>.jpg`` with or
    without a second column.

    Raises EmolibError with file and line for another header,
    a row of another form or a row given twice.
    """
    lines = read_lines(path)
    if lines[0].strip() != SUBMISSION_HEADER:
        raise EmolibError(
            f"{path}:1: header {lines[0].strip()[:120]!r}; expected {SUBMISSION_HEADER}"
        )
    index: dict[str, int] = {}
    clip, frame, rows = [], [], []
    for number, line in enumerate(lines[1:], 2):
        row = line.split(",", 1)[0].strip()
        match = ROW_NAME.fullmatch(row)
        if match is None or int(match[2]) < 1:
            raise EmolibError(
                f"{path}:{number}: {row[:80]!r} is not an image location like "
                "14-30-1920x1080/00001.jpg; replace the template"
            )
        if match[1] not in index:
            check_id(match[1], f"{path}:{number}")
            index[match[1]] = len(index)
        clip.append(index[match[1]])
        frame.append(int(match[2]))
        rows.append(row)
    if not rows:
        raise EmolibError(f"{path}:2: no row after the header; replace the template")
    if len(set(rows)) < len(rows):
        first: dict[str, int] = {}
        for number, row in enumerate(rows, 2):
            if first.setdefault(row, number) != number:
                raise EmolibError(
                    f"{path}:{number}: {row} stands on line {first[row]} already; "
                    "replace the template"
                )
    return Template(
        Path(path),
        lines[0].strip(),
        rows,
        list(index),
        np.array(clip, np.int32),
        np.array(frame, np.int32),
    )


def read_frame_rates(path: Path) -> dict[str, float]:
    """``frame_rates.csv`` (``id,fps``, with or without that header)
    for clips whose video is not at hand.

    Raises EmolibError with file and line for a bad id or a rate that is not a positive number.
    """
    rates: dict[str, float] = {}
    for number, line in enumerate(read_lines(path), 1):
        if number == 1 and line.replace(" ", "").lower() == "id,fps":
            continue
        clip_id, _, text = line.partition(",")
        try:
            rate = float(text)
        except ValueError:
            rate = math.nan
        if not 0 < rate < math.inf:
            raise EmolibError(
                f"{path}:{number}: {text.strip()!r} is not a frame rate; "
                "write id,fps with a positive number"
            )
        rates[check_id(clip_id.strip(), f"{path}:{number}")] = rate
    return rates
