"""The benchmark's arithmetic; tests/integration/test_bench_extract.py runs it whole."""

import numpy as np
import pytest
import torch

from emolib.bench import extract as bench_extract
from emolib.bench import side_by_side
from emolib.bench.extract_faces import fidelity
from emolib.features.work import gflop_of, matrix_rate


class Clock:
    """Stands in for ``time``: only what sleeps takes time."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(side_by_side, "time", clock)
    return clock


def test_times_are_medians_taken_in_turns(clock):
    # The first round warms up, and one slow call does not count.
    naps = iter([9.0, 9.0, 2.0, 3.0, 2.0, 3.0, 2.0, 30.0, 2.0, 3.0, 2.0, 3.0])
    calls = []

    def work(name):
        calls.append(name)
        clock.sleep(next(naps))

    times = side_by_side.interleaved({"a": lambda: work("a"), "b": lambda: work("b")}, 5)
    assert calls == ["a", "b"] * 6
    assert times == pytest.approx({"a": 2.0, "b": 3.0})


@pytest.mark.parametrize(("nap", "rounds"), [(2.0, 3), (60.0, 2)])
def test_a_slow_machine_repeats_less_often(clock, nap, rounds):
    """One round to warm up and one that counts, however slow; then none begins after 5 s."""
    calls = []

    def work():
        calls.append("a")
        clock.sleep(nap)

    assert side_by_side.interleaved({"a": work}, 50, budget=5.0) == {"a": nap}
    assert len(calls) == rounds


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
