"""Scores against scikit-learn and slow resampling;
the intervals' coverage against simulated clips of known F1.
"""

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from emolib.errors import EmolibError, WrongCall
from emolib.evaluation.metrics import (
    class_f1,
    confusion,
    difference,
    influence,
    macro_f1,
    over_seeds,
    score,
)

CLASSES = list(range(8))


def annotated(rng, clips=20, per_clip=100, accuracy=0.7):
    """Labels that stay with a clip for a while, predictions right with the given rate."""
    labels = rng.integers(0, 8, (clips, per_clip // 20)).repeat(20, axis=1).ravel()
    predictions = np.where(
        rng.random(len(labels)) < accuracy, labels, rng.integers(0, 8, len(labels))
    )
    return labels, predictions, np.arange(clips).repeat(per_clip)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 7), st.integers(0, 7)), min_size=1, max_size=60))
def test_macro_f1_and_confusion_equal_scikit_learns(rows):
    labels, predictions = (np.array(column) for column in zip(*rows, strict=True))
    keep = labels >= 0
    if not keep.any():
        with pytest.raises(EmolibError, match="annotated"):
            macro_f1(labels, predictions)
        return
    expected = f1_score(
        labels[keep], predictions[keep], labels=CLASSES, average="macro", zero_division=0
    )
    assert macro_f1(labels, predictions) == pytest.approx(expected, abs=1e-12)
    assert (
        confusion(labels, predictions)
        == confusion_matrix(labels[keep], predictions[keep], labels=CLASSES)
    ).all()


def test_always_other_scores_what_facts_says():
    # The validation frames of each class: docs/data.md, Size.
    frames = np.array([82258, 6126, 5296, 8408, 34511, 25157, 12332, 106444])
    labels = np.arange(8).repeat(frames)
    always = score(labels, np.full(len(labels), 7), np.arange(len(labels)) % 70, protocol="frame")
    assert always["accuracy"] == pytest.approx(0.3794, abs=5e-5)
    assert always["macro_f1"] == pytest.approx(0.0688, abs=5e-5)


def test_score_has_everything_and_is_json():
    labels, predictions, clips = annotated(np.random.default_rng(0))
    labels[::7] = -1
    result = score(labels, predictions, clips, protocol="frame", influence=True)
    json.dumps(result, allow_nan=False)
    keep = labels >= 0
    precision, recall, f1, support = precision_recall_fscore_support(
        labels[keep], predictions[keep], labels=CLASSES, zero_division=0
    )
    for c, row in enumerate(result["per_class"]):
        assert (row["precision"], row["recall"], row["f1"], row["support"]) == pytest.approx(
            (precision[c], recall[c], f1[c], support[c])
        )
        assert row["f1_interval"][0] <= row["f1"] <= row["f1_interval"][1]
    assert result["n"] == keep.sum() == np.sum(result["confusion"])
    assert result["clips"] == 20
    assert result["accuracy"] == pytest.approx((labels == predictions)[keep].mean())
    low, high = result["macro_f1_interval"]
    assert low < result["macro_f1"] < high < low + 0.3
    assert len(result["influence"]) == 20


def test_intervals_equal_slow_resampling_of_clips():
    rng = np.random.default_rng(3)
    labels, predictions, clips = imbalanced(rng, clips=12)
    drawn = []
    for _ in range(500):
        rows = np.concatenate([np.flatnonzero(clips == clip) for clip in rng.integers(0, 12, 12)])
        drawn.append(
            f1_score(
                labels[rows], predictions[rows], labels=CLASSES, average="macro", zero_division=0
            )
        )
    estimate = macro_f1(labels, predictions)
    without = np.array([row["macro_f1"] for row in influence(labels, predictions, clips)])
    slow = bca(estimate, np.array(drawn), without)
    fast = score(labels, predictions, clips, protocol="window")["macro_f1_interval"]
    assert np.abs(np.subtract(slow, fast)).max() < 0.03
    assert fast[1] - fast[0] > 0.1


