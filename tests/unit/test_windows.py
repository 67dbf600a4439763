"""Windows against slow references that follow the rules of docs/method.md, Windows,
frame by frame.
"""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emolib.errors import WrongCall
from emolib.windows import frame_predictions, frame_windows, index_windows, smooth


def slow_windows(labels, faces, length, stride, rule, max_gap):
    """The released rule, told one frame at a time: [(images, start, label)]."""
    windows, collected, last, missing = [], [], None, 0
    for number, (label, face) in enumerate(zip(labels.tolist(), faces.tolist(), strict=True), 1):
        if face and label != -1:
            last, missing = (number, label), 0
            collected.append((number, *last))
        else:
            missing += 1
            if last is not None and missing <= max_gap:
                collected.append((number, *last))
            else:
                collected, last = [], None
        if len(collected) == length:
            classes = [c for _, _, c in collected]
            if rule == "last":
                label_of_window = classes[-1]
            elif rule == "centre":
                label_of_window = classes[length // 2]
            else:
                label_of_window = min(range(8), key=lambda c: (-classes.count(c), c))
            windows.append(([image for _, image, _ in collected], collected[0][0], label_of_window))
            collected = collected[stride:]
    return windows


def random_annotation(rng):
    """Labels with runs, gaps of every length and missing faces."""
    n = int(rng.integers(0, 90))
    labels = np.repeat(rng.integers(0, 8, n), rng.integers(1, 6, n))[:n].astype(np.int8)
    faces = np.ones(len(labels), dtype=bool)
    for _ in range(int(rng.integers(0, 7))):
        at, gap = int(rng.integers(0, n + 1)), int(rng.integers(1, 9))
        if rng.random() < 0.5:
            labels[at : at + gap] = -1
        else:
            faces[at : at + gap] = False
    return labels, faces


@pytest.mark.parametrize("rule", ["last", "majority", "centre"])
def test_index_windows_equals_the_slow_reference_on_thousands_of_annotations(rule):
    rng = np.random.default_rng(1)
    found = filled = 0
    for _ in range(1500):
        labels, faces = random_annotation(rng)
        length, stride, max_gap = (
            int(rng.integers(1, 20)),
            int(rng.integers(1, 24)),
            int(rng.integers(0, 8)),
        )
        expected = slow_windows(labels, faces, length, stride, rule, max_gap)
        got = index_windows(
            labels, faces, length=length, stride=stride, label_rule=rule, max_gap=max_gap
        )
        assert got.frames.tolist() == [images for images, _, _ in expected]
        assert got.start.tolist() == [start for _, start, _ in expected]
        assert got.label.tolist() == [label for _, _, label in expected]
        assert (got.end == got.start + length - 1).all()
        assert got.frames.dtype == got.start.dtype == got.end.dtype == np.int32
        assert got.label.dtype == np.int64
        found += len(expected)
        filled += sum(len(set(images)) < length for images, _, _ in expected)
    assert found > 3000
    assert filled > 300


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 7), st.booleans()), max_size=40),
    st.integers(1, 8),
    st.integers(1, 9),
    st.integers(0, 6),
)
def test_index_windows_equals_the_slow_reference_on_any_annotation(frames, length, stride, max_gap):
    labels = np.array([label for label, _ in frames], dtype=np.int8)
    faces = np.array([face for _, face in frames], dtype=bool)
    expected = slow_windows(labels, faces, length, stride, "last", max_gap)
    got = index_windows(labels, faces, length=length, stride=stride, max_gap=max_gap)
    assert (
        list(zip(got.frames.tolist(), got.start.tolist(), got.label.tolist(), strict=True))
        == expected
    )


def test_a_gap_of_five_is_bridged_and_a_gap_of_six_starts_anew():
    labels = np.r_[np.full(10, 3), np.full(5, -1), np.full(10, 4)].astype(np.int8)
    bridged = index_windows(labels, np.ones(25, bool), length=20, stride=15)
    assert bridged.frames.tolist() == [[*range(1, 11), 10, 10, 10, 10, 10, *range(16, 21)]]
    labels = np.r_[np.full(10, 3), np.full(6, -1), np.full(20, 4)].astype(np.int8)
    anew = index_windows(labels, np.ones(36, bool), length=20, stride=15)
    assert anew.start.tolist() == [17]
    assert anew.frames[0].tolist() == list(range(17, 37))


