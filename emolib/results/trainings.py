"""The trainings of a run, and the arithmetic that each was computed in."""

from collections import Counter
from pathlib import Path

from emolib.system.files import read_record

# A run's own training, those that lie beside each other in the folder of a study, those of its
# ablations, and those on the harder benchmark.
PLACES = (".", "*", "sweep/*", "recipe/*")
UNRECORDED = "an arithmetic that is not recorded"


def trainings(run: Path) -> list[Path]:
    """The folders of the finished trainings of the run in folder ``run``, its own first."""
    finished = [sorted(run.glob(f"{place}/metrics.json")) for place in PLACES]
    return [path.parent for paths in finished for path in paths]


def arithmetics(run: Path) -> dict[str, int]:
    """``bfloat16``, ``tf32`` or ``float32`` -> number of trainings, the most frequent first.

    It is what was computed in, as each training's provenance names it: ``amp`` is a wish, which a
    device without fast units for it does not fulfil.
    """
    provenances = [read_record(folder / "provenance.json") for folder in trainings(run)]
    counts = Counter(str(made.get("arithmetic", UNRECORDED)) for made in provenances)
    return dict(counts.most_common())