def bca(estimate, drawn, without):
    """Efron's formulas (1987, eq. 6.4 and 6.6) told plainly."""
    z0 = stats.norm.ppf(np.mean(drawn < estimate))
    u = without.mean() - without
    a = (u**3).sum() / (6 * (u**2).sum() ** 1.5)
    return [
        np.quantile(drawn, stats.norm.cdf(z0 + (z0 + z) / (1 - a * (z0 + z))))
        for z in (-1.959964, 1.959964)
    ]


def test_clips_not_frames_are_resampled():
    labels, predictions, clips = annotated(np.random.default_rng(5), clips=10)
    right_clips = clips % 2 == 0
    # A clip is all right or all wrong.
    predictions = np.where(right_clips, labels, (labels + 1) % 8)
    by_clip = score(labels, predictions, clips, protocol="frame")["accuracy_interval"]
    by_frame = score(labels, predictions, np.arange(len(labels)), protocol="frame")[
        "accuracy_interval"
    ]
    assert by_clip[1] - by_clip[0] > 5 * (by_frame[1] - by_frame[0])


def imbalanced(rng, clips):
    """Classes as rare as in EXPR, clips of very different difficulty."""
    prior = np.array([0.27, 0.05, 0.04, 0.04, 0.16, 0.15, 0.07, 0.22])
    labels = rng.choice(8, (clips, 5), p=prior).repeat(20, axis=1)
    predictions = np.where(
        rng.random(labels.shape) < rng.beta(3, 2, (clips, 1)),
        labels,
        rng.choice(8, labels.shape, p=prior),
    )
    return labels.ravel(), predictions.ravel(), np.arange(clips).repeat(100)


@pytest.mark.parametrize("population", [annotated, imbalanced])
def test_intervals_cover_the_known_score(population):
    """Clips drawn from a population whose macro-F1 is known:
    the interval holds it about 95 % of the time.
    """
    rng = np.random.default_rng(11)
    labels, predictions, _ = population(np.random.default_rng(1), clips=4000)
    truth = macro_f1(labels, predictions)
    intervals = [
        score(*population(rng, clips=70), protocol="frame", seed=trial)["macro_f1_interval"]
        for trial in range(150)
    ]
    assert 0.90 <= np.mean([low <= truth <= high for low, high in intervals]) <= 0.98
    assert 0 < np.mean([high - low for low, high in intervals]) < 0.15


def test_all_validation_frames_are_scored_in_under_two_seconds():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 8, 284_230), rng.integers(0, 8, 284_230)
    begun = time.process_time()
    score(labels, predictions, rng.integers(0, 70, 284_230), protocol="frame", influence=True)
    assert time.process_time() - begun < 2


def test_influence_is_the_score_without_the_clip():
    labels, predictions, clips = annotated(np.random.default_rng(2), clips=8)
    labels[clips == 3], predictions[clips == 3] = 2, 5  # a clip that hurts
    rows = influence(labels, predictions, clips)
    for row in rows:
        without = clips != row["clip"]
        assert row["macro_f1"] == pytest.approx(macro_f1(labels[without], predictions[without]))
        assert row["change"] == pytest.approx(row["macro_f1"] - macro_f1(labels, predictions))
        assert np.mean(row["f1_change"]) == pytest.approx(row["change"])
    assert rows[0]["clip"] == 3
    assert rows[0]["change"] > 0.02


def test_over_seeds_gives_the_student_t_interval():
    values = [0.90, 0.92, 0.97]
    got = over_seeds(values)
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (got["mean"], got["n"]) == (pytest.approx(0.93), 3)
    assert got["interval"] == pytest.approx(list(expected))
    assert over_seeds([0.5]) == {"mean": 0.5, "interval": None, "sd": None, "n": 1}
    for bad in ([], [0.5, float("nan")]):
        with pytest.raises(EmolibError, match="over_seeds"):
            over_seeds(bad)