def test_all_of_exprs_training_annotations_take_under_two_seconds():
    rng = np.random.default_rng(0)
    # 597,432 frames in all.
    clips = [(rng.integers(-1, 8, 2409), rng.random(2409) > 0.02) for _ in range(248)]
    begun = time.process_time()
    total = sum(len(index_windows(labels, faces, length=60, stride=15)) for labels, faces in clips)
    assert time.process_time() - begun < 2
    assert total > 20_000


@pytest.mark.parametrize(
    "bad", [{"length": 0}, {"stride": 0}, {"max_gap": -1}, {"label_rule": "first"}]
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(WrongCall, match=next(iter(bad))):
        index_windows(np.zeros(9), np.ones(9, bool), **{"length": 3, "stride": 1, **bad})


def test_labels_and_faces_of_unequal_length_are_refused():
    with pytest.raises(WrongCall, match="one length"):
        index_windows(np.zeros(9), np.ones(8, bool), length=3, stride=1)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 12), st.integers(1, 9))
def test_frame_windows_equal_the_slow_reference(faces, length, stride):
    n = len(faces)
    got = frame_windows(np.array(faces, dtype=bool), length=length, stride=stride)
    ends = sorted({*range(length, n + 1, stride), n}) if any(faces) else []
    shown, last = [], None
    for number in range(1, n + 1):
        last = number if faces[number - 1] else last
        shown.append(last or (faces.index(True) + 1 if any(faces) else None))
    assert got.end.tolist() == ends
    for row, end in enumerate(ends):
        assert got.frames[row].tolist() == [
            shown[max(frame, 1) - 1] for frame in range(end - length + 1, end + 1)
        ]
        assert got.start[row] == max(end - length + 1, 1)
    assert got.frames.shape == (len(ends), length)
    assert (got.label == -1).all()


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(0, 10),
    st.sampled_from(["last", "mean"]),
    st.randoms(use_true_random=False),
)
def test_frame_predictions_equal_the_slow_reference(n, length, windows, rule, random):
    ends = random.sample(range(1, n + 1), min(windows, n))
    probabilities = np.array([[random.random() for _ in range(8)] for _ in ends]).reshape(-1, 8)
    fallback = np.arange(8.0)
    got = frame_predictions(
        probabilities, np.array(ends, dtype=int), n, length=length, rule=rule, fallback=fallback
    )
    for frame in range(1, n + 1):
        covering = [row for row, end in enumerate(ends) if end - length + 1 <= frame <= end]
        if not ends:
            expected = fallback
        elif rule == "mean" and covering:
            expected = probabilities[covering].mean(axis=0)
        else:
            expected = probabilities[
                min(range(len(ends)), key=lambda row: (abs(ends[row] - frame), -ends[row]))
            ]
        np.testing.assert_allclose(got[frame - 1], expected, atol=1e-12)


def test_every_frame_takes_the_window_that_ends_at_it():
    windows = frame_windows(np.ones(50, bool), length=10, stride=1)
    probabilities = np.eye(8)[windows.end % 8]
    got = frame_predictions(probabilities, windows.end, 50, length=10, fallback=np.zeros(8))
    assert got.argmax(axis=1)[9:].tolist() == [frame % 8 for frame in range(10, 51)]
    assert (got.argmax(axis=1)[:9] == 10 % 8).all()


def test_an_end_outside_the_clip_is_refused():
    with pytest.raises(WrongCall, match="end"):
        frame_predictions(np.ones((1, 8)), np.array([12]), 10, length=3, fallback=np.zeros(8))


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.integers(1, 40), st.sampled_from(["box", "gaussian"]))
def test_smoothing_equals_the_slow_reference(n, half_width, kind):
    probabilities = np.random.default_rng(n).dirichlet(np.ones(8), n)
    got = smooth(probabilities, kind, half_width)
    for i in range(n):
        near = [j for j in range(n) if abs(i - j) <= half_width]
        weights = np.array(
            [1.0 if kind == "box" else np.exp(-2 * ((i - j) / half_width) ** 2) for j in near]
        )
        np.testing.assert_allclose(
            got[i], weights @ probabilities[near] / weights.sum(), atol=1e-12
        )
    np.testing.assert_allclose(got.sum(axis=1), 1)


def test_no_smoothing_changes_nothing():
    probabilities = np.random.default_rng(0).dirichlet(np.ones(8), 20)
    assert (smooth(probabilities, "none", 0) == probabilities).all()
