"""Rates against a published table;
calibration against scikit-learn's curve and against rows of known confidence.
"""

import json

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from emolib.errors import EmolibError, WrongCall
from emolib.evaluation.metrics import calibration, rate


@pytest.mark.parametrize(
    ("successes", "trials", "interval"),
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ],
)
def test_rates_have_the_intervals_of_newcombe_1998_table_1(successes, trials, interval):
    result = rate(successes, trials)
    assert result["rate"] == successes / trials and result["n"] == trials
    np.testing.assert_allclose(result["interval"], interval, atol=5e-5)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_rates_are_wrong_calls(successes, trials):
    with pytest.raises(WrongCall, match="expected 0 to n successes"):
        rate(successes, trials)


def drawn(n=4000, sharpness=3.0):
    """Probabilities [n, 8] and labels drawn from them: the confidence is right by construction."""
    rng = np.random.default_rng(5)
    scores = np.exp(sharpness * rng.normal(size=(n, 8)))
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    labels = (probabilities.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return np.minimum(labels, 7), probabilities


def test_the_curve_and_error_are_scikit_learns():
    labels, probabilities = drawn()
    probabilities = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    result = calibration(labels, probabilities, bins=10)
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    accuracy, mean_confidence = calibration_curve(right, confidence, n_bins=10)
    filled = [row for row in result["bins"] if row["count"]]
    np.testing.assert_allclose([row["accuracy"] for row in filled], accuracy)
    np.testing.assert_allclose([row["confidence"] for row in filled], mean_confidence)
    counts = np.array([row["count"] for row in filled])
    expected = (counts / 4000 * np.abs(accuracy - mean_confidence)).sum()
    assert result["expected_calibration_error"] == pytest.approx(expected)
    assert expected > 0.05, "squared probabilities are too sure"
    json.dumps(result)


def test_right_confidence_has_a_small_error_and_wrong_ones_a_large_one():
    labels, probabilities = drawn()
    assert calibration(labels, probabilities)["expected_calibration_error"] < 0.03
    shuffled = calibration(np.random.default_rng(0).permutation(labels), probabilities)
    assert shuffled["expected_calibration_error"] > 0.4


def test_by_hand_with_the_edges_of_bins():
    probabilities = np.full((5, 8), 0.0)
    probabilities[:, 0] = [1.0, 1.0, 0.6, 0.6, 0.5]
    probabilities[:, 1] = 1 - probabilities[:, 0]
    result = calibration(np.array([0, 3, 0, -1, 0]), probabilities, bins=2)
    first, second = result["bins"]
    assert (first["count"], first["accuracy"], first["confidence"]) == (1, 1.0, 0.5)
    assert second["count"] == 3 and second["accuracy"] == pytest.approx(2 / 3)
    assert second["confidence"] == pytest.approx(2.6 / 3)
    assert result["expected_calibration_error"] == pytest.approx(1 / 4 * 0.5 + 3 / 4 * 0.2)
    assert result["accuracy"] == 0.75 and result["confidence"] == pytest.approx(3.1 / 4)


def test_nothing_to_judge_is_an_error():
    with pytest.raises(EmolibError, match="annotated rows"):
        calibration(np.array([-1]), np.full((1, 8), 1 / 8))
    with pytest.raises(EmolibError, match="finite"):
        calibration(np.array([1]), np.full((1, 8), np.nan))
