"""Verdicts against answers that are known: the counting, the simulation, and what stands beside."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from emolib.errors import WrongCall
from emolib.studies.calibration import reliability, report, simulation, verdicts
from emolib.studies.calibration.known import FULL_MODEL, KNOWN, Known
from emolib.studies.calibration.simulation import Spread
from emolib.system.files import project_root

LABEL = np.tile(np.arange(8), 14)  # two sets of 56 clips


def runs(shares, seed):
    """Predictions of a run for each share of right clips."""
    rng = np.random.default_rng(seed)
    right = rng.random((len(shares), len(LABEL))) < np.array(shares)[:, None]
    return np.where(right, LABEL, (LABEL + 1) % 8)


def draw(number):
    full = runs([0.95] * 10, number)
    return {"label": LABEL, "full": full, "worse": runs([0.4] * 10, number + 100), "same": full}


CLAIMS = (Known("worse", "It helps.", True, ""), Known("same", "A name helps.", False, ""))


def test_verdicts_are_counted_against_the_known_answer(monkeypatch):
    monkeypatch.setattr(verdicts, "KNOWN", CLAIMS)
    rows = {(row["name"], row["seeds"]): row for row in verdicts.rows([draw(0), draw(1)])}
    assert len(rows) == 2 * len(verdicts.SEED_COUNTS)
    for name in ("worse", "same"):
        assert rows[name, 10]["right"] == 1.0 and rows[name, 10]["sets"] == 4
    assert rows["worse", 3]["effect"] == pytest.approx(0.55, abs=0.1)
    assert rows["same", 3]["effect"] == 0.0 and rows["same", 3]["seed_deviation"] == 0.0
    low, high = rows["worse", 10]["right_interval"]
    assert low < 0.4 and high == 1.0, "two draws are two, however many sets of clips they have"


def test_an_answer_that_is_turned_round_is_wrong(monkeypatch):
    turned = (Known("worse", "It harms.", False, ""), Known("same", "A name helps.", True, ""))
    monkeypatch.setattr(verdicts, "KNOWN", turned)
    assert all(row["wrong"] == 1.0 for row in verdicts.rows([draw(0)]) if row["seeds"] == 10)


def test_known_answers_have_names_of_their_own():
    names = [FULL_MODEL.name, *(claim.name for claim in KNOWN)]
    assert len(set(names)) == len(names)
    assert {claim.true for claim in KNOWN} == {True, False}


SPREAD = Spread("seeds alike", score=0.9, clip=1.0, side=0.3, seed=0.1)


def test_a_simulated_side_has_the_effect_that_is_asked_for():
    share = simulation.worse_share(SPREAD, 0.1)
    assert simulation.score(SPREAD, 0.9) - simulation.score(SPREAD, share) == pytest.approx(
        0.1, abs=0.005
    )
    assert simulation.worse_share(SPREAD, 0.0) == 0.9


def test_the_rule_finds_a_large_effect_and_no_other():
    rng = np.random.default_rng(0)
    large = Counter(simulation.judge(SPREAD, 0.4, 5, rng) for _ in range(10))
    none = Counter(simulation.judge(SPREAD, 0.9, 5, rng) for _ in range(10))
    assert large["supported"] == 10
    assert none["supported"] <= 1


def test_seeds_needed_are_the_fewest_that_reach_the_targets():
    def row(seeds, right, wrong):
        return {"name": "a", "seeds": seeds, "right": right, "wrong": wrong}

    assert report.needed([row(3, 0.5, 0.0), row(5, 0.95, 0.0), row(10, 1.0, 0.0)]) == {"a": 5}
    assert report.needed([row(3, 0.95, 0.06), row(5, 0.85, 0.0)]) == {"a": None}


def test_what_stands_beside_a_verdict(monkeypatch):
    claims = [
        {"name": "no_tcn", "seeds": 3, "sets": 40, "right": 0.9, "wrong": 0.05},
        {"name": "no_tcn", "seeds": 10, "sets": 40, "right": 1.0, "wrong": 0.0},
    ]
    simulated = [
        {"seeds": 3, "effect": effect, "right": right, "wrong": wrong}
        for effect, right, wrong in ((0.0, 0.0, 0.01), (0.1, 0.4, 0.0), (0.1, 0.2, 0.0))
    ]
    made = {"claims": claims, "simulation": simulated, "needed": {"no_tcn": 3}}
    monkeypatch.setattr(reliability, "calibration", lambda: made)
    assert reliability.beside("no_tcn", 4) == "36 of 40 right, 2 wrong"
    assert reliability.beside("no_tcn", 20) == "40 of 40 right, 0 wrong"
    assert reliability.beside("no_tcn", 2) == reliability.beside("other", 3) == "–"
    assert "at most 1.0 %" in reliability.sentence(3) and "0.10 in 20 to 40 %" in (
        reliability.sentence(3)
    )


def test_a_verdict_is_shown_where_the_seeds_are_enough_for_it(monkeypatch):
    made = {"claims": [{"name": "no_tcn", "seeds": 3, "sets": 40, "right": 0.5, "wrong": 0.0}]}
    made["needed"] = {"no_tcn": 5, "concat": None}
    monkeypatch.setattr(reliability, "calibration", lambda: made)

    def row(name, seeds):
        described = {"name": name, "claim": f"{name} helps.", "verdict": "supported"}
        return {**described, "seeds": seeds, "difference": 0.1, "difference_interval": [0.0, 0.2]}

    rows = [row("no_tcn", 3), row("no_tcn", 5), row("concat", 10), row("unknown", 10)]
    table = reliability.outcomes([{"name": "full", "claim": ""}, *rows])
    withheld = "not asked: too few seeds"
    expected = [withheld, "supported", withheld, "not asked: reliability not measured"]
    assert list(table["Outcome"]) == expected
    assert list(table["Seeds needed"]) == ["5", "5", "more than 3", "–"]
    assert table["Where the answer is known"][0] == "20 of 40 right, 0 wrong"
    said = reliability.before_any_run({"no_tcn": "It helps.", "concat": "That helps."}, 5)
    assert said.startswith("5 seeds are enough for 1 of 2 claims") and "(It helps.)" in said


def test_the_committed_figures_can_stand_beside_verdicts():
    made = reliability.calibration()
    assert {row["name"] for row in made["claims"]} <= {claim.name for claim in KNOWN}
    for row in (*made["claims"], *made["simulation"]):
        assert row["right"] + row["wrong"] + row["undecided"] == pytest.approx(1)
    for seeds in verdicts.SEED_COUNTS:
        assert f"With {seeds} seeds" in reliability.sentence(seeds)
    assert made["code"] in reliability.source()


def test_without_draws_the_rule_alone_is_calibrated(monkeypatch, tmp_path):
    monkeypatch.setattr(simulation, "SPREADS", (SPREAD,))
    monkeypatch.setattr(simulation, "EFFECTS", (0.0,))
    made = report.make(tmp_path, count=0, experiments=2, progress=False)
    assert made["claims"] == [] and len(made["simulation"]) == len(verdicts.SEED_COUNTS)
    monkeypatch.setattr(simulation, "rows", None)  # what is there is not simulated again
    assert report.make(tmp_path, count=0, experiments=2, progress=False) == made
    page = (tmp_path / "calibration.md").read_text()
    assert "seeds alike" in page and made["arithmetic"] == "float32"
    assert "trained in float32" in page
    with pytest.raises(WrongCall, match="draws=1"):
        report.make(tmp_path, count=1, experiments=2)


def test_the_shares_in_the_docs_are_those_of_the_committed_calibration():
    text = (project_root() / "docs" / "benchmark.md").read_text(encoding="utf-8")
    made = reliability.calibration()
    shown = pd.DataFrame(made["simulation"])
    shown["shown"] = shown["right"].where(shown["effect"] > 0, shown["wrong"])
    for _, rows in shown.groupby(["spread", "seeds"]):
        shares = rows.sort_values("effect")["shown"]
        assert " | ".join(f"{share:.2f}" for share in shares) + " |\n" in text
    claims = pd.DataFrame(made["claims"])
    for _, rows in claims.groupby("name"):
        shares = 100 * rows.sort_values("seeds")["right"]
        assert " | ".join(f"{share:.0f}" for share in shares) + " |\n" in text
    wrong = 100 * claims["wrong"].sort_values(ascending=False)
    assert f"Wrong were {wrong.iloc[0]:.0f} %" in text
    assert f"elsewhere at most {wrong.iloc[1]:.1f} %" in text
    true_effects = shown[(shown["effect"] > 0) & (shown["seeds"] == 3)]
    assert true_effects["experiments"].sum() == 800 and not true_effects["wrong"].any()


def test_the_figures_in_the_prose_of_notebooks_are_those_of_the_calibration():
    notebooks = {path.name[:2]: path for path in (project_root() / "notebooks").glob("*.ipynb")}
    said = {number: path.read_text(encoding="utf-8") for number, path in notebooks.items()}
    claims = reliability.calibration()["claims"]
    row = next(row for row in claims if (row["name"], row["seeds"]) == ("no_tcn", 3))
    low, high = (100 * bound for bound in row["right_interval"])
    verdicts_in_all = f"{row['right'] * row['sets']:.0f} of {row['sets']}"
    share = f"is {100 * row['right']:.0f} %, but it may be {low:.0f} to {high:.0f} %"
    assert f"{verdicts_in_all} {share}" in said["07"]
    assert "0.05 in 6 to 8 %, 0.10 in 8 to 14 %" in reliability.sentence(3)
    assert "0.05 in 6 to 8 %" in said["10"] and "0.10 in 8 to 14 %" in said["10"]
