"""The reproducibility sheet says what the run's own files say,
and nothing where they are silent.
"""

from dataclasses import asdict

import pandas as pd
import pytest

from emolib.config import preset
from emolib.errors import EmolibError
from emolib.evaluation.identity import LOADED, Identity, at_hand
from emolib.results import checklist
from emolib.system.files import read_json, write_json, write_text
from tests.support.damage import OTHER_RECORDS


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    folder = tmp_path / "mine"
    made = asdict(at_hand(preset("demo")))
    score = {
        "experiment": "0123",
        "selection": "best",
        "best_epoch": 5,
        "parameters": 12345,
        "origin": "synthetic",
    }
    origin = {
        "emolib": "9.9",
        "git_commit": "abc",
        "git_dirty": True,
        "python": "3.11.7",
        "packages": {"torch": "2.11"},
        "platform": "Linux",
        "device": "a chip",
        "cores": 2,
        "threads": 1,
        "wall_seconds": 30.0,
    }
    for place, seconds, arithmetic in (
        (folder, 30.0, "bfloat16"),
        (folder / "sweep" / "x", 12.0, "float32"),
        (folder / "sweep" / "y", 13.0, "bfloat16"),
        (folder / "recipe" / "z", 5.0, "bfloat16"),
    ):
        preset("demo").save(place / "experiment.json", **made)
        write_json(place / "metrics.json", score)
        made_in = {"wall_seconds": seconds, "arithmetic": arithmetic}
        write_json(place / "provenance.json", {**origin, **made_in})
    write_text(folder / "sweep" / "results.csv", "window,seed\n10,1\n10,2\n")
    write_text(folder / "sweep" / "components.csv", "seed\n1\n2\n1\n2\n")
    write_text(folder / "recipe" / "recipe.csv", "seed\n1\n")
    write_text(
        folder / "figures" / "data_overview.csv",
        "split,clips,frames,labelled,faces,seconds\ntrain,8,100,90,95,3\nvalidation,4,50,48,49,1\n",
    )
    row = {"window": 10, "protocol": "frame", "values": [0.5, 0.7]}
    claim = {
        "title": "Without TCN",
        "claim": "The TCN helps.",
        "verdict": "undecided",
        "difference": 0.1,
        "difference_interval": [-0.1, 0.3],
    }
    notebooks = {"04_training": {"seconds": 42.0}}
    summary = {
        "window_table": [row, {**row, "protocol": "window"}],
        "components_table": [{"title": "Full model"}, claim],
        "notebooks": notebooks,
    }
    write_json(folder / "summary.json", summary)
    return folder


def test_every_point_of_the_checklists(run):
    sheet = dict(checklist.rows(run))
    assert (
        sheet["Frame predictions"]
        == "window that ends nearest to the frame, a window every 5 frames, not smoothed"
    )
    assert (
        "9.9, commit abc with local changes" in sheet["Code"]
        and sheet["Hardware"] == "a chip, 2 cores, 1 threads"
    )
    assert (
        sheet["Versions"] == "python 3.11.7, torch 2.11" and sheet["Trained parameters"] == "12,345"
    )
    assert f"epoch 5 of {preset('demo').epochs}" in sheet["Selection rule"] and sheet[
        "Seeds"
    ].startswith("42 for the main run; 42, 43, 44")
    assert (
        sheet["Arithmetic of training"]
        == "number of trainings: bfloat16 3, float32 1; asked for: amp=bf16"
    )
    assert (
        sheet["Runs"].startswith("4 trainings")
        and "1 in recipe; 4 in components; 2 in results" in sheet["Runs"]
    )
    assert (
        sheet["Splits"]
        == "train: 8 clips, 90 labelled frames; validation: 4 clips, 48 labelled frames"
    )
    assert (
        sheet["Exclusions"].startswith("12 of 150 frames")
        and "up to 5 frames" in sheet["Exclusions"]
    )
    assert (
        sheet["Time of all trainings"].startswith("60 s")
        and sheet["Time of the notebooks"] == "04_training 42 s"
    )
    assert sheet["Expected variance"].startswith("T = 10: 0.600 ± 0.141 (2 seeds)")
    assert sheet["Component: The TCN helps."] == "undecided, +0.100 [-0.100, +0.300]"


def test_settings_that_were_changed_are_named(run):
    assert dict(checklist.rows(run))["Settings"] == "fixed by the preset before any run; no search"
    preset("demo", epochs=3, seeds="1,2").save(run / "experiment.json")
    settings = dict(checklist.rows(run))["Settings"]
    assert "changed by hand: epochs=3,seeds=1,2;" in settings and "no search" not in settings


