"""What videos can decide: the simulation against a slow one of its own,
and its forecasts against the verdict's interval.
"""

import numpy as np
import pytest

from emolib import paper
from emolib.data import structure
from emolib.errors import WrongCall
from emolib.evaluation import metrics
from emolib.studies import fold_check, resolution
from emolib.studies.resolution import Assumptions

F1 = list(paper.CLASS_F1.values())
FRAMES = structure.frames_by_video("validation")
CONFUSION = resolution.confusion_of_f1(F1, FRAMES)


def slow_matrices(frames, confusion, assumptions, generator, seeds=1):
    """Confusion matrices of one redraw,
    video by video and class by class: ``[2, seeds, videos, 8, 8]``.
    """
    matrices = np.zeros((2, seeds, len(frames), 8, 8))
    for place, video in enumerate(generator.integers(0, len(frames), len(frames))):
        for label in np.flatnonzero(frames[video]):
            coin = generator.random()
            own = generator.dirichlet(assumptions.concentration * confusion[label], (2, seeds))
            if coin < assumptions.shared:
                own[:] = own[0, 0]
            elif coin < assumptions.shared_by_seeds:
                own[:] = own[:, :1]
            matrices[:, :, place, label] = frames[video, label] * own
    return matrices


def slow_macro_f1(matrices):
    """Macro-F1 from precision and recall, ``[..., videos, 8, 8]``."""
    total = matrices.sum(axis=-3)
    hits = np.diagonal(total, axis1=-2, axis2=-1)
    annotated, predicted = total.sum(axis=-1), total.sum(axis=-2)
    recall = hits / np.maximum(annotated, 1e-9)
    precision = hits / np.maximum(predicted, 1e-9)
    return (2 * precision * recall / np.maximum(precision + recall, 1e-12)).mean(axis=-1)


# the classifier


def test_confusion_has_the_posters_f1_and_predicts_each_class_as_often_as_annotated():
    matrix = CONFUSION * FRAMES.sum(axis=0)[:, None]
    assert CONFUSION.sum(axis=1) == pytest.approx(np.ones(8))
    assert matrix.sum(axis=0) == pytest.approx(FRAMES.sum(axis=0), rel=1e-6)
    assert metrics.f1_of_classes(matrix) == pytest.approx(F1, abs=1e-6)
    assert resolution.macro_f1(CONFUSION, FRAMES) == pytest.approx(np.mean(F1))
    assert (CONFUSION >= 0).all()


def test_confusion_of_a_perfect_classifier_is_the_identity():
    assert resolution.confusion_of_f1([1.0] * 8, FRAMES) == pytest.approx(np.eye(8))


def test_level_keeps_the_order_of_the_classes():
    moved = resolution.at_level(F1, 0.512)
    assert moved.mean() == pytest.approx(0.512)
    assert (np.argsort(moved) == np.argsort(F1)).all()


@pytest.mark.parametrize("effect", [0.01, 0.1, 0.4])
def test_corrected_share_gives_the_effect(effect):
    share = resolution.corrected_share(CONFUSION, FRAMES, effect)
    better = (1 - share) * CONFUSION + share * np.eye(8)
    assert resolution.macro_f1(better, FRAMES) - np.mean(F1) == pytest.approx(effect, abs=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: resolution.confusion_of_f1([0.5] * 7, FRAMES),
        lambda: resolution.confusion_of_f1([0.0] + [1.0] * 7, FRAMES),
        lambda: resolution.confusion_of_f1(F1, FRAMES * np.array([0] + [1] * 7)),
        lambda: resolution.corrected_share(CONFUSION, FRAMES, 0.7),
        lambda: resolution.at_level(F1, 1.0),
        lambda: Assumptions(concentration=0),
        lambda: Assumptions(shared=0.8, shared_by_seeds=0.7),
    ],
)
def test_what_cannot_be_is_a_wrong_call(call):
    with pytest.raises(WrongCall):
        call()


# the simulation


def test_redraw_agrees_with_a_slow_simulation():
    assumptions = Assumptions(3.0, 0.4, 0.7)
    fast = resolution.redraw(FRAMES, CONFUSION, assumptions, seeds=2, repetitions=4000)
    generator = np.random.default_rng(5)
    slow = np.array(
        [
            slow_macro_f1(slow_matrices(FRAMES, CONFUSION, assumptions, generator, 2))
            for _ in range(600)
        ]
    )
    assert fast.shape == (4000, 2, 2)
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.004)
    assert fast.std() == pytest.approx(slow.std(), rel=0.08)
    for pair in ((0, 0, 1, 0), (0, 0, 0, 1)):  # two variants, two seeds
        a, b, c, d = pair
        differences = [(s[:, a, b] - s[:, c, d]).std() for s in (fast, slow)]
        assert differences[0] == pytest.approx(differences[1], rel=0.12)


def test_two_runs_are_as_correlated_as_they_share_when_videos_are_fixed():
    # Equal videos with one class each.
    frames = np.repeat(np.eye(8, dtype=np.int64) * 100, 20, axis=0)
    confusion = resolution.confusion_of_f1([0.5] * 8, frames)
    scores = resolution.redraw(
        frames, confusion, Assumptions(2.0, 0.3, 0.8), seeds=2, videos=0, repetitions=4000
    )
    correlation = np.corrcoef(scores.reshape(len(scores), 4).T)
    assert correlation[0, 2] == pytest.approx(0.3, abs=0.05)
    assert correlation[0, 1] == pytest.approx(0.8, abs=0.05)


