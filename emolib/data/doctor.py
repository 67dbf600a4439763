"""``emolib doctor``: is this tree what emolib thinks it is? (docs/data.md)

Counts against the official totals, a row for each clip,
and the faults that :mod:`emolib.data.kinds` names.
"""

from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from emolib.data.across import find_leaks, find_left_over
from emolib.data.affwild2 import FAR
from emolib.data.examination import Examination, kind_of
from emolib.data.kinds import KINDS
from emolib.data.layout import find_layout
from emolib.data.mark import is_synthetic
from emolib.data.official import OFFICIAL
from emolib.errors import EmolibError, WrongCall
from emolib.labels import EXPRESSIONS, NUM_CLASSES, class_counts
from emolib.system.files import few

LOOKS_OFFICIAL = 200  # training clips; from here on the totals are held against the official ones
SAMPLED_IMAGES = 50_000  # decoded without ``full``, spread evenly; about 15 s


def examine(
    root: Path,
    *,
    full: bool = False,
    progress: bool = True,
    crops: str = "cropped_aligned",
    links_out: bool = False,
) -> dict[str, Any]:
    """Examine the tree at ``root``; ``full`` decodes every image and all sound instead of a sample
    and the headers; ``links_out``: links may lead out of the tree.

    Returns, ready for JSON: ``root``, ``crops``, ``full``, ``totals`` and ``official`` (per split),
    ``clips`` (rows of id, split, lines, images, faces_missing, decoded, fps, time_source, drift_s,
    sound), ``images_read``, ``problems`` (kind, severity, where, what, do, count; see
    ``kinds.KINDS``) and ``exit_ok``, False when training on the tree would stop or give wrong
    numbers. A folder that is no tree is a problem of its own, not an exception.
    Raises WrongCall for unknown ``crops``.
    """
    report: dict[str, Any] = {"root": str(root), "crops": crops, "full": full, "official": OFFICIAL}
    try:
        layout = find_layout(root, crops, links_out=links_out)
    except WrongCall:
        raise
    except EmolibError as error:
        return report | _no_tree(error)
    examination = Examination(root, layout, full=full)
    listed = examination.annotations()
    listed += examination.test_set()
    examination.frame_rates()
    try:
        for split, clip_id in tqdm(listed, desc="examine clips", unit="clip", disable=not progress):
            examination.clip(split, clip_id)
    finally:
        examination.index.save()
    examination.missing_faces()
    find_leaks(examination)
    find_left_over(examination)
    images_read = _decode_images(examination, full=full, progress=progress)
    totals = _totals(examination)
    _usable(examination, totals)
    if totals["train"]["clips"] >= LOOKS_OFFICIAL and not is_synthetic(root):
        _against_official(examination, totals, with_faces=crops == "cropped_aligned")
    order = {severity: i for i, severity in enumerate(("error", "warning", "note"))}
    problems = sorted(examination.problems, key=lambda problem: order[problem["severity"]])
    exit_ok = all(problem["severity"] != "error" for problem in problems)
    return {
        **report,
        "totals": totals,
        "clips": examination.clips,
        "images_read": images_read,
        "problems": problems,
        "exit_ok": exit_ok,
    }


def _no_tree(error: EmolibError) -> dict[str, Any]:
    """What is reported of a folder that is no tree."""
    kind = kind_of(error, "not-a-tree")
    severity, advice = KINDS[kind]
    problem = {
        "kind": kind,
        "severity": severity,
        "where": ".",
        "what": str(error),
        "do": advice,
        "count": 1,
    }
    return {"totals": {}, "clips": [], "images_read": 0, "problems": [problem], "exit_ok": False}


