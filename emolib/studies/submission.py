"""The challenge's file for the test set: written along the official template, and checked against
it (docs/data.md).

A header ``image_location,Neutral,...,Other``, then every row of the template in its order with one
class each: ``14-30-1920x1080/00001.jpg,0``.

Fill rule: a frame without a prediction takes the last predicted frame before it in its clip, at the
beginning of a clip the first predicted one; a clip without any face is what validation scores such
a clip as, the training windows' most frequent class (``evaluation.fallback``). Predictions of no
run have no such class: Neutral (0), as in the released code.
"""

from pathlib import Path
from typing import Any

import numpy as np

from emolib.config import Experiment
from emolib.data.affwild2 import listed_for_test
from emolib.data.annotations import Template, read_template
from emolib.data.clip import Clip
from emolib.data.coverage import coverage_of, face_shares, told
from emolib.data.layout import find_layout
from emolib.data.mark import is_synthetic
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation import predictions as evaluation
from emolib.evaluation.identity import LOADED
from emolib.features import prepare as inputs
from emolib.features import protocols
from emolib.features.origin import origin
from emolib.features.sources import stamps
from emolib.labels import EXPRESSIONS, NOT_ANNOTATED, NUM_CLASSES
from emolib.model import EmotionModel
from emolib.studies.submission_check import check
from emolib.system.files import (
    form_checked,
    hash_file,
    hash_of,
    read_record,
    write_json,
    write_text,
)
from emolib.system.runs import writing
from emolib.training import run as training

FILL_RULE = (
    "a frame without a prediction repeats the last one before it in its clip, "
    "at the beginning the first one; a clip without any is"
)
NEUTRAL = 0


