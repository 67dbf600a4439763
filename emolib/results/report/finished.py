"""Is a run finished, and written by this version of emolib? A report of anything else is refused
with a remedy.
"""

from collections.abc import Sequence
from pathlib import Path

from emolib.config import Experiment
from emolib.errors import EmolibError, WrongCall, nearest
from emolib.system.files import read_json, read_record

NEEDED = (
    "experiment.json",
    "metrics.json",
    "provenance.json",
    "summary.json",
    "figures/window_table.csv",
)
FIELDS = {  # of NEEDED, what the page shows
    "metrics.json": ("origin", "experiment", "parameters", "selection", "best_epoch", "frame"),
    "provenance.json": (
        "date",
        "emolib",
        "git_commit",
        "git_dirty",
        "python",
        "platform",
        "packages",
        "device",
        "cores",
        "threads",
        "arithmetic",
        "seed",
        "wall_seconds",
    ),
    "summary.json": ("notebooks",),
}


VIDEO = "predict_your_video"  # the notebook that shows the people of a reader's own video


def check(run: Path) -> None:
    """Refuse a folder that is no run, or one that is not finished."""
    if not (run / "experiment.json").is_file():
        others = [path.parent.name for path in run.parent.glob("*/experiment.json")]
        hint = nearest(run.name, others)
        raise WrongCall(f"{run}: no run there{hint}; `emolib run` makes the demo's")
    experiment = Experiment.load(run / "experiment.json")
    missing = [name for name in NEEDED if not (run / name).is_file()]
    missing += [] if notebooks(run) else ["notebooks/"]
    if (run / "metrics.json").is_file() and not (run / "notebooks").is_dir():
        raise EmolibError(
            f"{run}: a training alone, whose scores are in metrics.json; a report is made of the"
            " notebooks' results: `emolib run` with the same settings and another --name makes them"
        )
    remedy = f"`emolib run --preset {experiment.preset} --name {run.resolve().name}`"
    if missing:
        what = f"the run is not finished ({', '.join(missing)} missing)"
        raise EmolibError(f"{run}: {what}; {remedy} goes on where it stopped")
    for name, fields in FIELDS.items():
        lacking = _lacking(run / name, fields)
        if lacking:
            what = f"written by another version of emolib, lacks {', '.join(lacking)}"
            first = f"delete metrics.json and notebooks/ in {run}; then "
            first = "" if name == "summary.json" else first
            raise EmolibError(f"{run / name}: {what}; {first}{remedy} writes it anew")


def _lacking(path: Path, fields: Sequence[str]) -> list[str]:
    """Those of ``fields`` that a JSON file lacks; all where it holds something else."""
    content = read_json(path)
    return [name for name in fields if not isinstance(content, dict) or name not in content]


def notebooks(run: Path) -> list[Path]:
    """The run's executed notebooks that ended well (the pipeline has marked them), without that of
    a reader's own video.
    """
    paths = sorted((run / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    paths = [path for path in paths if VIDEO not in path.name]
    return [path for path in paths if "emolib" in read_record(path, "metadata")["metadata"]]