def test_nothing_is_left_to_chance_when_all_is_shared_or_nothing_varies():
    same = resolution.redraw(FRAMES, CONFUSION, Assumptions(2.0, 1.0, 1.0), repetitions=50)
    assert (same[:, 0] == same[:, 1]).all() and same.std() > 0.01
    fixed = Assumptions(1e7, 0.0, 1.0)
    still = resolution.redraw(FRAMES, CONFUSION, fixed, videos=0, repetitions=20)
    assert still == pytest.approx(np.mean(F1), abs=1e-3)


def test_a_true_effect_moves_the_first_variant_only():
    assumptions = Assumptions(4.0, 0.7, 0.85)
    plain = resolution.redraw(FRAMES, CONFUSION, assumptions, repetitions=500)
    moved = resolution.redraw(FRAMES, CONFUSION, assumptions, repetitions=500, effect=0.05)
    assert (moved[:, 1] == plain[:, 1]).all()
    assert (moved[:, 0] - plain[:, 0]).mean() == pytest.approx(0.05, abs=0.005)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    a, b, c = (
        resolution.redraw(FRAMES, CONFUSION, Assumptions(), repetitions=30, seed=seed)
        for seed in (1, 1, 2)
    )
    assert (a == b).all() and not (a == c).any()


# what it means


def test_chance_falls_with_concentration_with_what_is_shared_and_with_videos():
    def width(**changes):
        return resolution.smallest_difference(
            FRAMES, CONFUSION, Assumptions(**changes), repetitions=1000
        )

    assert width(concentration=2.0) > 1.2 * width(concentration=16.0)
    assert width(shared=0.2) > 1.2 * width(shared=0.8)
    one, four = (
        resolution.smallest_effect(FRAMES, CONFUSION, Assumptions(), videos=v, repetitions=1000)
        for v in (70, 280)
    )
    assert one / four == pytest.approx(2, rel=0.15)
    assert resolution.videos_needed(one, 70, one / 2) == pytest.approx(280)


def test_the_rough_first_figures_of_the_data_set():
    assert 0.09 < resolution.interval_width(FRAMES, CONFUSION, 4.0) < 0.13
    assumptions = Assumptions(4.0, 0.7, 0.85)
    assert 0.03 < resolution.smallest_difference(FRAMES, CONFUSION, assumptions) < 0.06


@pytest.mark.parametrize("measure", [resolution.smallest_difference, resolution.smallest_effect])
def test_band_holds_what_lies_between_its_ends(measure):
    low, high = resolution.band(measure, FRAMES, CONFUSION, repetitions=500)
    for between in (
        Assumptions(16.0, 0.5, 0.75),
        Assumptions(2.0, 0.9, 0.95),
        Assumptions(6.0, 0.7, 0.85),
    ):
        assert low < measure(FRAMES, CONFUSION, between, repetitions=500) < high


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_smallest_effect_is_decided_by_the_real_interval_as_often_as_forecast(seeds):
    """Studies with that true effect, judged by ``metrics.difference``;
    without an effect few may be decided.
    """
    frames = np.ceil(np.random.default_rng(3).permuted(FRAMES, axis=0) ** 0.6).astype(np.int64)
    # Smaller, more even videos: quick to resample.
    confusion = resolution.confusion_of_f1(F1, frames)
    assumptions, generator = Assumptions(4.0, 0.6, 0.8), np.random.default_rng(9)
    effect = resolution.smallest_effect(frames, confusion, assumptions, seeds=seeds)
    corrected = resolution.corrected_share(confusion, frames, effect)
    decided = []
    for true_effect in (corrected, 0.0):
        count = 0
        for _ in range(60):
            matrices = slow_matrices(frames, confusion, assumptions, generator, seeds)
            wrong = matrices[0] * (1 - np.eye(8))
            matrices[0] += true_effect * (wrong.sum(axis=-1, keepdims=True) * np.eye(8) - wrong)
            count += excludes_zero(matrices)
        decided.append(count / 60)
    assert 0.65 <= decided[0] <= 0.95, decided
    assert decided[1] <= 0.15, decided


def excludes_zero(matrices):
    """Whether the paired interval of ``metrics.difference`` lies above zero,
    for ``[2, seeds, videos, 8, 8]``.
    """
    first, second = ([rows_of(run) for run in runs] for runs in matrices)
    labels, _, videos = first[0]
    predictions = (np.stack([predicted for _, predicted, _ in runs]) for runs in (first, second))
    return metrics.difference(labels, *predictions, videos)["interval"][0] > 0


def rows_of(matrices):
    """Labels, predictions and videos ``[n]``, a row a frame,
    with the frames of ``matrices`` ``[videos, 8, 8]``.
    """
    # So that labels are kept exactly.
    below = np.rint(np.cumsum(matrices, axis=-1)).astype(np.int64)
    counts = np.diff(below, axis=-1, prepend=0)
    video, label, predicted = (
        np.repeat(i.ravel(), counts.ravel()) for i in np.indices(counts.shape)
    )
    return label, predicted, video


def test_spread_over_folds_is_that_of_the_scores():
    table = structure.annotation_files()
    frames, fold = structure.class_frames(table), table["fold"].to_numpy()
    confusion = resolution.confusion_of_f1(resolution.at_level(F1, 0.512), frames)
    much, little = (
        fold_check.fold_spread(frames, fold, confusion, concentration, repetitions=200)
        for concentration in (2.0, 16.0)
    )
    assert much.shape == (200,) and np.median(much) > 1.2 * np.median(little) > 0.01
