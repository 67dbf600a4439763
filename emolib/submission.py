"""The challenge's file for the test set: written along the official template, and checked against it (FACTS section 3).

A header ``image_location,Neutral,...,Other``, then every row of the template in its order with one class each:
``14-30-1920x1080/00001.jpg,0``.

Fill rule: a frame without a prediction takes the last predicted frame before it in its clip, at the beginning of a
clip the first predicted one; a clip whose every frame is without a prediction is Neutral (0), as in the released code.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from emolib import evaluation, inputs, training
from emolib.data.affwild2 import find_layout
from emolib.data.annotations import ROW_NAME, SUBMISSION_HEADER, Template, read_template
from emolib.errors import EmolibError, WrongCall
from emolib.files import write_text
from emolib.labels import NOT_ANNOTATED, NUM_CLASSES
from emolib.origin import origin

FILL_RULE = (
    "a frame without a prediction repeats the last one before it in its clip, at the beginning the first one; a clip without any is Neutral"
)
NEUTRAL = 0
_CLASSES = {str(label) for label in range(NUM_CLASSES)}


def of_run(run: Path, out: Path, *, data: str = "", template: Path | None = None, progress: bool = True) -> dict[str, Any]:
    """Predict the test clips with the run in folder ``run``, write ``out`` along the template and check it.

    ``data``: another tree than the run's; ``template``: by default the tree's own. Returns what :func:`write_submission`
    does, with ``origin``. Raises EmolibError when there is no template or the written file does not pass :func:`check`.
    """
    model, experiment = training.load_model(run)
    experiment = experiment.replace(data=str(Path(data).resolve())) if data else experiment
    root = inputs.root_of(experiment, progress=progress)
    templates = [template] if template else find_layout(root, experiment.crops, need_annotations=False).submission_templates()
    if not templates:
        raise EmolibError(f"{root}: no example of a submission file in this tree; give it with --template FILE")
    classes: dict[str, np.ndarray] = {}
    for part in inputs.FrameSets(experiment, inputs.clips_of(experiment, ("test",), progress=progress)):
        rows = evaluation.predict_clips(model, part)
        seen = set(part.clip.tolist())  # a clip without any face has no window and so no prediction
        classes |= {clip.id: rows[i].argmax(axis=1) if i in seen else np.zeros(0, int) for i, clip in enumerate(part.clips)}
    result = {**write_submission(templates[0], classes, out), "origin": origin(experiment)}
    if problems := check(out, templates[0]):
        raise EmolibError(f"{out}: {problems[0]['what']} (line {problems[0]['line']})")
    return result


def write_submission(template: Path, predictions: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    """Write the submission ``path`` for the official ``template``, atomically.

    predictions: clip id -> int ``[n]``, element i - 1 the class 0..7 of frame i, or -1 where there is none; frames
    beyond ``n`` have none. Clips that the template does not name are left out. Returns ``rows``, ``clips``,
    ``filled`` (rows filled by the rule), ``empty`` (clips without any prediction), ``left_out`` (ids) and
    ``fill_rule``. Raises EmolibError when a clip of the template is not among the predictions or the template is
    damaged, WrongCall for a class outside -1..7.
    """
    rows = read_template(template)
    missing = [clip_id for clip_id in rows.ids if clip_id not in predictions]
    if missing:
        raise EmolibError(
            f"{template}: {len(missing)} of its {len(rows.ids)} clips have no predictions, the first is {missing[0]}; predict every test clip"
        )
    classes, given = _by_row(rows, predictions)
    digits = classes.tolist()
    lines = [f"{row},{digit}" for row, digit in zip(rows.rows, digits, strict=True)]
    write_text(path, "\n".join([rows.header, *lines]) + "\n")
    return {
        "rows": len(lines),
        "clips": len(rows.ids),
        "filled": int(len(lines) - given.sum()),
        "empty": [clip_id for clip_id in rows.ids if not (np.asarray(predictions[clip_id]) >= 0).any()],
        "left_out": sorted(set(predictions) - set(rows.ids)),
        "fill_rule": FILL_RULE,
    }


def _by_row(template: Template, predictions: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """(class of every row of the template, whether it was predicted rather than filled), both ``[R]``."""
    lengths = template.frames()
    whole, given, offsets, at = [], [], [], 0
    for clip_id in template.ids:
        classes = _checked(clip_id, predictions[clip_id])
        n = max(lengths[clip_id], len(classes))
        classes = np.pad(classes, (0, n - len(classes)), constant_values=NOT_ANNOTATED)
        whole.append(fill(classes))
        given.append(classes >= 0)
        offsets.append(at)
        at += n
    position = np.array(offsets)[template.clip] + template.frame - 1
    return np.concatenate(whole)[position], np.concatenate(given)[position]


def _checked(clip_id: str, classes: Any) -> np.ndarray:
    array = np.asarray(classes)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise WrongCall(f"{clip_id}: predictions of shape {array.shape} and type {array.dtype}; expected one integer a frame")
    wrong = array[(array < NOT_ANNOTATED) | (array >= NUM_CLASSES)]
    if len(wrong):
        raise WrongCall(f"{clip_id}: a prediction of {wrong[0]}; expected -1..{NUM_CLASSES - 1}")
    return array.astype(np.int64)


def fill(classes: np.ndarray) -> np.ndarray:
    """Classes ``[n]`` of one clip with every -1 filled by the module's fill rule."""
    predicted = np.flatnonzero(classes >= 0)
    if not len(predicted):
        return np.full(len(classes), NEUTRAL, dtype=np.int64)
    source = np.maximum.accumulate(np.where(classes >= 0, np.arange(len(classes)), predicted[0]))
    return classes[source]