def _decode_images(examination: Examination, *, full: bool, progress: bool) -> int:
    """Decode all images or an even sample, one problem for each clip with damaged ones;
    returns how many were read.
    """
    total = sum(int(present.sum()) for present in examination.faces.values())
    step = 1 if full else max(1, -(-total // SAMPLED_IMAGES))
    read = 0
    with tqdm(
        total=-(-total // step), desc="decode images", unit="image", disable=not progress
    ) as bar:
        for clip_id, present in examination.faces.items():
            folder = examination.folders[clip_id]
            paths = (
                [folder / f"{number:05d}.jpg" for number in (np.flatnonzero(present) + 1)[::step]]
                if folder
                else []
            )
            bad = [path for path in paths if examination.read_image(path)]
            if bad:
                what = (
                    f"{len(bad)} of {len(paths)} images read cannot be decoded: "
                    f"{few([path.name for path in bad])}"
                )
                examination.found("image-unreadable", bad[0], what, len(bad))
            read += len(paths)
            bar.update(len(paths))
    return read


def _totals(examination: Examination) -> dict[str, Any]:
    """Clips, lines, labelled frames, those with a face and their classes, per split."""
    totals: dict[str, Any] = {}
    for split in OFFICIAL:
        ids = [row["id"] for row in examination.clips if row["split"] == split]
        labels = [examination.labels[clip_id] for clip_id in ids if clip_id in examination.labels]
        faces = [
            examination.labels[clip_id][examination.faces[clip_id]]
            for clip_id in ids
            if clip_id in examination.labels
        ]
        totals[split] = {
            "clips": len(ids),
            "lines": sum(len(array) for array in labels),
            "labelled": int(sum((array >= 0).sum() for array in labels)),
            "with_face": int(sum((array >= 0).sum() for array in faces)),
            "classes": np.sum([class_counts(array) for array in faces], axis=0).tolist()
            if faces
            else [0] * NUM_CLASSES,
        }
    return totals


def _usable(examination: Examination, totals: dict[str, Any]) -> None:
    """A split without one label or without any sound: scores on it would not be those of an
    audio-visual model.
    """
    for split, counts in totals.items():
        rows = [row for row in examination.clips if row["split"] == split]
        if split != "test" and not counts["labelled"]:
            examination.found("nothing-to-use", split, "no frame of this split is annotated")
        if rows and not any(row["sound"] for row in rows):
            examination.found(
                "nothing-to-use", split, f"none of the {len(rows)} clips of this split has sound"
            )


def _against_official(
    examination: Examination, totals: dict[str, Any], *, with_faces: bool
) -> None:
    for split, expected in OFFICIAL.items():
        if split == "test" and not totals["test"]["clips"]:
            continue
        for name in ("clips", "labelled", "with_face"):
            if name not in expected or (name == "with_face" and not with_faces):
                continue
            got, official = totals[split][name], expected[name]
            if got != official:
                kind = "totals-far" if abs(got - official) > FAR * official else "totals"
                examination.found(
                    kind,
                    split,
                    f"{name.replace('_', ' ')}: {got:,}, the official release has {official:,}",
                )


def format_report(report: dict[str, Any]) -> str:
    """The report as text for a terminal: totals, the table of clips, problems by severity,
    the verdict.
    """
    lines = [f"{report['root']} ({report['crops']})", ""]
    if report["totals"]:
        lines += [*_totals_table(report), "", *_clip_table(report["clips"]), ""]
        read = "all" if report["full"] else "a sample"
        lines += [
            f"{report['images_read']:,} images decoded ({read} of those that belong to a frame)",
            "",
        ]
    return "\n".join([*lines, *problem_lines(report)]) + "\n"


def problem_lines(report: dict[str, Any]) -> list[str]:
    """Problems by severity, each with what to do, and the verdict."""
    lines: list[str] = []
    for severity, title in (
        ("error", "Errors"),
        ("warning", "Warnings"),
        ("note", "Notes (normal, handled)"),
    ):
        rows = [problem for problem in report["problems"] if problem["severity"] == severity]
        if rows:
            lines.append(f"{title}:")
            for problem in rows:
                lines.append(f"  {problem['kind']}: {problem['where']}: {problem['what']}")
                if severity != "note":
                    lines.append(f"    -> {problem['do']}")
            lines.append("")
    errors = sum(problem["severity"] == "error" for problem in report["problems"])
    lines.append(
        "Ready for training."
        if report["exit_ok"]
        else f"Not ready: {errors} error(s); training on this would stop or give wrong numbers."
    )
    return lines


def _totals_table(report: dict[str, Any]) -> list[str]:
    columns = ["clips", "labelled", "with_face"]
    lines = [
        f"{'':12}"
        + "".join(f"{name.replace('_', ' '):>12}" for name in columns)
        + "".join(f"{name:>10}" for name in EXPRESSIONS)
    ]
    for split, totals in report["totals"].items():
        for title, row in ((split, totals), ("  official", report["official"][split])):
            cells = [f"{row[name]:>12,}" if name in row else f"{'':>12}" for name in columns]
            cells += (
                [f"{count:>10,}" for count in row.get("classes", [])] if split != "test" else []
            )
            lines.append(f"{title:12}" + "".join(cells))
    return lines


def _clip_table(clips: list[dict[str, Any]]) -> list[str]:
    width = max([len(row["id"]) for row in clips] + [4])
    lines = [
        f"{'clip':{width}}  split       lines  images  decoded      fps  "
        "missing  drift at 30  sound"
    ]
    for row in clips:
        number = {
            name: "-" if row[name] is None else str(row[name]) for name in ("lines", "decoded")
        }
        lines.append(
            f"{row['id']:{width}}  {row['split']:10}  {number['lines']:>5}  {row['images']:>6}  "
            f"{number['decoded']:>7}  {row['fps']:>7.3f}"
            f"  {row['faces_missing']:>7}  {row['drift_s']:>+9.2f} s  "
            f"{'yes' if row['sound'] else 'no'}"
        )
    return lines
