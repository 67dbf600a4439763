"""Figures: same numbers, same bytes; what they must say; what a notebook shows."""

import hashlib
import re

import numpy as np
import pytest

from emolib import paper
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.results import figures, tables
from emolib.studies import figures as ablation_figures


def score():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8, 600)
    predictions = np.where(generator.random(600) < 0.8, labels, generator.integers(0, 8, 600))
    return metrics.score(labels, predictions, generator.integers(0, 20, 600), protocol="frame")


def rows():
    return [
        {
            "window": window,
            "protocol": protocol,
            "macro_f1": 0.5 + window / 200,
            "interval": [0.45, 0.9],
            "values": [0.5, 0.6],
            "ceiling": 0.95,
            "interval_over": "seeds",
            "seeds": 2,
        }
        for window in (10, 60)
        for protocol in ("frame", "window")
    ]


RATIO = np.array(list(paper.TRAIN_RATIO.values()))
SINE = np.sin(np.arange(16000) / 30).astype(np.float32)
NOISE = np.random.default_rng(1).normal(size=(49, 32))
PROBABILITIES = np.full((30, 8), 1 / 8)
LABELS = np.repeat([-1, 0, 3], 10)
EVERY = {
    "class_distribution": lambda: figures.class_distribution(
        {"train": [5] * 8, "validation": [3] * 8}, origin="synthetic"
    ),
    "histogram": lambda: figures.histogram(
        {"train": np.ones(5), "validation": np.ones(3)},
        title="Rates",
        xlabel="x",
        origin="synthetic",
    ),
    "faces": lambda: figures.faces(
        {"Anger": [np.zeros((8, 8, 3), np.uint8)] * 2}, title="Faces", origin="synthetic"
    ),
    "training_curves": lambda: figures.training_curves(
        {"epoch": [1, 2], "train_loss": [2, 1], "validation_macro_f1": [0.1, 0.2]},
        best_epoch=2,
        origin="synthetic",
    ),
    "confusion": lambda: figures.confusion(
        np.eye(8, dtype=int) * 12345, title="Confusion", origin="synthetic"
    ),
    "timeline": lambda: figures.timeline(
        np.arange(30) / 30, PROBABILITIES, LABELS, LABELS, title="Clip", origin="synthetic"
    ),
    "window_curve": lambda: figures.window_curve(rows(), origin="synthetic"),
    "class_f1": lambda: figures.class_f1(
        score()["per_class"], ceiling=[0.9] * 8, protocol="frame", origin="synthetic"
    ),
    "f1_against_ratio": lambda: figures.f1_against_ratio(
        score()["per_class"], RATIO, origin="synthetic"
    ),
    "embedding": lambda: figures.embedding(
        NOISE[:, :2], np.arange(49) % 8, title="Map", origin="synthetic"
    ),
    "audio_features": lambda: figures.audio_features(
        SINE, 16000, NOISE, title="Sound", origin="synthetic"
    ),
}


@pytest.mark.parametrize(
    ("title", "shown"), [("a $_$ b", "a $_$ b"), (r"$\a$", r"$\a$"), ("caf\udce9", "caf?")]
)
def test_any_name_can_be_a_title(tmp_path, title, shown):
    figure = figures.faces(
        {"crops": [np.zeros((8, 8, 3), np.uint8)]}, title=title, origin="synthetic"
    )
    assert figures.save(figure, "crops", tmp_path).get_suptitle() == f"{shown} (synthetic)"


@pytest.mark.parametrize("name", EVERY)
def test_same_numbers_give_same_bytes_without_dates_or_versions(name, tmp_path):
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        figures.save(EVERY[name](), name, folder)
        digests.append(
            [
                hashlib.sha256((folder / f"{name}.{kind}").read_bytes()).hexdigest()
                for kind in ("png", "svg")
            ]
        )
    assert digests[0] == digests[1]
    svg, png = (
        (tmp_path / "a" / f"{name}.svg").read_text(),
        (tmp_path / "a" / f"{name}.png").read_bytes(),
    )
    assert b"Software" not in png and "dc:date" not in svg and not re.search(r"Matplotlib v", svg)


@pytest.mark.parametrize("name", EVERY)
def test_titles_say_synthetic(name):
    assert EVERY[name]().get_suptitle().endswith("(synthetic)")


def test_real_data_is_not_called_synthetic():
    assert (
        "synthetic" not in figures.class_distribution({"train": [5] * 8}, origin="").get_suptitle()
    )


def test_other_numbers_give_other_bytes():
    one, two = (
        figures._png(figures.class_distribution({"train": [5] * 7 + [last]}, origin="synthetic"))
        for last in (5, 6)
    )
    assert one != two


def test_drawing_leaves_the_readers_matplotlib_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figures._png(EVERY["timeline"]())
    assert dict(mpl.rcParams) == before