def check(file: Path, template: Path) -> list[dict[str, Any]]:
    """What is wrong with a submission: one entry for each kind of problem, none when the file is valid.

    An entry has ``kind``, ``line`` (of its first occurrence, 1-based), ``count`` and ``what``, a sentence about the
    first occurrence. Kinds: ``unreadable``, ``empty``, ``byte-order-mark``, ``header``, ``blank-line``, ``columns``,
    ``location``, ``not-a-class`` (not an integer), ``range``, ``duplicate``, ``unknown``, ``missing``, ``order``.
    Raises EmolibError when the template itself is missing or damaged.
    """
    rows = read_template(template)
    try:
        text = Path(file).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        return [_problem("unreadable", [1], f"the file cannot be read as text ({error})")]
    problems = []
    if text.startswith("\ufeff"):
        problems.append(_problem("byte-order-mark", [1], "the file begins with a byte order mark; save it as UTF-8 without one"))
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n").split("\n")
    if lines == [""]:
        return [*problems, _problem("empty", [1], "the file is empty")]
    begin = 0 if ROW_NAME.fullmatch(lines[0].split(",")[0]) else 1
    if lines[0] != SUBMISSION_HEADER:
        what = "there is no header line" if begin == 0 else f"the header is {lines[0][:120]!r}"
        problems.append(_problem("header", [1], f"{what}; expected {SUBMISSION_HEADER}"))
    numbered = [(number, line) for number, line in enumerate(lines[begin:], begin + 1) if line.strip()]
    blank = [number for number, line in enumerate(lines[begin:], begin + 1) if not line.strip()]
    problems.extend(_problem("blank-line", blank, "a blank line between the rows") for _ in blank[:1])
    problems.extend(_wrong_rows(numbered))
    problems.extend(_wrong_places([(number, line.split(",", 1)[0]) for number, line in numbered], rows.rows))
    return problems


def _problem(kind: str, lines: list[int], what: str) -> dict[str, Any]:
    return {"kind": kind, "line": lines[0], "count": len(lines), "what": what}


def _wrong_rows(numbered: list[tuple[int, str]]) -> Iterator[dict[str, Any]]:
    """Problems of single rows: columns, form of the location, class."""
    found: dict[str, list[tuple[int, str]]] = {"columns": [], "location": [], "not-a-class": [], "range": []}
    for number, line in numbered:
        location, *values = line.split(",")
        if ROW_NAME.fullmatch(location) is None:
            found["location"].append((number, location))
        if len(values) != 1:
            found["columns"].append((number, str(len(values) + 1)))
        elif values[0] not in _CLASSES:
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
    """Problems of the rows together: given twice, not in the template, left out, in another order."""
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
        yield _problem("duplicate", [number for number, _ in twice], f"{location} stands on line {first[location]} already")
    if unknown:
        yield _problem("unknown", [number for number, _ in unknown], f"{unknown[0][1]} is not in the template")
    if missing:
        line = numbered[-1][0] + 1 if numbered else 2
        yield _problem("missing", [line] * len(missing), f"{len(missing)} rows of the template are missing, the first is {missing[0]}")
    moved = [
        (first[location], location, right)
        for location, right in zip(first, (location for location in expected if location in first), strict=True)
        if location != right
    ]
    if moved:
        number, location, right = moved[0]
        yield _problem("order", [number for number, *_ in moved], f"{location} stands where the template has {right}")