def test_difference_is_paired_and_finds_only_true_differences():
    rng = np.random.default_rng(4)
    labels, weak, clips = annotated(rng, clips=30, accuracy=0.6)
    strong = np.where(rng.random(len(labels)) < 0.3, labels, weak)
    found = difference(labels, strong, weak, clips)
    assert found["difference"] == pytest.approx(macro_f1(labels, strong) - macro_f1(labels, weak))
    assert 0 < found["interval"][0] < found["difference"] < found["interval"][1]
    assert difference(labels, weak, weak, clips)["interval"] == [0, 0]
    same = [
        np.where(rng.random(len(labels)) < 0.6, labels, rng.integers(0, 8, len(labels)))
        for _ in range(2)
    ]
    low, high = difference(labels, *same, clips)["interval"]
    assert low < 0 < high
    apart = np.subtract(
        *[
            score(labels, p, clips, protocol="frame")["macro_f1_interval"][i]
            for i, p in ((1, strong), (0, weak))
        ]
    )
    assert found["interval"][1] - found["interval"][0] < apart  # pairing is what makes it narrow


def test_difference_over_seeds_is_wider_than_of_one():
    rng = np.random.default_rng(6)
    labels, _, clips = annotated(rng, clips=30)
    noisy = [
        np.where(rng.random(len(labels)) < a, labels, (labels + 1) % 8) for a in (0.5, 0.7, 0.9)
    ]
    base = [np.where(rng.random(len(labels)) < 0.5, labels, (labels + 1) % 8) for _ in range(3)]
    many = difference(labels, np.stack(noisy), np.stack(base), clips)
    one = difference(labels, noisy[1], base[0], clips)
    assert many["seeds"] == [3, 3]
    assert many["difference"] == pytest.approx(
        np.mean([macro_f1(labels, p) for p in noisy]) - np.mean([macro_f1(labels, p) for p in base])
    )
    assert np.diff(many["interval"]) > 2 * np.diff(one["interval"])


def test_the_same_models_under_another_name_do_not_differ():
    rng = np.random.default_rng(9)
    labels, _, clips = annotated(rng, clips=30)
    seeds = np.stack(
        [np.where(rng.random(len(labels)) < a, labels, (labels + 1) % 8) for a in (0.5, 0.7, 0.9)]
    )
    assert difference(labels, seeds, seeds, clips)["interval"] == [0, 0]
    low, high = difference(labels, seeds, seeds[::-1], clips)["interval"]
    assert low < -0.1 and high > 0.1, "another order of the seeds is another pairing"


def test_difference_over_seeds_covers_the_known_difference():
    """Models trained anew differ from seed to seed;
    the interval is about the recipe, and one seed cannot know it.
    """
    rng = np.random.default_rng(8)

    def trained(labels, quality, seeds):
        luck = quality + rng.normal(0, 0.03, (seeds, 1))
        return np.where(
            rng.random((seeds, len(labels))) < luck,
            labels,
            rng.integers(0, 8, (seeds, len(labels))),
        )

    # So many seeds that the error of this mean is a seventh of that of four.
    many = annotated(rng, clips=500)[0]
    truth = np.mean(
        [
            macro_f1(many, a) - macro_f1(many, b)
            for a, b in zip(trained(many, 0.6, 200), trained(many, 0.5, 200), strict=True)
        ]
    )
    held = {1: 0, 4: 0}
    for seeds in held:
        for trial in range(40):
            labels, _, clips = annotated(rng, clips=30)
            low, high = difference(
                labels, trained(labels, 0.6, seeds), trained(labels, 0.5, seeds), clips, seed=trial
            )["interval"]
            held[seeds] += low <= truth <= high
    assert held[4] >= 36
    assert held[1] < 36


