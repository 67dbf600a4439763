"""The studies as tables: what is missing is trained, and the rule of ``claims`` judges."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

import emolib
from emolib.errors import WrongCall, nearest
from emolib.evaluation import metrics
from emolib.evaluation.identity import LOADED
from emolib.labels import EXPRESSIONS
from emolib.results.tables.text import NONE, markdown, number, signed, with_interval
from emolib.results.trainings import UNRECORDED
from emolib.studies.calibration.reliability import sentence
from emolib.studies.calibration.verdicts import as_runs
from emolib.studies.claims import verdict
from emolib.studies.comparison import compare, scored
from emolib.studies.effects import benchmark_study
from emolib.studies.effects.benchmark_study import BenchmarkStudy
from emolib.studies.effects.leak import LEAK, LEAK_ON_BENCHMARK
from emolib.studies.effects.peers import PEERS, PEERS_ON_BENCHMARK
from emolib.studies.effects.relation import RELATED
from emolib.studies.effects.study import Side, Study, train_side
from emolib.studies.effects.text import FEW_LABELS
from emolib.system.code import code_hash, files_of
from emolib.system.device import device, training_arithmetic
from emolib.system.files import atomic_path, hash_of, read_json, write_json, write_text

FOLDER = Path(emolib.__file__).parent / "assets" / "effects"
STUDIES = {study.name: study for study in (RELATED, FEW_LABELS, PEERS, LEAK)}
ON_BENCHMARK = {"peers": PEERS_ON_BENCHMARK, "leak": LEAK_ON_BENCHMARK}  # as well, if asked for
TITLES = {  # of what a study may show beside macro-F1
    "no_sound": "Without sound",
    "no_faces": "Without faces",
    "calibration_error": "Calibration error",
}
DESCRIBED = ("name", "question", "known", "classes", "shown")
LACKING = ("no_sound", "no_faces")  # what a window may be without when the model is tested
MODULES = (  # whose code decides what a side tells, beside its study's own
    "emolib.studies.calibration.known",
    "emolib.studies.calibration.latents",
    "emolib.studies.calibration.windows",
    "emolib.studies.effects.study",
)


def make(
    folder: Path,
    names: Sequence[str] = (),
    *,
    seeds: int,
    on_benchmark: bool = False,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Train what ``folder`` lacks of the studies ``names`` (all when empty), each side with
    ``seeds`` seeds; what was made, also in ``<study>.json``, ``.csv`` and ``.md`` there.

    ``on_benchmark``: those of ON_BENCHMARK after them.

    Raises WrongCall for an unknown study and for fewer than two seeds.
    """
    for name in names:
        if name not in STUDIES:
            raise WrongCall(f"unknown study {name!r}{nearest(name, STUDIES)}")
    if seeds < 2:
        raise WrongCall(f"seeds={seeds}: one seed has no spread; give at least 2")
    names = list(names or STUDIES)
    asked: list[Study | BenchmarkStudy] = [STUDIES[name] for name in names]
    if on_benchmark:
        asked += [ON_BENCHMARK[name] for name in names if name in ON_BENCHMARK]
    studies = [_study(folder, study, seeds, progress) for study in asked]
    for study in studies:
        path = folder / study["name"]
        write_json(path.with_suffix(".json"), study)
        write_text(path.with_suffix(".csv"), pd.DataFrame(study["rows"]).to_csv(index=False))
        write_text(path.with_suffix(".md"), text(study))
    return studies


@cache
def committed(name: str) -> dict[str, Any]:
    """What :func:`make` returned for the study ``name`` when the committed figures were made."""
    return read_json(FOLDER / f"{name}.json")


def text(study: Mapping[str, Any]) -> str:
    """A study as Markdown: its question and table, and how reliable its verdicts are."""
    caption = f"{study['question']} {study['known']}"
    trained = study.get("arithmetic", UNRECORDED)
    made = f"Made by `{study['made_by']}`, trained in {trained}, code {study['code']}."
    return f"{markdown(table(study), caption)}\n{made} {study['reliability']}\n"


def _study(
    folder: Path, study: Study | BenchmarkStudy, seeds: int, progress: bool
) -> dict[str, Any]:
    sides = tqdm(study.sides, desc=study.name, unit="side", disable=not progress)
    told = {side.name: _told(folder, study, side, seeds, progress) for side in sides}
    reference = told[study.sides[0].name]
    classes = [EXPRESSIONS.index(name) for name in study.classes]
    rows = [_row(side, told[side.name], reference, classes) for side in study.sides]
    if isinstance(study, Study):
        rows += [_untrained(study, title, classes) for title in study.untrained]
    described = {name: getattr(study, name) for name in DESCRIBED}
    return {
        **described,
        "made_by": f"{study.command} --seeds {seeds}",
        "code": LOADED,
        "arithmetic": _arithmetic(study),
        "reliability": sentence(seeds),
        "seeds": seeds,
        "clips": len(np.unique(_units(reference))),
        "rows": rows,
    }


def _arithmetic(study: Study | BenchmarkStudy) -> str:
    """What a study's models are trained in; those on latent signals are trained on a CPU."""
    first = study.sides[0]
    if isinstance(study, BenchmarkStudy):
        return training_arithmetic(device(), study.experiment(first).amp)
    return training_arithmetic("cpu", study.experiment(first, 0).amp)