def test_runs_that_were_made_otherwise_are_told(run):
    assert dict(checklist.rows(run))["Main run"].startswith("made by this code")
    for place in (run, run / "sweep" / "x", run / "recipe" / "z"):
        made = asdict(at_hand(preset("demo"))) | {"code": "before"}
        preset("demo").save(place / "experiment.json", **made)
    sheet = dict(checklist.rows(run))
    assert "other code" in sheet["Main run"] and "not this version's" in sheet["Main run"]
    assert "other code" in sheet["2 of the other 3 trainings"]


@pytest.mark.parametrize("content", OTHER_RECORDS)
@pytest.mark.parametrize("name", ["metrics.json", "provenance.json", "summary.json"])
def test_a_record_of_another_form_is_refused_by_name(run, name, content):
    write_text(run / name, content)
    with pytest.raises(EmolibError, match=rf"{name}: (holds no values by name|lacks \w+)"):
        checklist.rows(run)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("metrics.json", {"parameters": [], "best_epoch": {}}),
        ("provenance.json", {"packages": ["torch"]}),
        ("provenance.json", {"wall_seconds": []}),
        ("summary.json", {"notebooks": []}),
        ("summary.json", {"notebooks": {"04_training": []}}),
        ("summary.json", {"window_table": [[]]}),
        ("summary.json", {"components_table": [{"verdict": "undecided"}]}),
    ],
)
def test_values_of_another_form_are_refused_by_name(run, name, changes):
    write_json(run / name, {**read_json(run / name), **changes})
    with pytest.raises(EmolibError, match=rf"{name}: holds values of another form"):
        checklist.rows(run)


def test_what_cannot_be_compared_is_told(run, monkeypatch):
    """The data or the weights of a run may be on another machine."""
    whole = Identity(LOADED, "some data", "some weights")
    for place in (run, run / "sweep" / "x", run / "sweep" / "y", run / "recipe" / "z"):
        preset("demo").save(place / "experiment.json", **asdict(whole))
    for today, told in (
        (whole, "made by this code, from these data, with these weights"),
        (
            Identity(LOADED, "some data"),
            "made by this code, from these data; "
            "whether with these weights is not known on this machine",
        ),
        (
            Identity(LOADED),
            "made by this code; "
            "whether from these data and with these weights is not known on this machine",
        ),
    ):
        monkeypatch.setattr(checklist, "at_hand", lambda _, today=today: today)
        assert dict(checklist.rows(run))["Main run"] == told


def test_no_split_selects_the_last_epoch(run):
    assert "the split that selects" in dict(checklist.rows(run))["Selection rule"]
    write_json(run / "metrics.json", {**read_json(run / "metrics.json"), "selection": "last"})
    rule = dict(checklist.rows(run))["Selection rule"]
    assert rule.startswith("last epoch") and rule.endswith("no split selects")


@pytest.mark.parametrize("name", ["figures/data_overview.csv", "sweep/results.csv"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'a,"b\n1', b"a\n1,2\n1,2,3\n"])
def test_a_damaged_table_is_refused_by_name(run, name, content):
    (run / name).write_bytes(content)
    with pytest.raises(EmolibError, match=rf"{name}: damaged"):
        checklist.rows(run)


def test_written_as_tables_beside_the_run(run):
    sheet = checklist.write(run)
    pd.testing.assert_frame_equal(pd.read_csv(run / "reproducibility.csv"), sheet)
    assert (
        "run mine" in (run / "reproducibility.md").read_text()
        and r"\toprule" in (run / "reproducibility.tex").read_text()
    )
    assert not list((run / "figures").glob("reproducibility*")), (
        "committed figures hold no machine and no times"
    )


def test_silent_parts_say_so(run):
    (run / "figures" / "data_overview.csv").unlink()
    write_json(
        run / "summary.json",
        {
            "notebooks": {"04_training": {"seconds": None}},
            "window_table": [{"window": 10, "protocol": "frame", "values": [0.5]}],
        },
    )
    sheet = dict(checklist.rows(run))
    assert (
        sheet["Splits"] == "notebook 01 has not run"
        and sheet["Claims"] == "notebook 07 has not run"
    )
    assert (
        sheet["Expected variance"] == "one seed, not known"
        and sheet["Time of the notebooks"] == "not known"
    )
    (run / "metrics.json").unlink()
    with pytest.raises(EmolibError, match="main run is not finished"):
        checklist.rows(run)
    assert read_json(run / "experiment.json")["format"] == 1
