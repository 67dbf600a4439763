"""What notebook 11 says of published differences, at its own assumptions; and its figures."""

import numpy as np
import pytest

from emolib import paper
from emolib.data import structure
from emolib.results.figures import COLUMN
from emolib.studies import published_differences, resolution, resolution_figures
from emolib.studies.published_differences import ABOVE, BELOW, WITHIN

FRAMES = structure.frames_by_video("validation")
F1 = list(paper.CLASS_F1.values())


def band(shared, level):
    confusion = resolution.confusion_of_f1(resolution.at_level(F1, level), FRAMES)

    return resolution.band(
        resolution.smallest_difference, FRAMES, confusion, shared=shared, repetitions=800
    )


@pytest.fixture(scope="module")
def bands():
    return {
        "same": band(resolution.SAME_METHOD, np.mean(F1)),
        "other": band(resolution.OTHER_METHODS, np.mean(F1)),
        "peers": band(resolution.OTHER_METHODS, 0.5),
    }


def test_every_published_window_and_version_is_compared():
    sizes = {pair.name: pair.size for pair in published_differences.differences()}
    assert sizes["T = 30 vs 60"] == pytest.approx(0.0071)
    assert sizes["T = 30 vs 10"] == pytest.approx(0.0405)
    assert sizes["T = 30 vs its v1"] == pytest.approx(0.0446)
    assert sizes["v1: T = 60 vs 30"] == pytest.approx(0.0110)
    assert sizes["T = 30 vs baseline"] == pytest.approx(0.117)
    assert sizes["1st peer vs T = 30"] == pytest.approx(0.1698)


def test_answers_of_the_notebook(bands):
    shown = published_differences.differences()
    table = published_differences.table(shown, bands).set_index("Published")
    answers = table["Can the videos show it?"]
    for name in ("T = 30 vs 60", "T = 15 vs 10", "v1: T = 60 vs 30", "T = 30 vs poster"):
        assert answers[name] == BELOW, name
    for name in ("T = 30 vs 15", "T = 30 vs 10", "T = 60 vs its v1", "T = 30 vs its v1"):
        assert answers[name] == WITHIN, name
    for name in ("T = 30 vs baseline", "3rd peer vs T = 30", "1st peer vs T = 30"):
        assert answers[name] == ABOVE, name


@pytest.mark.parametrize(
    ("size", "expected"), [(0.01, BELOW), (0.02, BELOW), (0.05, WITHIN), (0.07, ABOVE)]
)
def test_an_answer_is_where_the_difference_lies(size, expected):
    assert published_differences.answer(size, (0.02, 0.06)) == expected


def test_the_sentence_names_each_difference_under_its_answer(bands):
    shown = published_differences.differences()
    lines = published_differences.sentence(shown, bands).splitlines()
    assert len(lines) == 3 and sum(line.count(" vs ") for line in lines) == len(shown)
    assert "T = 30 vs 60 (0.007)" in lines[0] and "T = 30 vs baseline (0.117)" in lines[2]
    tiny = dict.fromkeys(bands, (0.0, 0.001))
    assert "none" in published_differences.sentence(shown, tiny).splitlines()[0]


def test_the_versions_disagree_on_the_best_window():
    assert published_differences.best_windows() == {
        "camera-ready, validation": 30,
        "arXiv v1, validation": 60,
        "camera-ready, test": 60,
    }


def test_figures_name_what_they_show(bands):
    lines = {"T = 30 vs 60: 0.0071": 0.0071}
    narrowing = np.array([[0.1, 0.08, 0.06], [0.05, 0.04, 0.03]])
    shown = published_differences.differences()
    figures = [
        resolution_figures.carriers(FRAMES, title="Carriers"),
        resolution_figures.recall_densities([2, 4, 8, 16], 0.5),
        resolution_figures.width_of_one_score([2, 4, 8], narrowing, lines, band="models"),
        resolution_figures.smallest_by_shared([0, 0.5, 0.9], narrowing, lines, band="videos"),
        resolution_figures.published(shown, bands),
        resolution_figures.planning(
            {35: (0.05, 0.1), 70: (0.04, 0.08)},
            {3: (0.04, 0.08), 5: (0.03, 0.07)},
            lines,
            {"validation": 70},
            band="all",
        ),
    ]
    for figure in figures:
        assert figure.get_suptitle() and figure.axes[0].get_xlabel()
        assert figure.get_size_inches()[0] == pytest.approx(COLUMN)
    names = [label.get_text() for label in figures[4].axes[0].get_yticklabels()]
    assert names == [pair.name for pair in shown]
