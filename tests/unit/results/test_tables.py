"""Tables: our numbers and the paper's in their places,
and the same numbers back from every file.
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emolib import paper
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.results import tables
from emolib.system.files import read_json, write_json


def runs(seeds=(1, 2, 3)):
    return pd.DataFrame(
        [
            {
                "window": window,
                "seed": seed,
                "frame_macro_f1": window / 100 + seed / 1000,
                "window_macro_f1": window / 90,
                "frame_macro_f1_low": 0.01,
                "frame_macro_f1_high": 0.99,
                "window_macro_f1_low": 0.02,
                "window_macro_f1_high": 0.98,
            }
            for window in (60, 10)
            for seed in seeds
        ]
    )


def score(generator=np.random.default_rng(0)):  # noqa: B008
    labels = generator.integers(0, 8, 400)
    predictions = np.where(generator.random(400) < 0.7, labels, 0)
    return metrics.score(labels, predictions, generator.integers(0, 10, 400), protocol="frame")


def test_window_rows_hold_mean_interval_ceiling_and_the_papers_numbers():
    rows = tables.window_rows(runs(), {(60, "frame"): 0.9, (10, "frame"): 0.8})
    assert [(row["window"], row["protocol"]) for row in rows] == [
        (10, "frame"),
        (10, "window"),
        (60, "frame"),
        (60, "window"),
    ]
    last = rows[2]
    assert last["macro_f1"] == pytest.approx(0.602)
    half = 4.302652729911275 * 0.001 / np.sqrt(3)  # Student's t, two degrees of freedom
    assert last["interval"] == pytest.approx([0.602 - half, 0.602 + half])
    assert (last["interval_over"], last["seeds"], last["ceiling"]) == ("seeds", 3, 0.9)
    assert (last["paper_validation"], last["paper_test"], last["v1_validation"]) == (
        0.3599,
        0.32,
        0.3334,
    )
    assert rows[3]["ceiling"] is None and rows[0]["v1_validation"] is None


def test_one_seed_takes_the_interval_over_clips():
    row = tables.window_rows(runs(seeds=(1,)), {})[0]
    assert (row["interval"], row["interval_over"]) == ([0.01, 0.99], "clips")


def test_window_table_keeps_ours_and_published_apart():
    table = tables.window_table(
        tables.window_rows(runs(), {(60, "frame"): 0.9, (10, "frame"): 0.8}), origin="synthetic"
    )
    assert list(table["Method"]) == ["Baseline (VGGFace)", "Ours (10 frames)", "Ours (60 frames)"]
    assert list(table["Paper, validation"]) == ["0.2500", "0.3265", "0.3599"]
    assert list(table["Paper, test"]) == ["0.25", "0.28", "0.32"]
    assert list(table["Paper v1, validation"]) == ["0.2500", "–", "0.3334"]
    assert table["Ours, synthetic, frames"][0] == "–" and table["Ours, synthetic, frames"][
        2
    ].startswith("0.602 [")
    assert not any(
        "synthetic" in name
        for name in tables.window_table(tables.window_rows(runs(), {}), origin="")
    )


def test_per_class_table_has_the_posters_values_and_a_mean():
    result = score()
    table = tables.per_class_table(result, [1 / 8] * 8, ceiling=None, origin="synthetic")
    assert list(table["Class"]) == [*EXPRESSIONS, "Mean"]
    assert table["F1, paper"][7] == "0.6382" and table["F1, paper"][8] == "0.3670", (
        "the poster's F1 averages to T=30's 0.3670"
    )
    assert table["Train ratio %, paper"][3] == "1.65"
    assert table["F1, synthetic"][8].startswith(f"{result['macro_f1']:.3f} [")
    assert "Ceiling" not in table and "Ceiling" in tables.per_class_table(
        result, [1 / 8] * 8, ceiling=[0.5] * 8, origin="synthetic"
    )


def test_counts_table():
    table = tables.counts_table({"train": list(paper.TRAIN_FRAMES.values())})
    assert table["train, frames"].sum() == 585317  # docs/data.md, Size
    assert table["train, %"][3] == "1.55" and table["paper train, %"][3] == "1.65"


def test_files_hold_the_same_cells(tmp_path):
    table = pd.DataFrame({"Name": ["a_b", "50 %"], "Value": [0.123456, None], "Text": ["x|y", "–"]})
    assert tables.write(table, "some_table", tmp_path, caption="Some % of_it") is table
    back = pd.read_csv(tmp_path / "some_table.csv")
    assert back["Value"][0] == 0.123456 and np.isnan(back["Value"][1])
    lines = (tmp_path / "some_table.md").read_text().split("\n")
    assert (
        lines[0] == "Some % of_it"
        and lines[2] == "| Name | Value | Text |"
        and lines[4] == r"| a_b | 0.1235 | x\|y |"
    )
    latex = (tmp_path / "some_table.tex").read_text()
    assert (
        r"a\_b & 0.1235 & x|y \tabularnewline" in latex
        and r"50 \% & -- & -- \tabularnewline" in latex
        and r"\caption{Some \% of\_it}" in latex
    )
    assert [latex.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    tables.write(table, "some_table", tmp_path, caption="Some % of_it")
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


def test_markdown_is_a_table_that_pandas_reads_back():
    table = tables.window_table(tables.window_rows(runs(), {}), origin="synthetic")
    text = tables.markdown(table, "caption").split("\n\n")[1]
    cells = pd.read_csv(
        io.StringIO(text), sep=r"\s*\|\s*", engine="python", skiprows=[1], dtype=str
    ).iloc[:, 1:-1]
    assert list(cells) == list(table) and cells.to_numpy().tolist() == table.to_numpy().tolist()


def test_record_is_what_the_summary_reads(tmp_path):
    shown = tables.record(tmp_path, "01_x", {"a": 1, "b": 0.5, "c": None}, summary={"rows": [1]})
    assert read_json(tmp_path / "records" / "01_x.json") == {
        "metrics": {"a": 1, "b": 0.5, "c": None},
        "summary": {"rows": [1]},
    }
    assert shown["value"].tolist() == ["1", "0.5000", "–"]


def test_ceiling_row():
    rows = [{"inputs": "still", "window": 10, "protocol": "frame", "macro_f1": 0.6}]
    assert tables.ceiling_row(rows, inputs="still", window=10, protocol="frame") == rows[0]
    assert tables.ceiling_row(rows, inputs="still", window=60, protocol="frame") is None


def test_missing_is_not_zero():
    assert tables.number(None) == "–" and tables.number(0.0) == "0.000"


def test_published_versions_stand_beside_ours_and_disagree():
    table = tables.published_table(tables.window_rows(runs(), {}), origin="synthetic").set_index(
        "Version"
    )
    assert list(table.columns) == [
        "Baseline",
        "10 frames",
        "15 frames",
        "30 frames",
        "60 frames",
        "Window not stated",
        "Best window",
        "Best - worst",
    ]
    assert table.loc[
        "Ours, synthetic, frames", ["10 frames", "15 frames", "60 frames"]
    ].tolist() == ["0.102", "–", "0.602"]
    camera = "Camera-ready, validation (table 1)"
    assert table.loc[[camera, "Camera-ready, test (table 2)"], "Best window"].tolist() == [
        "30",
        "60",
    ], "docs/method.md, Published numbers"
    assert (
        table.loc[camera, "30 frames"] == "0.3670"
        and table.loc["arXiv v1, validation (table 1)", "30 frames"] == "0.3224"
    )
    assert (
        table.loc["Poster, test", "Window not stated"] == "0.32"
        and table.loc["Poster, test", "Best window"] == "–"
    )
    assert table.loc[camera, "Best - worst"] == "0.0405"


def test_class_window_table():
    effects = {"Fear": {"difference": 0.25, "interval": [0.1, 0.4]}}
    table = tables.class_window_table(
        {"Fear": {10: [0.4, 0.6], 60: [0.75, 0.75]}}, effects, origin="synthetic"
    )
    assert table.iloc[0].tolist() == ["Fear", "0.500", "0.750", "+0.250 [+0.100, +0.400]"]
    assert list(table.columns)[1:] == [
        "10 frames, synthetic",
        "60 frames, synthetic",
        "60 minus 10 frames",
    ]


def test_submission_table_scores_only_what_is_known():
    row = {
        "window": 60,
        "rows": 1234,
        "filled": 5,
        "clips": 4,
        "macro_f1": 0.5,
        "accuracy": 0.8,
        "classes": 5,
    }
    table = tables.submission_table([row], origin="synthetic")
    assert (
        table.iloc[1].tolist() == ["Ours (60 frames)", "1,234", "5", "0.50 of 0.62", "0.80", "0.32"]
        and table["Paper, test"][0] == "0.25"
    )
    hidden = tables.submission_table([{**row, "macro_f1": None, "accuracy": None}], origin="")
    assert hidden["Ours, test"][1] == "hidden" and hidden["Ours, accuracy"][1] == "–"
    assert list(tables.submission_table([], origin="")["Method"]) == ["Baseline (VGGFace)"], (
        "a tree without a template"
    )


def test_influence_table_names_clip_and_class():
    frames = [10, 10, 20]
    clips = np.repeat(np.array(["a", "b", "c"], object), frames)
    # Only c shows Anger.
    rows = metrics.influence(np.repeat([0, 0, 1], frames), np.repeat([0, 1, 1], frames), clips)
    table = tables.influence_table(rows, count=1)
    assert (
        table["Clip left out"].tolist() == [rows[0]["clip"]] == ["c"]
        and table["Class it moves most"][0] == "Anger"
    )
    assert (
        table["Change"][0] == f"{rows[0]['change']:+.3f}"
        and table["Change of that F1"][0] == "-0.800"
    )


def test_paper_tables_have_the_papers_own_shapes_and_numbers():
    table = tables.table1()
    assert list(table) == ["Challenge", "Metric", "Method", "Result"]
    assert list(table["Result"]) == ["0.2500", "0.3265", "0.3324", "0.3670", "0.3599"]
    assert list(table["Method"][:2]) == ["Baseline", "Ours (10 frames)"]
    assert list(table["Challenge"]) == ["EXPR", "", "", "", ""]
    assert list(tables.table2()["Result"]) == ["0.25", "0.28", "0.30", "0.31", "0.32"]
    first = tables.v1_table1()
    assert list(first) == ["Method", "Acc. (%)", "Macro F1"]
    assert list(first["Acc. (%)"]) == ["–", "48.57", "53.71"]
    assert list(first["Macro F1"]) == ["0.2500", "0.3224", "0.3334"]
    assert tables.poster_table().to_numpy().tolist() == [
        ["Baseline", "0.25"],
        ["Ours(val)", "0.36"],
        ["Ours(test)", "0.32"],
    ]
    poster = tables.poster_class_table()
    assert list(poster) == ["Label", "Train Ratio(%)", "F1"]
    assert poster.iloc[3].tolist() == ["Fear", "1.65", "0.1078"]


def test_ours_stand_in_the_same_shapes_in_tables_of_their_own(tmp_path):
    frame = runs()
    frame["folder"] = [str(tmp_path / "sweep" / f"run{i}") for i in range(len(frame))]
    for i, folder in enumerate(frame["folder"]):
        write_json(
            Path(folder) / "metrics.json",
            {"frame": {"accuracy": i / 10}, "window": {"accuracy": 0.9}},
        )
        write_json(Path(folder) / "provenance.json", {"arithmetic": "tf32"})
    write_json(tmp_path / "metrics.json", {})
    write_json(tmp_path / "provenance.json", {"arithmetic": "tf32"})
    tested = [{"window": 60, "macro_f1": 0.5}, {"window": 10, "macro_f1": None}]
    figures = tmp_path / "figures"
    written = tables.paper_tables(
        figures,
        origin="synthetic",
        runs=frame,
        tested=tested,
        score=score(),
        ratio=[1 / 8] * 8,
        note="faces are missing",
    )
    assert {path.stem for path in figures.glob("*.tex")} == set(written)
    for name, table in written.items():
        if not name.endswith("_ours"):
            ours = written[f"{name}_ours"]
            assert list(ours) == list(table), "one shape"
            caption = (figures / f"{name}_ours.md").read_text().splitlines()[0]
            made = "ours per frame (synthetic, trained in tf32); faces are missing"
            assert caption.endswith(made)
            published = (figures / f"{name}.md").read_text()
            assert "as published" in published or "poster" in name
            assert "tf32" not in published
    assert list(written["table1_ours"]["Result"]) == ["–", "0.1020", "0.6020"]
    assert list(written["table2_ours"]["Result"]) == ["–", "–", "0.50"]
    first = written["v1_table1_ours"]
    assert list(first["Acc. (%)"]) == ["–", "40.00", "10.00"], "means of runs 3-5 and 0-2"
    assert list(first["Macro F1"]) == ["–", "0.1020", "0.6020"]
    assert list(written["poster_table_ours"]["Macro F1"]) == ["–", "0.60", "0.50"]


def test_published_and_ours_stand_side_by_side_row_by_row():
    pair = {"v1_table1": tables.v1_table1(), "v1_table1_ours": tables.v1_table1({60: (0.5, 0.4)})}
    both = tables.side_by_side(pair, "v1_table1", origin="synthetic")
    published, ours = both["as published"], both["ours, synthetic"]
    assert published["Macro F1"].tolist() == ["0.2500", "0.3334", "0.3224"]
    assert ours["Macro F1"].tolist() == ["–", "0.4000", ""]
    assert published["Method"].tolist()[1] == ours["Method"].tolist()[1]


def test_the_overview_has_five_columns():
    rows = tables.window_rows(runs(), {(60, "frame"): 0.9, (10, "frame"): 0.8})
    table = tables.window_overview(rows, origin="synthetic")
    assert list(table) == [
        "Window, frames",
        "Ours, per frame, synthetic",
        "Best possible",
        "Paper, validation",
        "Paper, test",
    ]
    assert table.iloc[1, 1].startswith("0.602 [")
    assert table.iloc[1, [0, 2, 3, 4]].tolist() == ["60", "0.900", "0.3599", "0.32"]


def test_the_posters_window_is_called_an_inference(tmp_path):
    """The poster names no window for its class table; that it is T = 30 is read from its mean."""
    tables.paper_tables(tmp_path, origin="", score=score(), ratio=[1 / 8] * 8)
    caption = (tmp_path / "poster_class_table.md").read_text().splitlines()[0]
    assert "names no window" in caption and "0.3670" in caption
    mean = np.mean(list(paper.CLASS_F1.values()))
    assert round(mean, 4) == paper.VALIDATION_MACRO_F1[paper.CLASS_TABLE_WINDOW] == 0.3670
    others = [value for key, value in paper.VALIDATION_MACRO_F1.items() if key != 30]
    assert all(abs(mean - value) > 0.005 for value in others)


def test_published_numbers_by_class_are_in_the_order_of_the_classes():
    for numbers in (paper.TRAIN_RATIO, paper.CLASS_F1, paper.TRAIN_FRAMES):
        assert list(numbers) == list(EXPRESSIONS)