def test_scores_are_repeatable_and_depend_on_the_seed_only_in_the_interval():
    data = annotated(np.random.default_rng(0))
    assert score(*data, protocol="frame") == score(*data, protocol="frame")
    other = score(*data, protocol="frame", seed=1)
    assert other["macro_f1"] == score(*data, protocol="frame")["macro_f1"]
    assert other["macro_f1_interval"] != score(*data, protocol="frame")["macro_f1_interval"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "frames"}, "protocol"),
        ({"resamples": 100}, "resamples"),
        ({"predictions": np.full(4, 8)}, "prediction of 8"),
        ({"labels": np.full(4, 9)}, "label of 9"),
        ({"clips": np.zeros(3)}, "one length"),
    ],
)
def test_wrong_calls_are_refused(change, message):
    call = {
        "labels": np.zeros(4, int),
        "predictions": np.zeros(4, int),
        "clips": np.zeros(4, int),
        "protocol": "frame",
        **change,
    }
    with pytest.raises(WrongCall, match=message):
        score(**call)


def test_precision_and_recall_have_intervals_that_hold_them():
    rng = np.random.default_rng(0)
    labels, clips = rng.integers(0, 8, 800), rng.integers(0, 20, 800)
    predictions = np.where(rng.random(800) < 0.7, labels, 0)
    for entry in score(labels, predictions, clips, protocol="frame")["per_class"]:
        for kind in ("precision", "recall", "f1"):
            low, high = entry[f"{kind}_interval"]
            assert low <= entry[kind] <= high and (low < high or entry[kind] == 1)
    rare = score(labels, predictions, clips, protocol="frame")["per_class"][0]
    assert rare["precision"] < 0.5 < rare["recall"] == 1 and rare["precision_interval"][1] < 0.5


def test_class_f1_and_the_difference_of_some_classes():
    rng = np.random.default_rng(0)
    labels, clips = rng.integers(0, 8, 800), rng.integers(0, 20, 800)
    better = np.where((labels == 3) | (rng.random(800) < 0.7), labels, (labels + 1) % 8)
    worse = np.where((labels != 3) & (better == labels), labels, (labels + 1) % 8)
    np.testing.assert_allclose(class_f1(labels, better), f1_score(labels, better, average=None))
    one = difference(labels, better, worse, clips, classes=[3])
    assert one["difference"] == pytest.approx(
        class_f1(labels, better)[3] - class_f1(labels, worse)[3]
    )
    assert (
        one["interval"][0] > 0.5
        and one["difference"] > 3 * difference(labels, better, worse, clips)["difference"]
    )
    every = difference(labels, better, worse, clips, classes=range(8))
    assert every == difference(labels, better, worse, clips)


def test_one_clip_says_nothing_about_others():
    labels, predictions, clips = (
        np.repeat(np.arange(8), 4),
        np.roll(np.repeat(np.arange(8), 4), 1),
        np.zeros(32, int),
    )
    result = score(labels, predictions, clips, protocol="frame")
    assert 0.5 < result["macro_f1"] < 1
    assert result["macro_f1_interval"] == result["accuracy_interval"] == [0.0, 1.0]
    assert difference(labels, labels, predictions, clips)["interval"] == [-1.0, 1.0]


def test_a_resample_without_a_class_is_no_recall_of_zero():
    clips = np.repeat(np.arange(24), 50)
    labels = np.where(clips < 3, 3, clips % 3)  # Fear in three clips, Happiness in none
    labels[clips == 23] = 6  # Sadness in one
    predictions = labels.copy()
    predictions[:5] = 0  # in the first of Fear's clips
    fear, happy, sad = (
        score(labels, predictions, clips, protocol="frame")["per_class"][c] for c in (3, 4, 6)
    )
    assert fear["recall"] == pytest.approx(145 / 150) and 0.85 < fear["recall_interval"][0] < 0.95
    assert sad["recall"] == 1 and sad["recall_interval"] == [0, 1], (
        "one clip says nothing about others"
    )
    assert happy["support"] == happy["recall"] == 0 and happy["recall_interval"] == [0, 1]
