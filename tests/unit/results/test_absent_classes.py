"""A class that a data set cannot show is said to be absent; it never has a score of zero."""

import numpy as np
import pytest

from emolib import paper
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.results import figures, tables

SHOWN = range(7)  # as in RAVDESS: Other has no counterpart
RATIO = np.array([1 / 7] * 7 + [0])
WORDS = "Other, not in this data set"


@pytest.fixture(scope="module")
def score():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 7, 400)
    predictions = np.where(generator.random(400) < 0.8, labels, generator.integers(0, 7, 400))
    clips = generator.integers(0, 20, 400)
    return metrics.score(labels, predictions, clips, protocol="frame", classes=SHOWN)


def test_scores_by_class(score):
    table = tables.per_class_table(score, RATIO, ceiling=None, origin="").set_index("Class")
    assert table.loc[WORDS].tolist()[:4] == ["–"] * 4
    assert not table.iloc[:7].isin(["–"]).any(axis=None)
    assert "0.000 [" not in table.to_csv()
    mean = float(table.loc["Mean", "F1, ours"].split()[0])
    seven = table["F1, ours"].iloc[:7].str.split().str[0].astype(float)
    assert mean == pytest.approx(seven.mean(), abs=0.001)


def test_a_class_that_was_trained_on_keeps_its_zero(score):
    table = tables.per_class_table(score, [1 / 8] * 8, ceiling=None, origin="")
    assert table["Class"].iloc[7] == "Other" and table["F1, ours"].iloc[7].startswith("0.000")


def test_counts():
    table = tables.counts_table({"train": [10] * 7 + [0], "validation": [0, 5, 5, 5, 5, 5, 5, 0]})
    assert table["Class"].tolist() == [*EXPRESSIONS[:7], WORDS]
    assert table.iloc[7, 1:5].tolist() == ["–"] * 4
    assert table.iloc[0, 1:5].tolist() == ["10", "14.29", "0", "0.00"]


def test_the_posters_table(score, tmp_path):
    both = tables.paper_tables(tmp_path, origin="", score=score, ratio=RATIO)
    ours = both["poster_class_table_ours"].set_index("Label")
    assert ours.loc["Other"].tolist() == ["–", "–"]
    assert float(ours.loc["Fear", "F1"]) > 0.5
    published = both["poster_class_table"].set_index("Label")
    assert published.loc["Other", "F1"] == f"{paper.CLASS_F1['Other']:.4f}"


def test_bars(score):
    axis = figures.class_f1(score["per_class"], ceiling=None, protocol="frame", origin="").axes[0]
    heights = [bar.get_height() for bar in axis.patches]
    assert np.isnan(heights[7]) and min(heights[:7]) > 0.5
    assert [text.get_text() for text in axis.texts] == ["not in this data set"]


def test_shares():
    figure = figures.class_distribution({"train": [5] * 7 + [0]}, origin="")
    poster, ours = ([text.get_text() for text in axis.texts] for axis in figure.axes)
    assert ours[7] == "none" and ours[0] == "14.3" and "none" not in poster


def test_confusion(score):
    axis = figures.confusion(score["confusion"], title="Confusion", origin="").axes[0]
    names = [text.get_text() for text in axis.get_xticklabels()]
    assert names == list(EXPRESSIONS[:7])
    assert len(axis.get_yticklabels()) == 7
