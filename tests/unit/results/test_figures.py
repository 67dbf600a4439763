"""Figures: same numbers, same bytes; what they must say; what a notebook shows."""

import base64
import hashlib
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex

from emolib import paper
from emolib.evaluation import metrics
from emolib.labels import EXPRESSIONS
from emolib.results import figures, tables
from emolib.results.spectrogram import BANDS, log_mel
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
    "reliability": lambda: figures.reliability(
        metrics.calibration(np.arange(30) % 8, PROBABILITIES), title="R", origin="synthetic"
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


def test_a_long_title_is_not_cut():
    long = "RAVDESS, 384 of 1,440 recordings, voices alone, small encoder"
    figure = figures.confusion(np.eye(8, dtype=int).tolist(), title="Confusion", origin=long)
    figure.canvas.draw()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.width
    assert " ".join(figure.get_suptitle().split()) == f"Confusion ({long})"


@pytest.mark.parametrize("name", EVERY)
def test_same_numbers_give_same_bytes_without_dates_or_versions(name, tmp_path):
    """And the title says that they are synthetic."""
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        figure = figures.save(EVERY[name](), name, folder)
        assert re.search(r"\((ours: )?synthetic\)$", figure.get_suptitle())
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


def test_real_data_is_not_called_synthetic():
    assert (
        "synthetic" not in figures.class_distribution({"train": [5] * 8}, origin="").get_suptitle()
    )


def test_other_numbers_give_other_bytes():
    one, two = (
        figures.png(figures.class_distribution({"train": [5] * 7 + [last]}, origin="synthetic"))
        for last in (5, 6)
    )
    assert one != two


def test_drawing_leaves_the_readers_matplotlib_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    figures.png(EVERY["timeline"]())
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


def test_window_curve_has_a_panel_for_ours_and_one_for_the_paper():
    left, right = figures.window_curve(rows(), origin="synthetic").axes
    ours = {str(line.get_label()): line.get_ydata() for line in left.lines}
    np.testing.assert_allclose(ours["ceiling: best possible"], [0.95, 0.95])
    seeds = np.concatenate([dots.get_offsets()[:, 1] for dots in left.collections[1:]])
    np.testing.assert_allclose(seeds, [0.5, 0.6, 0.5, 0.6])
    published = {str(line.get_label()): list(line.get_ydata()) for line in right.lines}
    assert published["validation (table 1)"] == [0.3265, 0.3324, 0.3670, 0.3599]
    assert published["test (table 2)"] == [0.28, 0.30, 0.31, 0.32]
    assert not set(ours) & set(published), "no curve of one panel is in the other"


def test_window_curve_shows_one_protocol_and_a_ceiling_only_where_one_is_known():
    wide = [{**row, "ceiling": None, "macro_f1": 0.7} for row in rows()]
    wide = [{**row, "macro_f1": 0.2} if row["protocol"] == "window" else row for row in wide]
    for protocol, value in (("frame", 0.7), ("window", 0.2)):
        left = figures.window_curve(wide, origin="", protocol=protocol).axes[0]
        assert "ceiling" not in str([line.get_label() for line in left.lines])
        assert list(left.lines[0].get_ydata()) == [value, value]


def test_classes_have_one_colour_and_marker_everywhere():
    _, right = EVERY["f1_against_ratio"]().axes
    named = {line.get_label(): (line.get_color(), line.get_marker()) for line in right.lines}
    looks = zip(figures.CLASS_COLOURS, figures.CLASS_MARKERS, strict=True)
    assert named == dict(zip(EXPRESSIONS, looks, strict=True))
    bars = [patch.get_facecolor() for patch in EVERY["class_f1"]().axes[0].patches]
    assert [to_hex(bar).upper() for bar in bars] == list(figures.CLASS_COLOURS)
    for axis in EVERY["class_distribution"]().axes:
        bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in axis.patches}
        colours = [to_hex(bars[place].get_facecolor()).upper() for place in range(8)]
        assert colours == list(figures.CLASS_COLOURS)


def test_the_posters_points_are_the_posters():
    right = EVERY["f1_against_ratio"]().axes[1]
    points = {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in right.lines}
    assert points["Other"] == (pytest.approx(29.52), 0.6382) and len(points) == 8


def test_a_class_without_training_data_has_no_point():
    ratio = np.array([0.5, 0, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05])
    left = figures.f1_against_ratio(score()["per_class"], ratio, origin="").axes[0]
    assert np.isnan(left.lines[-7].get_xdata()[0]) and not np.isnan(left.lines[-8].get_xdata()[0])


def test_class_distribution_is_the_posters_beside_ours():
    axes = EVERY["class_distribution"]().axes
    titles = [axis.get_title().replace("\n", ", ") for axis in axes]
    assert titles == ["poster, real train", "ours, train", "ours, validation"]
    texts = [text.get_text() for text in axes[0].texts]
    assert texts == ["27.1", "3.0", "2.0", "1.7", "15.9", "15.4", "5.4", "29.5"]
    assert {text.get_text() for text in axes[1].texts} == {"12.5"}


def test_histogram_counts_every_clip_once():
    values = np.array([1.0, 1.0, 2.0, 3.0])
    figure = figures.histogram({"train": values}, title="Rates", xlabel="x", origin="", bins=4)
    (line,) = figure.axes[0].lines
    steps = np.unique(np.column_stack(line.get_data()), axis=0)
    assert steps[:, 1].max() == 2 and "train (4)" in str(line.get_label())