def of_run(
    run: Path,
    out: Path,
    *,
    data: str = "",
    template: Path | None = None,
    min_face_share: float | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Predict the template's clips with the run in folder ``run``, write ``out`` along the template
    and check it.

    ``data``: another tree than the run's; ``template``: by default the tree's own; it alone says
    which clips and how many frames are predicted. Each clip's predictions are kept in
    ``run``/test_predictions and, while what they come from is the same, not made again. Returns
    what :func:`write_submission` does, with ``origin``, ``face_share``, the share of all rows with
    a face, and ``missing_faces``, what to say of those that the run lacked; ``left_out`` are ids of
    the tree's test list that the template lacks. Raises EmolibError when there is no template, no
    clip with anything to predict from, where a clip has faces in less than ``min_face_share`` of
    its frames (by default the run's setting; 0: go on), the written file does not pass
    ``submission_check.check``, or another process writes into the run; WrongCall where ``out`` is
    the template.
    """
    model, experiment = training.load_model(run)
    missing_faces = _missing_faces(run, experiment)
    experiment = experiment.replace(data=str(Path(data).resolve())) if data else experiment
    if min_face_share is not None:
        experiment = experiment.replace(min_face_share=min_face_share)
    root = inputs.root_of(experiment, progress=progress)
    layout = find_layout(
        root, experiment.crops, need_annotations=False, links_out=experiment.links_out
    )
    templates = [template] if template else layout.submission_templates()
    if not templates:
        raise EmolibError(
            f"{root}: no example of a submission file in this tree; give it with --template FILE"
        )
    if out.exists() and out.samefile(templates[0]):
        raise WrongCall(f"{out}: the template itself; give --out another name")
    clips = inputs.clips_of(experiment, ("test",), template=templates[0], progress=progress)
    shown = [clip for clip in clips if protocols.shown(experiment, clip).any()]
    with writing(run):
        classes = _predicted(run, model, experiment, shown)
    if not classes:
        where = " or ".join(str(folder) for folder in layout.image_roots)
        raise EmolibError(
            f"{where}: no image of any of the {len(clips)} test clips; "
            "unpack the test clips' crops there"
        )
    classes = {clip.id: classes.get(clip.id, np.zeros(0, int)) for clip in clips}
    result = write_submission(
        templates[0], classes, out, fallback=int(evaluation.fallback(model).argmax())
    )
    if problems := check(out, templates[0]):
        raise EmolibError(f"{out}: {problems[0]['what']} (line {problems[0]['line']})")
    return result | {
        "origin": origin(experiment),
        "missing_faces": missing_faces,
        "face_share": face_shares(coverage_of(clips)).get("test", 0.0),
        "left_out": sorted(set(listed_for_test(layout)) - set(classes)),
    }


def _missing_faces(run: Path, experiment: Experiment) -> str:
    """What to say where the run saw fewer faces than the official release has; empty otherwise, and
    for generated data.
    """
    path = run / "metrics.json"
    if not path.is_file() or not experiment.data or is_synthetic(Path(experiment.data)):
        return ""
    shares = read_record(path).get("face_shares", {})
    with form_checked(path):
        return told(shares)


def _predicted(
    run: Path, model: EmotionModel, experiment: Experiment, clips: list[Clip]
) -> dict[str, np.ndarray]:
    """Classes ``[n]`` of every frame of ``clips`` by id: what ``run`` keeps already, and the rest
    predicted and kept.

    A file's name has a hash of all that it depends on, so that one of another model, template,
    tree or code is never taken.
    """
    key = [hash_file(run / "model.safetensors"), experiment.fingerprint("train"), LOADED]
    paths = {
        clip_id: run / "test_predictions" / f"{clip_id}-{hash_of([*key, stamp])}.json"
        for clip_id, stamp in stamps(experiment, clips).items()
    }
    missing = [clip for clip in clips if not paths[clip.id].exists()]
    for clip, (rows,) in evaluation.frame_rows([model], inputs.FrameSets(experiment, missing)):
        _keep(paths[clip.id], rows)
    return {clip_id: _kept(path) for clip_id, path in paths.items()}


def _keep(path: Path, rows: np.ndarray) -> None:
    """Write the classes of probabilities ``[n, 8]``, with what they are of: the file's name."""
    classes = rows.argmax(axis=1).tolist()
    write_json(path, {"name": path.stem, "classes": classes}, sealed=True)


def _kept(path: Path) -> np.ndarray:
    """The classes ``[n]`` in ``path``; raises EmolibError where they are of something else."""
    record = read_record(path, "name", "classes")
    if record["name"] != path.stem:
        raise EmolibError(
            f"{path}: holds the predictions of {record['name']}; delete it and predict again"
        )
    with form_checked(path):
        return np.array(record["classes"], np.int64)


def write_submission(
    template: Path, predictions: dict[str, np.ndarray], path: Path, *, fallback: int = NEUTRAL
) -> dict[str, Any]:
    """Write the submission ``path`` for the official ``template``, atomically.

    predictions: clip id -> int ``[n]``, element i - 1 the class 0..7 of frame i, or -1 where there
    is none; frames beyond ``n`` have none; a clip without any is class ``fallback``. Clips that the
    template does not name are left out. Returns ``rows``, ``clips``, ``filled`` (rows filled by the
    rule), ``empty`` (clips without any prediction), ``left_out`` (ids) and ``fill_rule``. Raises
    EmolibError when a clip of the template is not among the predictions or the template is damaged,
    WrongCall for a class outside -1..7.
    """
    rows = read_template(template)
    missing = [clip_id for clip_id in rows.ids if clip_id not in predictions]
    if missing:
        raise EmolibError(
            f"{template}: {len(missing)} of its {len(rows.ids)} clips have no predictions, "
            f"the first is {missing[0]}; predict every test clip"
        )
    classes, given = _by_row(rows, predictions, fallback)
    digits = classes.tolist()
    lines = [f"{row},{digit}" for row, digit in zip(rows.rows, digits, strict=True)]
    write_text(path, "\n".join([rows.header, *lines]) + "\n")
    return {
        "rows": len(lines),
        "clips": len(rows.ids),
        "filled": int(len(lines) - given.sum()),
        "empty": [
            clip_id for clip_id in rows.ids if not (np.asarray(predictions[clip_id]) >= 0).any()
        ],
        "left_out": sorted(set(predictions) - set(rows.ids)),
        "fill_rule": f"{FILL_RULE} {EXPRESSIONS[fallback]}",
    }


def _by_row(
    template: Template, predictions: dict[str, np.ndarray], fallback: int
) -> tuple[np.ndarray, np.ndarray]:
    """(class of every row of the template, whether it was predicted rather than filled), both
    ``[R]``.
    """
    lengths = template.frames()
    whole, given, offsets, at = [], [], [], 0
    for clip_id in template.ids:
        classes = _checked(clip_id, predictions[clip_id])
        n = max(lengths[clip_id], len(classes))
        classes = np.pad(classes, (0, n - len(classes)), constant_values=NOT_ANNOTATED)
        whole.append(fill(classes, fallback))
        given.append(classes >= 0)
        offsets.append(at)
        at += n
    position = np.array(offsets)[template.clip] + template.frame - 1
    return np.concatenate(whole)[position], np.concatenate(given)[position]


def _checked(clip_id: str, classes: Any) -> np.ndarray:
    array = np.asarray(classes)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise WrongCall(
            f"{clip_id}: predictions of shape {array.shape} and type {array.dtype}; "
            "expected one integer a frame"
        )
    wrong = array[(array < NOT_ANNOTATED) | (array >= NUM_CLASSES)]
    if len(wrong):
        raise WrongCall(f"{clip_id}: a prediction of {wrong[0]}; expected -1..{NUM_CLASSES - 1}")
    return array.astype(np.int64)


def fill(classes: np.ndarray, fallback: int = NEUTRAL) -> np.ndarray:
    """Classes ``[n]`` of one clip with every -1 filled by the module's fill rule; all ``fallback``
    where every one is -1.
    """
    predicted = np.flatnonzero(classes >= 0)
    if not len(predicted):
        return np.full(len(classes), fallback, dtype=np.int64)
    source = np.maximum.accumulate(np.where(classes >= 0, np.arange(len(classes)), predicted[0]))
    return classes[source]
