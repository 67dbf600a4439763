"""The reproducibility sheet of a run, generated from what its notebooks and trainings have written
down.

The points are those of the checklists of machine learning conferences: hardware, versions, seeds,
parameters, time, how the model was selected, how many runs there were, splits, exclusions, expected
variance, claims and their outcome.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from emolib.config import Experiment, format_settings
from emolib.errors import EmolibError, chosen
from emolib.evaluation import metrics
from emolib.evaluation.identity import Identity, at_hand, differences
from emolib.evaluation.intervals import PERCENT
from emolib.results import tables
from emolib.results.tables import signed
from emolib.results.trainings import arithmetics, trainings
from emolib.system.files import form_checked, read_record

NAME = "reproducibility"
OF_METRICS = ("best_epoch", "experiment", "origin", "parameters", "selection")
OF_PROVENANCE = (
    "emolib",
    "git_commit",
    "git_dirty",
    "python",
    "packages",
    "platform",
    "device",
    "cores",
    "threads",
    "wall_seconds",
)
SINCE = "a training that was stopped counts from where it went on"
CLAIMS = {
    "components_table": "Component",
    "choices_table": "Silent choice",
    "faults_table": "Fault of the released code",
    "imbalance_table": "Imbalance",
    "recipe_table": "Stronger recipe",
}


def write(run: Path) -> pd.DataFrame:
    """Write ``<run>/reproducibility.csv``, ``.md`` and ``.tex``; they hold this machine and its
    times, so they stay with the run.

    Raises EmolibError when the main run of notebook 04 is not finished.
    """
    sheet = pd.DataFrame(rows(run), columns=["What", "Value"])
    return tables.write(
        sheet, NAME, run, caption=f"Reproducibility sheet of run {run.resolve().name}"
    )


def rows(run: Path) -> list[tuple[str, str]]:
    """(what, value) of the run in folder ``run``; parts whose notebook has not run say so."""
    if not (run / "metrics.json").is_file():
        raise EmolibError(f"{run}: the main run is not finished; `emolib run --only 03` makes it")
    score = read_record(run / "metrics.json", *OF_METRICS)
    origin = read_record(run / "provenance.json", *OF_PROVENANCE)
    summary = read_record(run / "summary.json", "notebooks")
    experiment, seconds = Experiment.load(run / "experiment.json"), seconds_of_trainings(run)
    with form_checked(run / "provenance.json"):
        machine = _machine(origin)
    with form_checked(run / "metrics.json"):
        model = _model(experiment, score)
    with form_checked(run / "summary.json"):
        time = _time(seconds[run], sum(seconds.values()), summary)
        outcomes = [*_variance(summary), *_claims(summary)]
    return [
        *machine,
        *_current(experiment, run, list(seconds)),
        *model,
        *_arithmetic(experiment, run),
        *_runs(experiment, run, len(seconds)),
        *_data(experiment, run),
        *time,
        *outcomes,
    ]


def _machine(origin: Mapping[str, Any]) -> list[tuple[str, str]]:
    changed = " with local changes" if origin["git_dirty"] else ""
    commit = (
        f"commit {origin['git_commit']}{changed}" if origin["git_commit"] else "not from a checkout"
    )
    versions = {"python": origin["python"], **origin["packages"]}
    return [
        ("Code", f"emolib {origin['emolib']}, {commit}"),
        ("Hardware", f"{origin['device']}, {origin['cores']} cores, {origin['threads']} threads"),
        ("System", str(origin["platform"])),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]


def _current(experiment: Experiment, run: Path, folders: Sequence[Path]) -> list[tuple[str, str]]:
    """Whether the code, the data and the weights that made the run are those of today."""
    today = cache(at_hand)
    said = differences(folders, today)
    main = said[run] or _same(today(experiment))
    others = [text for folder, text in said.items() if text and folder != run]
    return [
        ("Main run", main),
        *(
            (f"{others.count(text)} of the other {len(said) - 1} trainings", text)
            for text in sorted(set(others))
        ),
    ]


def _same(now: Identity) -> str:
    """What made a run like one of today, and what could not be compared."""
    parts = {"from these data": now.data, "with these weights": now.encoders}
    same = [text for text, content in parts.items() if content]
    unknown = [text for text, content in parts.items() if not content]
    lacking = f"; whether {' and '.join(unknown)} is not known on this machine" if unknown else ""
    return ", ".join(["made by this code", *same]) + lacking


def _model(experiment: Experiment, score: Mapping[str, Any]) -> list[tuple[str, str]]:
    rules = {
        "best": (
            "best macro-F1 on validation windows",
            "the split that selects is the one reported",
        ),
        "last": ("last epoch", "no split selects"),
    }
    rule, selects = chosen("selection", score["selection"], rules)
    return [
        ("Experiment", f"preset {experiment.preset}, fingerprint {score['experiment']}"),
        ("Origin of data and weights", score["origin"] or "real data, published weights"),
        ("Encoders", f"{experiment.visual_encoder}; {experiment.audio_encoder}; frozen"),
        ("Trained parameters", f"{score['parameters']:,}"),
        (
            "Selection rule",
            f"{rule} (main run: epoch {score['best_epoch']} of {experiment.epochs}); {selects}",
        ),
        (
            "Frame predictions",
            experiment.by_frame().removeprefix(", ")
            + ("" if experiment.smoothed() else ", not smoothed"),
        ),
        ("Settings", _settings(experiment)),
    ]


def _settings(experiment: Experiment) -> str:
    """Where the settings come from, and each that was changed against the preset."""
    changes = format_settings(experiment)
    if not changes:
        return "fixed by the preset before any run; no search"
    return f"the preset's, changed by hand: {changes}; how these were found is not recorded"


def _arithmetic(experiment: Experiment, run: Path) -> list[tuple[str, str]]:
    """What the trainings were computed in, beside what was asked for."""
    counts = ", ".join(f"{name} {count}" for name, count in arithmetics(run).items())
    text = f"number of trainings: {counts}; asked for: amp={experiment.amp}"
    return [("Arithmetic of training", text)]


def _runs(experiment: Experiment, run: Path, count: int) -> list[tuple[str, str]]:
    records = {
        path.stem: len(_table(path))
        for path in sorted([*run.glob("sweep/*.csv"), *run.glob("recipe/*.csv")])
    }
    named = "; ".join(f"{count} in {name}" for name, count in records.items()) or "no sweep"
    return [
        (
            "Seeds",
            f"{experiment.seed} for the main run; "
            f"{', '.join(map(str, experiment.seed_list()))} for the ablations",
        ),
        (
            "Runs",
            f"{count} trainings in all; rows of tables: {named}; "
            "runs that tables share are trained once, none is left out",
        ),
    ]


def _data(experiment: Experiment, run: Path) -> list[tuple[str, str]]:
    path = run / "figures" / "data_overview.csv"
    if not path.is_file():
        return [("Splits", "notebook 01 has not run")]
    table = _table(path, split=str, clips=int, frames=int, labelled=int)
    frames, labelled = table["frames"].sum(), table["labelled"].sum()
    return [
        (
            "Splits",
            "; ".join(
                f"{row['split']}: {row['clips']} clips, {row['labelled']} labelled frames"
                for row in table.to_dict("records")
            ),
        ),
        (
            "Exclusions",
            f"{frames - labelled} of {frames} frames, which are not annotated, are in no score; "
            f"no clip is left out; up to {experiment.max_gap} frames without a face repeat "
            "the last one, a longer gap ends a training window",
        ),
    ]


def _table(path: Path, **columns: type) -> pd.DataFrame:
    """A table that a notebook has written. Raises EmolibError where it is damaged or lacks one of
    the ``columns``, or holds something else than their types in them.
    """
    try:
        table = pd.read_csv(path)
        return table.astype(columns)
    except (ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise EmolibError(f"{path}: damaged ({reason}); delete it and run again") from error


def seconds_of_trainings(run: Path) -> dict[Path, float]:
    """Seconds of every finished training of the run, by folder."""
    return {folder: _seconds(folder / "provenance.json") for folder in trainings(run)}


def _seconds(provenance: Path) -> float:
    seconds = read_record(provenance, "wall_seconds")["wall_seconds"]
    with form_checked(provenance):
        return float(seconds)


def _time(main: float, every: float, summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """``main``: seconds of the main run; ``every``: of all trainings."""
    books = "; ".join(
        f"{stem} {entry['seconds']:.0f} s"
        for stem, entry in summary["notebooks"].items()
        if entry["seconds"] is not None
    )
    return [
        ("Time of the main run", f"{main:.0f} s; {SINCE}"),
        ("Time of all trainings", f"{every:.0f} s, summed over worker processes; {SINCE}"),
        ("Time of the notebooks", books or "not known"),
    ]


def _variance(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    spread = []
    for row in summary.get("window_table", []):
        over = metrics.over_seeds(row["values"])
        if row["protocol"] == "frame" and over["sd"] is not None:
            spread.append(
                f"T = {row['window']}: {over['mean']:.3f} ± {over['sd']:.3f} ({over['n']} seeds)"
            )
    return [
        (
            "Expected variance",
            "; ".join(spread) + ", macro-F1 of frames, standard deviation over seeds"
            if spread
            else "one seed, not known",
        ),
        (
            "Intervals",
            f"{PERCENT}: Student's t over seeds, BCa over resampled clips; "
            "differences paired over clips, with the seeds' uncertainty added",
        ),
    ]


def _claims(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    outcomes = []
    for key, title in CLAIMS.items():
        for row in summary.get(key, []):
            if "verdict" in row:
                outcome = (
                    f"{row['verdict']}, {signed(row['difference'], row['difference_interval'])}"
                )
                outcomes.append((f"{title}: {row.get('claim') or row['title']}", outcome))
    return outcomes or [("Claims", "notebook 07 has not run")]
