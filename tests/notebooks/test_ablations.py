"""The long notebooks at a small size: every cell runs, each sweep has a record of its own,
the tables say what was switched.

At full size they are run by ``make notebooks`` and committed with their outputs.
"""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from emolib.config import preset
from emolib.pipeline import kernel
from emolib.system.files import project_root
from tests.support.small import PARAMETERS, SMALL

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def place(module_path) -> Path:
    return module_path


def execute(place: Path, number: str) -> dict:
    """Run one notebook on a small benchmark; its record."""
    (path,) = (project_root() / "notebooks").glob(f"{number}_*.ipynb")
    env = {**os.environ, "EMOLIB_RUNS": str(place)}
    parameters = {"name": "demo", **PARAMETERS.get(number, {"settings": SMALL})}
    kernel.execute(path, place / path.name, parameters, time_limit=800, env=env, progress=False)
    return json.loads((place / "demo" / "records" / f"{path.stem}.json").read_text())


def test_components_and_choices_share_runs_and_keep_their_records(place):
    execute(place, "07")
    choices = execute(place, "09")
    sweep = place / "demo" / "sweep"
    switched = [pd.read_csv(sweep / f"{name}.csv") for name in ("components", "choices")]
    faults = pd.read_csv(sweep / "faults.csv")
    assert [len(table) for table in (*switched, faults)] == [2, 3, 2]
    full = {table.fingerprint[0] for table in switched}
    assert len(full) == 1, "the full model's run is shared"
    assert faults.fingerprint[0] not in full, "the faults have a tree with oddities"
    assert set(choices["metrics"]) >= {"effect_last_epoch", "verdict_label_centre"}
    assert choices["metrics"]["verdict_label_centre"] == "undecided", "one seed never decides"
    text = (place / "demo" / "figures" / "choices_table.md").read_text()
    assert "label_rule=last" in text and "| silent | best |" in text and "synthetic" in text
    text = (place / "demo" / "figures" / "faults_table.md").read_text()
    assert "| frame numbers: Place in the folder | frame_rule=listing |" in text
    costs = choices["summary"]["faults_table"]
    assert [row["name"] for row in costs] == ["full", "listing"]
    assert choices["metrics"]["effect_listing"] == costs[1]["difference"]
    bars = (place / "demo" / "figures" / "components_bars.svg").read_text()
    assert "synthetic" in bars


def test_stronger_recipe_is_measured_on_the_harder_benchmark(place):
    record = execute(place, "10")
    rows = {row["name"]: row for row in record["summary"]["recipe_table"]}
    assert list(rows) == [
        "full",
        "logit_adjustment",
        "smoothing",
        "ensemble",
        "strong_single",
        "strong",
    ]
    runs = pd.read_csv(place / "demo" / "recipe" / "recipe.csv")
    experiment = json.loads((Path(runs.folder[2]) / "experiment.json").read_text())["experiment"]
    strong = preset("strong")
    assert experiment["synth_label_noise"] > 0 and experiment["synth_validation_clips"] == 20
    assert (experiment["smoothing_half_width"], experiment["frame_rule"]) == (
        strong.smoothing_half_width,
        "mean",
    )
    assert rows["strong"]["macro_f1"] == pytest.approx(rows["strong_single"]["macro_f1"]), (
        "the mean of one seed is that seed"
    )
    assert "harder" in (place / "demo" / "figures" / "recipe_table.md").read_text()
    treated = [row["name"] for row in record["summary"]["imbalance_table"]]
    assert treated == ["full", "unweighted", "logit_adjustment", "balanced"]
    assert "harder" not in (place / "demo" / "figures" / "imbalance.md").read_text()
