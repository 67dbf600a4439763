"""The benchmark's arithmetic; tests/integration/test_bench_extract.py runs it whole."""

import time

import numpy as np
import pytest
import torch

from emolib.bench import extract as bench_extract
from emolib.bench.extract_faces import fidelity
from emolib.bench.side_by_side import interleaved
from emolib.features.work import gflop_of, matrix_rate


def test_times_are_medians_taken_in_turns():
    calls, naps = [], iter([0.0, 0.0, 0.02, 0.02, 0.02, 0.02, 0.02, 0.3, 0.02, 0.02, 0.02, 0.02])

    def work(name):
        calls.append(name)
        time.sleep(next(naps))

    times = interleaved({"a": lambda: work("a"), "b": lambda: work("b")}, 5)
    assert calls == ["a", "b"] * 6  # the first round warms up
    assert times["a"] > 0.019 and 0.019 < times["b"] < 0.2  # one slow call does not count


def test_a_slow_machine_repeats_less_often():
    calls = []
    times = interleaved({"a": lambda: calls.append(time.sleep(0.02))}, 50, budget=0.05)
    assert 2 <= len(calls) <= 5 and times["a"] >= 0.02
    assert len(calls) >= 2  # one to warm up and one that counts, however slow


def test_fidelity_sees_a_small_error_and_a_wrong_order():
    rng = np.random.default_rng(0)
    expected = 20 + rng.normal(size=(9, 64))  # all much alike, as random weights see faces
    assert fidelity(expected, expected) == (pytest.approx(1), 1)
    cosine, in_place = fidelity(np.roll(expected, 1, axis=0), expected)
    assert cosine > 0.99 and in_place == 0
    cosine, in_place = fidelity(expected + rng.normal(size=expected.shape), expected)
    assert cosine < 0.999
    assert fidelity(np.zeros_like(expected), expected)[0] == 0


def test_met_is_at_least_and_for_memory_at_most():
    good = bench_extract.TARGETS | {"device": "cpu"}
    assert all(bench_extract.met(good).values())
    assert bench_extract.met(good | {"memory_ratio_at_10x": 1.11})["memory_ratio_at_10x"] is False
    assert bench_extract.met(good | {"ingest_ratio": 14.9})["ingest_ratio"] is False
    assert bench_extract.met(good | {"audio_ratio": float("nan")})["audio_ratio"] is False
    assert bench_extract.met(good | {"device": "cuda"})["fraction_of_peak"] is False  # 0.55 there


def test_operations_are_counted_and_a_matrix_product_timed():
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    assert gflop_of(lambda: a @ b) == 2 * 3 * 5 * 7 / 1e9
    block = torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True).eval()
    tokens = torch.zeros(2, 10, 64)
    with torch.no_grad():
        counted = gflop_of(lambda: block(tokens)) * 1e9
    # Operations of projections, scores and sums.
    assert counted == 2 * 20 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 2 * 2 * 10 * 10 * 64
    assert 1 < matrix_rate("cpu", torch.float32) < 1e5