def _told(
    folder: Path, study: Study | BenchmarkStudy, side: Side, seeds: int, progress: bool
) -> dict[str, np.ndarray]:
    """``train_side``; on latent signals kept by the settings and the code that it follows from."""
    if isinstance(study, BenchmarkStudy):
        return benchmark_study.train_side(folder, study, side, seeds, progress)
    paths = files_of((*MODULES, study.module))
    code = code_hash(path.read_text(encoding="utf-8") for path in paths)
    settings = asdict(study.experiment(side, 0))
    key = hash_of([settings, study.train_clips, study.check_clips, seeds, code, LOADED])
    path = folder / study.name / f"{side.name}-{key}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = dict(train_side(study, side, seeds))
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, **arrays)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _row(
    side: Side,
    told: Mapping[str, np.ndarray],
    reference: Mapping[str, np.ndarray],
    classes: Sequence[int],
) -> dict[str, Any]:
    """Scores of one side, and its differences to the reference with their verdicts."""
    ours, theirs = _as_runs(told), _as_runs(reference)
    row: dict[str, Any] = {"name": side.name, "title": side.title, **scored(ours["all"])}
    row["calibration_error"] = _calibration_error(told)
    for lacking in sorted(set(LACKING) & set(ours)):
        row[lacking] = scored(ours[lacking])["macro_f1"]
    if classes:
        row["part"] = _mean_f1(told, classes)
    if told is not reference:
        row |= _judged("", compare(ours["all"], theirs["all"]))
        for lacking in sorted(set(LACKING) & set(ours)):
            row |= _judged(f"{lacking}_", compare(ours[lacking], theirs[lacking]))
        if classes:
            row |= _judged("part_", compare(ours["all"], theirs["all"], classes))
    return row


def _as_runs(told: Mapping[str, np.ndarray]) -> dict[str, list[pd.DataFrame]]:
    """What a side's runs predict, with all streams and without one; ``clip`` is what is resampled:
    each window, or the videos of the benchmark.
    """
    units, runs = _units(told), {}
    for shown in ("all", *LACKING):
        if shown in told:
            tables = as_runs(told["label"], told[shown].argmax(axis=2), slice(None))
            runs[shown] = [table.assign(clip=units) for table in tables]
    return runs


def _units(told: Mapping[str, np.ndarray]) -> np.ndarray:
    """What each row belongs to when a score is resampled."""
    return told.get("unit", np.arange(len(told["label"])))


def _mean_f1(told: Mapping[str, np.ndarray], classes: Sequence[int]) -> float:
    by_seed = [metrics.class_f1(told["label"], row) for row in told["all"].argmax(axis=2)]
    return float(np.mean([f1[list(classes)].mean() for f1 in by_seed]))


def _calibration_error(told: Mapping[str, np.ndarray]) -> float:
    """The expected calibration error, the mean over seeds."""
    made = [metrics.calibration(told["label"], probabilities) for probabilities in told["all"]]
    return float(np.mean([each["expected_calibration_error"] for each in made]))


def _judged(prefix: str, paired: Mapping[str, Any]) -> dict[str, Any]:
    """A difference to the reference, and whether it is better by the rule of ``claims``."""
    return {
        f"{prefix}difference": paired["difference"],
        f"{prefix}difference_interval": paired["interval"],
        f"{prefix}verdict": verdict(paired["interval"], min(paired["seeds"])),
    }


def _untrained(study: Study, title: str, classes: Sequence[int]) -> dict[str, Any]:
    """The row of a rule that needs no training; ``part``: mean F1 of ``classes``."""
    windows = study.sides[0].check(study.check_clips, 1)
    f1 = np.asarray(metrics.class_f1(windows.label, study.untrained[title](windows)))
    part = float(f1[list(classes)].mean())
    return {"name": title, "title": title, "macro_f1": float(f1.mean()), "part": part}


def table(study: Mapping[str, Any]) -> pd.DataFrame:
    """The rows of a study to print: each side, and what it has more than the first one."""
    titles = TITLES | {"part": f"F1 of {', '.join(study['classes'])}"}
    lines = []
    for row in study["rows"]:
        line = {"Side": row["title"], "Macro-F1": _score(row), **_compared("Minus first", row)}
        for name in study["shown"]:
            line[titles[name]] = number(row.get(name))
            if name != "calibration_error":
                line |= _compared(f"{titles[name]}, minus first", row, f"{name}_")
        lines.append(line)
    return pd.DataFrame(lines)


def _score(row: Mapping[str, Any]) -> str:
    interval = row.get("interval")
    return with_interval(row["macro_f1"], interval) if interval else number(row["macro_f1"])


def _compared(title: str, row: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A column with a difference and its verdict; a dash where nothing is compared."""
    if f"{prefix}difference" not in row:
        return {title: NONE}
    interval = row[f"{prefix}difference_interval"]
    shown = signed(row[f"{prefix}difference"], interval)
    return {title: f"{shown}, {row[f'{prefix}verdict']}"}
