"""How near the demo comes to its ceilings: the table of runs, its summary and its order."""

import re

import pandas as pd
import pytest
from scipy import stats

from emolib.config import preset
from emolib.errors import WrongCall
from emolib.studies import reach
from emolib.system.files import project_root, read_json


def scores_of(values: dict[int, list[float]], ceiling: float = 0.95) -> pd.DataFrame:
    rows = [
        {"synth_seed": 7, "window": window, "seed": seed, "macro_f1": score, "ceiling": ceiling}
        for window, scores in values.items()
        for seed, score in enumerate(scores)
    ]
    return pd.DataFrame(rows).assign(gap=lambda table: table["ceiling"] - table["macro_f1"])


def test_a_window_is_reached_by_mean_and_by_its_worst_run():
    table = reach.summary(scores_of({10: [0.91, 0.90], 30: [0.90, 0.95], 60: [0.95, 0.86]}))
    assert table["reached"].tolist() == [True, True, False]  # the last by its worst run
    assert table["mean_gap"].tolist() == pytest.approx([0.045, 0.025, 0.045])
    assert table["largest_gap"].tolist() == pytest.approx([0.05, 0.05, 0.09])
    assert not reach.summary(scores_of({30: [0.91, 0.91]}))["reached"].any()  # by its mean


def test_a_curve_that_falls_anywhere_does_not_rise():
    scores = scores_of({10: [0.8, 0.8, 0.8], 30: [0.9, 0.7, 0.9], 60: [0.95, 0.95, 0.9]})
    assert reach.rising(scores) == "T = 10 < T = 30 < T = 60 in 1 of 3 pairs of seed and draw"


def test_verdicts_on_lengths_are_those_of_every_choice_of_seeds():
    sure, falling = [0.900, 0.901, 0.902, 0.903], [0.800, 0.801, 0.802, 0.803]
    mixed = [0.9, 0.7, 0.95, 0.6]
    scores = scores_of({10: [0.85] * 4, 15: sure, 30: falling, 60: mixed})
    table = reach.length_verdicts(scores).set_index(["T", "against"])
    assert (table["choices"] == 4).all()  # three of four seeds
    outcomes = {pair: [int(row[name]) for name in reach.OUTCOMES] for pair, row in table.iterrows()}
    assert outcomes[15, 10] == [4, 0, 0] and outcomes[30, 10] == [0, 0, 4]
    assert outcomes[60, 10] == [0, 4, 0]
    assert reach.length_verdicts(scores, 5)["choices"].tolist() == [0] * 6  # more than there are


def test_real_data_and_windows_without_a_stated_gap_are_refused(tmp_path):
    with pytest.raises(WrongCall, match="no ceiling"):
        reach.runs(preset("paper", data=str(tmp_path)), tmp_path)
    with pytest.raises(WrongCall, match="90"):
        reach.runs(preset("demo", windows="10,90"), tmp_path)


def test_runs_have_the_ceiling_of_their_own_draw(tmp_path, monkeypatch):
    """The trees, the runs and their scores are told; tests/integration/test_reach.py makes them."""

    def trained(experiment, grid, folder, **options):
        draws, windows, seeds = grid.values()
        rows = [(d, w, s, d / 10 + w / 1000) for d in draws for w in windows for s in seeds]
        return pd.DataFrame(rows, columns=[*grid, "frame_macro_f1"]).assign(code="today's")

    def ceiling(tree, variant, protocol):
        assert (tree, protocol) == (f"tree of {variant.synth_seed}", "frame")
        return variant.synth_seed / 9 + variant.window / 900

    monkeypatch.setattr(reach.sweep, "run", trained)
    monkeypatch.setattr(
        reach.synthetic, "ensure", lambda variant, progress: f"tree of {variant.synth_seed}"
    )
    monkeypatch.setattr(reach.synthetic, "ceiling", ceiling)
    (tmp_path / "reach").mkdir()
    experiment = preset("demo", windows="10,60", seeds="42,43")
    scores = reach.runs(experiment, tmp_path / "reach", draws=(7, 8), progress=False)
    draw, window = scores["synth_seed"], scores["window"]
    assert draw.tolist() == [7] * 4 + [8] * 4 and window.tolist() == [10, 10, 60, 60] * 2
    assert scores["ceiling"].tolist() == pytest.approx((draw / 9 + window / 900).tolist())
    assert scores["gap"].tolist() == pytest.approx(
        (draw / 9 + window / 900 - draw / 10 - window / 1000).tolist()
    )
    written = pd.read_csv(tmp_path / "reach" / f"reach_{experiment.amp}.csv")
    pd.testing.assert_frame_equal(written, scores)