def test_confusion_shows_percent_of_the_row_and_its_number():
    matrix = np.zeros((8, 8), int)
    matrix[0, :3] = 9970, 29, 1
    matrix[1, 1] = 7
    axis = figures.confusion(matrix, title="Confusion", origin="").axes[0]
    assert [text.get_text() for text in axis.texts] == ["100", "<1", "<1", "100"]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[:3] == ["Neutral 10,000", "Anger 7", "Disgust 0"]
    assert all(text.get_fontsize() >= 7 for text in axis.texts)


def test_the_parts_of_the_training_loss_add_up():
    history = {
        "epoch": [1, 2, 3],
        "train_loss": [2.1, 1.1, 0.6],
        "classification_loss": [2.0, 1.0, 0.5],
        "contrastive_loss": [1.0, 1.0, 1.0],
        "validation_loss": [2.5, 1.5, 1.0],
        "validation_macro_f1": [0.1, 0.2, 0.3],
    }
    figure = figures.training_curves(history, best_epoch=3, origin="")
    lower, upper = figure.axes[0].collections
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in (lower, upper)]
    assert tops == [2.0, 2.1]
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["total, train"] == [2.1, 1.1, 0.6]
    assert lines["classification, validation"] == [2.5, 1.5, 1.0]
    ticks = figure.axes[0].get_xticks()
    assert all(tick == round(tick) for tick in ticks), "epochs are whole"


def test_the_spectrogram_shows_a_tone_at_its_frequency():
    rate = 16000
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    loudness = log_mel(tone, rate)
    at = BANDS * np.log10(1 + 1000 / 700) / np.log10(1 + 8000 / 700)
    assert abs(np.median(loudness.argmax(axis=0)) - at) < 1.5
    axis = figures.audio_features(tone, rate, NOISE, title="Tone", origin="").axes[1]
    ticks = dict(zip(map(label_text, axis.get_yticklabels()), axis.get_yticks(), strict=True))
    assert ticks["1"] == pytest.approx(at) and ticks["8"] == pytest.approx(BANDS)


def label_text(label):
    return label.get_text()


def test_reliability_draws_the_bins_and_says_the_error():
    probabilities = np.full((10, 8), 0.1 / 7)
    probabilities[:, 2] = 0.9
    calibration = metrics.calibration(np.repeat([2, 3], [6, 4]), probabilities)
    above, below = figures.reliability(calibration, title="Reliability", origin="").axes
    assert above.get_title() == "expected calibration error 0.300"
    assert [bar.get_height() for bar in below.patches if bar.get_height()] == [10]


def test_no_figure_is_wider_than_its_place_in_the_cvpr_template():
    assert figures.COLUMN * 72.27 <= 237.13 and figures.WIDE * 72.27 <= 496.9
    for name, draw in EVERY.items():
        wide = name in ("timeline", "audio_features")
        width = draw().get_size_inches()[0]
        assert width == (figures.WIDE if wide else figures.COLUMN), name


def test_a_shown_figure_survives_the_way_to_latex(monkeypatch):
    """nbconvert takes image/png for LaTeX and PDF; an <img> in HTML is lost there."""
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    figures.show(EVERY["histogram"](), alt="rates")
    data = base64.b64decode(shown[0]["image/png"])
    assert data.startswith(b"\x89PNG") and shown[0]["image/png"] in shown[0]["text/html"]
    assert len(data) < 0.6 * len(figures.png(EVERY["histogram"](), 150)), "it stands there twice"


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
        {name: {10: [0.5, 0.6, 0.4], 60: [0.9, 0.8, 0.9]} for name in (*EXPRESSIONS, "both")},
        origin="synthetic",
    ),
    "influence": lambda: ablation_figures.influence(
        [{"clip": "a_left", "change": 0.1}, {"clip": "b", "change": -0.2}], origin="synthetic"
    ),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_figures_of_ablations(name, tmp_path):
    figure = ABLATIONS[name]()
    width = figures.WIDE if name == "classes_by_window" else figures.COLUMN
    assert "synthetic" in figure.get_suptitle() and figure.get_size_inches()[0] == width
    for folder in ("a", "b"):
        figures.save(ABLATIONS[name](), name, tmp_path / folder)
    for suffix in ("png", "svg"):
        assert (tmp_path / "a" / f"{name}.{suffix}").read_bytes() == (
            tmp_path / "b" / f"{name}.{suffix}"
        ).read_bytes()


def test_classes_by_window_show_seeds_mean_and_interval():
    axes = ABLATIONS["classes_by_window"]().axes
    assert [axis.get_title() for axis in axes] == [*EXPRESSIONS, "both"]
    mean = axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(mean, [0.5, 0.8666666667])
    low, high = axes[0].collections[0].get_segments()[0][:, 1]
    half = 4.302652729911275 * 0.1 / np.sqrt(3)  # Student's t, two degrees of freedom
    np.testing.assert_allclose([low, high], [0.5 - half, 0.5 + half])
    seeds = axes[0].collections[1].get_offsets()[:, 1]
    np.testing.assert_allclose(seeds, [0.5, 0.6, 0.4])


def test_effects_name_the_component_that_a_variant_lacks():
    row = {**EFFECT, "label": "", "component": "TCN"}
    axis = ablation_figures.effects([row], title="What each adds", origin="").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["TCN"]
    assert "adds" in axis.get_xlabel()


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