def test_shown_figures_carry_alt_text_and_title(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    figures.show(EVERY["histogram"](), alt='rates "in" <fps>')
    assert (
        'alt="rates &quot;in&quot; &lt;fps&gt;"' in shown[0]["text/html"]
        and 'title="Rates (synthetic)"' in shown[0]["text/html"]
    )
    assert shown[0]["text/plain"] == 'rates "in" <fps>'


def test_window_curve_draws_what_it_is_given():
    axis = figures.window_curve(rows(), origin="synthetic").axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axis.lines}
    np.testing.assert_allclose(lines["ceiling, frames"], [0.95, 0.95])
    np.testing.assert_allclose(lines["paper, real validation"], [0.3265, 0.3599])
    without = [{**row, "ceiling": None} for row in rows()]
    assert not any(
        "ceiling" in str(line.get_label())
        for line in figures.window_curve(without, origin="").axes[0].lines
    )


def test_points_are_named_once_each():
    axis = EVERY["f1_against_ratio"]().axes[0]
    assert sorted(text.get_text() for text in axis.texts) == sorted(EXPRESSIONS * 2)


def test_classes_on_top_of_each_other_share_one_name_tag():
    points = np.repeat([[0.0, 0.0], [0.1, 0.1], [9.0, 9.0]], 4, axis=0)
    axis = figures.embedding(points, np.repeat([1, 2, 4], 4), title="Map", origin="synthetic").axes[
        0
    ]
    assert [text.get_text() for text in axis.texts] == ["Anger\nDisgust", "Happiness"]


def test_colours_are_told_apart():
    assert len(set(figures.CLASS_COLOURS)) == len(EXPRESSIONS)


def test_principal_components_find_the_direction_and_keep_its_sign():
    generator = np.random.default_rng(3)
    hidden = generator.normal(size=200)
    features = hidden[:, None] * [1, -2, 3] + 0.01 * generator.normal(size=(200, 3))
    first = figures.principal_components(features)[:, 0]
    assert abs(np.corrcoef(first, hidden)[0, 1]) > 0.999
    np.testing.assert_allclose(
        figures.principal_components(features[::-1])[:, 0], first[::-1], atol=1e-9
    )


def test_tables_number_is_what_figures_show():
    assert tables.number(float("nan")) == "–"


EFFECT = {
    "title": "Without TCN",
    "difference": 0.1,
    "difference_interval": [0.02, 0.2],
    "label": "no TCN",
}
ABLATIONS = {
    "effects": lambda: ablation_figures.effects(
        [{"title": "Full"}, EFFECT, {**EFFECT, "difference_interval": [-0.1, 0.2]}],
        title="Effects",
        xlabel="x",
        origin="synthetic",
    ),
    "classes_by_window": lambda: ablation_figures.classes_by_window(
        {name: {10: 0.5, 60: 0.9} for name in EXPRESSIONS}, origin="synthetic"
    ),
    "influence": lambda: ablation_figures.influence(
        [{"clip": "a_left", "change": 0.1}, {"clip": "b", "change": -0.2}], origin="synthetic"
    ),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_figures_of_ablations(name, tmp_path):
    figure = ABLATIONS[name]()
    assert "synthetic" in figure.get_suptitle() and figure.get_size_inches()[0] == figures.COLUMN
    for folder in ("a", "b"):
        figures.save(ABLATIONS[name](), name, tmp_path / folder)
    for suffix in ("png", "svg"):
        assert (tmp_path / "a" / f"{name}.{suffix}").read_bytes() == (
            tmp_path / "b" / f"{name}.{suffix}"
        ).read_bytes()


def test_effects_leave_out_the_full_model_and_mark_what_excludes_zero():
    axis = ABLATIONS["effects"]().axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["no TCN", "no TCN"]
    points = [
        line for line in axis.lines if line.get_marker() == "o" and len(line.get_xdata()) == 1
    ]
    assert [point.get_markerfacecolor() == "white" for point in points] == [False, True]


def test_text_on_a_class_colour_can_be_read():
    """WCAG 2 asks for a contrast of at least 4.5, by its definition of luminance."""

    def luminance(code):
        parts = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        return sum(
            w * (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4)
            for w, p in zip((0.2126, 0.7152, 0.0722), parts, strict=True)
        )

    for fill in (*figures.CLASS_COLOURS, "#000000", "#FFFFFF"):
        low, high = sorted((luminance(fill), luminance(figures.ink_on(fill))))
        assert (high + 0.05) / (low + 0.05) >= 4.5, fill
    assert figures.ink_on("#0072B2") == "#FFFFFF" and figures.ink_on("#F0E442") == "#000000"
    labels = np.repeat([5, 4], 15)
    figure = figures.timeline(
        np.arange(30) / 30, PROBABILITIES, labels, labels, title="Clip", origin="synthetic"
    )
    written = {text.get_text(): text.get_color() for text in figure.axes[1].texts}
    assert written == {"Sadness": "#FFFFFF", "Happiness": "#000000"}
