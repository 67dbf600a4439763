"""What is wrong with a submission, by the official template: each kind of problem with its first
line, in plain words.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from emolib.data.annotations import ROW_NAME, SUBMISSION_HEADER, read_template
from emolib.labels import NUM_CLASSES

CLASSES = {str(label) for label in range(NUM_CLASSES)}


def check(file: Path, template: Path) -> list[dict[str, Any]]:
    """What is wrong with a submission: one entry for each kind of problem, none when the file is
    valid.

    An entry has ``kind``, ``line`` (of its first occurrence, 1-based), ``count`` and ``what``, a
    sentence about the first occurrence. Kinds: ``unreadable``, ``empty``, ``byte-order-mark``,
    ``header``, ``blank-line``, ``columns``, ``location``, ``not-a-class`` (not an integer),
    ``range``, ``duplicate``, ``unknown``, ``missing``, ``order``. Raises EmolibError when the
    template itself is missing or damaged.
    """
    rows = read_template(template)
    try:
        text = Path(file).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        return [_problem("unreadable", [1], f"the file cannot be read as text ({error})")]
    problems = []
    if text.startswith("\ufeff"):
        what = "the file begins with a byte order mark; save it as UTF-8 without one"
        problems.append(_problem("byte-order-mark", [1], what))
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n").split("\n")
    if lines == [""]:
        return [*problems, _problem("empty", [1], "the file is empty")]
    begin = 0 if ROW_NAME.fullmatch(lines[0].split(",")[0]) else 1
    if lines[0] != SUBMISSION_HEADER:
        what = "there is no header line" if begin == 0 else f"the header is {lines[0][:120]!r}"
        problems.append(_problem("header", [1], f"{what}; expected {SUBMISSION_HEADER}"))
    numbered = list(enumerate(lines[begin:], begin + 1))
    blank = [number for number, line in numbered if not line.strip()]
    if blank:
        problems.append(_problem("blank-line", blank, "a blank line between the rows"))
    numbered = [(number, line) for number, line in numbered if line.strip()]
    locations = [(number, line.split(",", 1)[0]) for number, line in numbered]
    return [*problems, *_wrong_rows(numbered), *_wrong_places(locations, rows.rows)]


def _problem(kind: str, lines: list[int], what: str) -> dict[str, Any]:
    return {"kind": kind, "line": lines[0], "count": len(lines), "what": what}


def _wrong_rows(numbered: list[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    """Problems of single rows: columns, form of the location, class."""
    found: dict[str, list[tuple[int, str]]] = {
        "columns": [],
        "location": [],
        "not-a-class": [],
        "range": [],
    }
    for number, line in numbered:
        location, *values = line.split(",")
        if ROW_NAME.fullmatch(location) is None:
            found["location"].append((number, location))
        if len(values) != 1:
            found["columns"].append((number, str(len(values) + 1)))
        elif values[0] not in CLASSES:
            integer = values[0].removeprefix("-").isdecimal()
            found["range" if integer else "not-a-class"].append((number, values[0]))
    what = {
        "columns": "the row has {} column(s); expected image_location,class",
        "location": "{!r} is not an image location like 14-30-1920x1080/00001.jpg",
        "not-a-class": "{!r} is not a class; expected one integer 0..7",
        "range": "class {} is outside 0..7",
    }
    for kind, rows in found.items():
        if rows:
            yield _problem(kind, [number for number, _ in rows], what[kind].format(rows[0][1]))


def _wrong_places(numbered: list[tuple[int, str]], expected: list[str]) -> Iterator[dict[str, Any]]:
    """Problems of the rows together: twice, not in the template, left out, in another order."""
    if [location for _, location in numbered] == expected:
        return
    wanted = set(expected)
    first: dict[str, int] = {}
    twice, unknown = [], []
    for number, location in numbered:
        if location in first:
            twice.append((number, location))
        elif location in wanted:
            first[location] = number
        elif ROW_NAME.fullmatch(location):
            unknown.append((number, location))
    missing = [location for location in expected if location not in first]
    if twice:
        number, location = twice[0]
        what = f"{location} stands on line {first[location]} already"
        yield _problem("duplicate", [number for number, _ in twice], what)
    if unknown:
        what = f"{unknown[0][1]} is not in the template"
        yield _problem("unknown", [number for number, _ in unknown], what)
    if missing:
        line = numbered[-1][0] + 1 if numbered else 2
        what = f"{len(missing)} rows of the template are missing, the first is {missing[0]}"
        yield _problem("missing", [line] * len(missing), what)
    present = (location for location in expected if location in first)
    moved = [pair for pair in zip(first, present, strict=True) if pair[0] != pair[1]]
    if moved:
        what = f"{moved[0][0]} stands where the template has {moved[0][1]}"
        yield _problem("order", [first[location] for location, _ in moved], what)