@pytest.fixture(scope="module")
def stored() -> dict[str, pd.DataFrame]:
    """The runs that docs/benchmark.md speaks of, by the name of their arithmetic there."""
    folder = project_root() / "emolib" / "assets" / "reach"
    files = {"bfloat16": "reach_bf16.csv", "float32": "reach_float32.csv"}
    return {name: pd.read_csv(folder / file) for name, file in files.items()}


def test_the_table_in_the_docs_is_that_of_the_stored_runs(stored):
    text = (project_root() / "docs" / "benchmark.md").read_text(encoding="utf-8")
    for name, scores in stored.items():
        table = reach.summary(scores)
        assert (table["runs"] == 30).all() and table["reached"].all()
        for row in table.itertuples():
            numbers = (row.macro_f1, row.lowest, row.ceiling, row.mean_gap, row.largest_gap)
            line = f"| {name} | {row.T} | {row.runs} | "
            assert line + " | ".join(f"{number:.3f}" for number in numbers) + " |" in text
    rising = {
        name: re.search(r"\d+ of 30", reach.rising(table))[0] for name, table in stored.items()
    }
    assert f"{rising['bfloat16']} pairs of seed and draw in bfloat16" in text
    assert f"{rising['float32']} in float32" in text


def test_the_demo_s_sweep_is_a_part_of_the_stored_runs(stored):
    summary = read_json(project_root() / "figures" / "demo" / "summary.json")
    draw, seeds = preset("demo").synth_seed, preset("demo").seed_list()
    scores = stored["bfloat16"].set_index(["synth_seed", "window", "seed"])["macro_f1"]
    rows = {row["window"]: row for row in summary["window_table"] if row["protocol"] == "frame"}
    assert sorted(rows) == sorted(stored["bfloat16"]["window"].unique())
    for window, row in rows.items():
        assert row["values"] == pytest.approx([scores[draw, window, s] for s in seeds], abs=1e-6)


def test_the_docs_tell_of_the_one_run_that_missed():
    folder = project_root() / "emolib" / "assets" / "reach" / "other_last_bits"
    scores = pd.read_csv(folder / "reach_bf16.csv")
    text = " ".join((project_root() / "docs" / "benchmark.md").read_text(encoding="utf-8").split())
    missed = scores[scores["gap"] > reach.WORST_GAP]
    (run,) = missed.itertuples()
    where = f"T = {run.window}, draw {run.synth_seed}, seed {run.seed}"
    assert f"One ended {run.gap:.3f} below its ceiling: {where}." in text
    table = reach.summary(scores)
    means = "{:.3f}, {:.3f}, {:.3f} and {:.3f} below".format(*table["mean_gap"])
    assert f"The means were {means} at T = 10, 15, 30 and 60" in text
    assert table["T"].tolist() == [10, 15, 30, 60] and (table["runs"] == 30).all()
    rising = re.search(r"\d+ of 30", reach.rising(scores))
    assert rising and f"the curve rose in {rising[0]}." in text
    assert (scores["window"] == run.window).sum() == 30, "with those of two arithmetics 90"


def test_the_verdicts_on_lengths_are_as_the_docs_say(stored):
    text = (project_root() / "docs" / "benchmark.md").read_text(encoding="utf-8")
    tables = [reach.length_verdicts(scores) for scores in stored.values()]
    assert all((table["choices"] == 360).all() and not table["worse"].any() for table in tables)
    for first, second in zip(*(table.itertuples() for table in tables), strict=True):
        assert f"| {first.T} | {first.against} | {first.better} | {second.better} |" in text


def test_the_means_of_the_draws_are_as_the_docs_say(stored):
    text = (project_root() / "docs" / "benchmark.md").read_text(encoding="utf-8")
    means = stored["bfloat16"].groupby(["window", "synth_seed"])["gap"].mean()
    for window, by_draw in means.groupby("window"):
        assert f"| {window} | " + " | ".join(f"{gap:.3f}" for gap in by_draw) + " |" in text


def test_the_difference_of_the_arithmetics_is_as_the_docs_say(stored):
    pair = ["window", "synth_seed", "seed"]
    scores = [table.set_index(pair)["macro_f1"] for table in stored.values()]
    text = (project_root() / "docs" / "benchmark.md").read_text(encoding="utf-8")
    for window, difference in (scores[0] - scores[1]).groupby("window"):
        interval = stats.ttest_1samp(difference, 0).confidence_interval(0.95)
        assert interval.low > -0.02 and interval.high < 0.02
        line = (
            f"| {window} | {difference.mean():+.4f} [{interval.low:+.4f}, {interval.high:+.4f}] | "
        )
        assert line + f"{difference.std():.3f} |" in text
