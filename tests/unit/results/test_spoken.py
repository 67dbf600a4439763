"""Sentences of the committed notebooks against the numbers of the run that they are of
(``figures/demo/summary.json``): change a number so that a sentence becomes false, and it is found.
"""

import copy
import json

import pytest

from emolib import paper
from emolib.system.files import project_root
from tests.support.spoken import contradictions, spoken

NOTEBOOKS = project_root() / "notebooks"


@pytest.fixture(scope="module")
def stored() -> dict:
    path = project_root() / "figures" / "demo" / "summary.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_the_committed_notebooks_say_what_the_stored_numbers_say(stored):
    assert {"03", "04", "05", "06", "07"} <= set(spoken(stored))
    assert contradictions(stored, NOTEBOOKS) == []


def other_verdict(row):
    row["verdict"] = "supported" if row["verdict"] != "supported" else "not supported"


def attention_is_judged_otherwise(summary):
    rows = {row["name"]: row for row in summary["components_table"]}
    other_verdict(rows["concat"])
    rows["concat"]["difference"] += 0.2  # told where three seeds are too few for a verdict


def long_windows_win_by_less(summary):
    for row in summary["window_table"]:
        if row["window"] == 60:
            row["values"] = [value - 0.2 for value in row["values"]]


def one_seed_decides(summary):
    other_verdict(summary["imbalance_table"][1])


def a_label_changes_more_often(summary):
    summary["delays"]["changes"] += 1


def a_setting_has_no_source(summary):
    summary["recipe"] = summary["recipe"][:-1]


def the_score_is_that_of_a_still_face(summary):
    summary["scores"]["frame"]["macro_f1"] = 0.5


def another_pair_is_confused_most(summary):
    summary["scores"]["frame"]["confusion"][4][0] = 10**6


def confidence_is_too_high(summary):
    summary["calibration"]["confidence"] = 0.5


def another_class_gains(summary):
    summary["class_gains"]["Neutral"]["interval"] = [0.1, 0.2]


def rare_classes_do_badly(summary):
    per_class = summary["scores"]["frame"]["per_class"]
    for entry, share in zip(per_class, summary["train_ratio"], strict=True):
        entry["f1"] = share


def two_prompts_are_one(summary):
    summary["prompt_cosines"][4][0] = 1.0


@pytest.mark.parametrize(
    ("number", "change"),
    [
        ("07", attention_is_judged_otherwise),
        ("05", long_windows_win_by_less),
        ("10", one_seed_decides),
        ("04", a_label_changes_more_often),
        ("04", a_setting_has_no_source),
        ("04", the_score_is_that_of_a_still_face),
        ("04", another_pair_is_confused_most),
        ("04", confidence_is_too_high),
        ("05", another_class_gains),
        ("06", rare_classes_do_badly),
        ("03", two_prompts_are_one),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_number_that_makes_a_sentence_false_is_found(stored, number, change):
    changed = copy.deepcopy(stored)
    change(changed)
    assert [text[:2] for text in contradictions(changed, NOTEBOOKS)] == [number]


def test_the_posters_mean_decides_what_is_said_of_its_window(stored, monkeypatch):
    halved = {name: value / 2 for name, value in paper.CLASS_F1.items()}
    monkeypatch.setattr(paper, "CLASS_F1", halved)
    (text,) = contradictions(stored, NOTEBOOKS)
    assert text.startswith("06: The poster does not name the window")


def test_no_notebook_counts_the_papers_pages():
    """One once said four, and it has seven."""
    for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"):
        prose = [
            "".join(cell["source"])
            for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
            if cell["cell_type"] == "markdown"
        ]
        assert " pages" not in " ".join(prose), path.name
