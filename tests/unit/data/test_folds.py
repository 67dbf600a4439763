"""Folds by video: no video in two folds, balance that is never worse than chance,
the same for any order.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emolib.data import folds, structure
from emolib.data.annotations import source_id
from emolib.data.clip import Clip
from emolib.errors import EmolibError, WrongCall


@st.composite
def clips_and_frames(draw):
    """Clips of up to 24 videos, some with two people, and their frames of three classes,
    mostly of one.
    """
    videos = draw(st.integers(5, 24))
    two_people = draw(st.lists(st.booleans(), min_size=videos, max_size=videos))
    clips = []
    for video, two in enumerate(two_people):
        clips += [f"v{video}_left", f"v{video}_right"] if two else [f"v{video}"]
    row = st.lists(st.sampled_from([0, 0, 1, 30, 1000]), min_size=3, max_size=3)
    frames = draw(st.lists(row, min_size=len(clips), max_size=len(clips)))
    return clips, np.array(frames)


def frames_of_videos(clips, frames):
    videos = sorted({source_id(clip) for clip in clips})
    return np.array([frames[[source_id(clip) == v for clip in clips]].sum(axis=0) for v in videos])


@given(clips_and_frames(), st.integers(2, 5))
@settings(max_examples=150, deadline=None)
def test_no_video_in_two_folds_and_balance_not_worse_than_random_on_average(made, count):
    clips, frames = made
    fold_of = folds.by_video(clips, frames, count)
    assert list(fold_of) == clips and set(fold_of.values()) <= set(range(1, count + 1))
    assert folds.leaks(fold_of) == []
    shares = (
        np.array([[fold_of[c] == fold for c in clips] for fold in range(1, count + 1)]) @ frames
    )
    shares = np.column_stack([shares, shares.sum(axis=1)])
    shares = shares / np.maximum(shares.sum(axis=0), 1)
    present = shares.sum(axis=0) > 0
    unevenness = ((shares - 1 / count) ** 2)[:, present].sum()
    bound = folds.expected_imbalance(frames_of_videos(clips, frames), count)
    assert unevenness <= bound + 1e-9


@given(clips_and_frames(), st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_clips_does_not_matter(made, random):
    clips, frames = made
    order = list(range(len(clips)))
    random.shuffle(order)
    shuffled = folds.by_video([clips[i] for i in order], frames[order], 3)
    assert shuffled == folds.by_video(clips, frames, 3)


def test_expected_imbalance_is_the_mean_of_random_folds():
    frames = np.random.default_rng(1).integers(0, 50, (12, 8)) ** 2
    generator = np.random.default_rng(2)
    totals = np.column_stack([frames, frames.sum(axis=1)]) / np.append(
        frames.sum(axis=0), frames.sum()
    )
    drawn = []
    for _ in range(4000):
        fold = generator.integers(0, 4, 12)
        held = np.stack([totals[fold == k].sum(axis=0) for k in range(4)])
        drawn.append(((held - 0.25) ** 2).sum())
    assert np.mean(drawn) == pytest.approx(folds.expected_imbalance(frames, 4), rel=0.03)


def test_published_folds_leak_five_videos_and_ours_none_with_better_balance():
    table = structure.annotation_files()
    frames, published = structure.class_frames(table), folds.published()
    ours = folds.by_video(table["id"].tolist(), frames)
    assert folds.leaks(published) == [
        "10-60-1280x720",
        "135-24-1920x1080",
        "46-30-484x360",
        "6-30-1920x1080",
        "video2",
    ]
    assert folds.leaks(ours) == []
    balance = {
        name: folds.imbalance(frames, np.array([fold_of[clip] for clip in table["id"]]))
        for name, fold_of in (("published", published), ("ours", ours))
    }
    assert balance["ours"] < 0.5 * balance["published"]
    assert balance["ours"] < 0.3 * folds.expected_imbalance(structure.frames_by_video())


@pytest.mark.parametrize(
    ("clips", "count", "what"),
    [
        (["a", "b"], 3, "2, the number of videos"),
        (["a_left", "a_right"], 2, "1, the number"),
        (["a", "a", "b"], 2, "once"),
        (["a", "b"], 1, "folds=1"),
    ],
)
def test_folds_that_cannot_be_are_wrong_calls(clips, count, what):
    with pytest.raises(WrongCall, match=what):
        folds.by_video(clips, np.ones((len(clips), 8)), count)


def clip(name, split, label=0):
    return Clip(
        id=name,
        split=split,
        labels=np.full(10, label, np.int8),
        face_present=np.ones(10, bool),
        frame_times=np.arange(10) / 30,
        fps=30.0,
        time_source="assumed 30 fps",
        images=None,
        video=None,
    )


def test_each_labelled_clip_is_held_out_once_and_test_clips_never():
    names = [f"v{i}{side}" for i in range(20) for side in ("_left", "_right")]
    clips = [clip(name, "train" if i < 30 else "validation") for i, name in enumerate(names)]
    clips.append(clip("other", "test"))
    for kind, leaking in (("video", False), ("clip", True)):
        held_out = []
        for fold in range(1, 6):
            split = {each.id: each.split for each in folds.in_folds(clips, kind, 5, fold)}
            assert split.pop("other") == "test"
            inside = [name for name in names if split[name] == "validation"]
            held_out += inside
            apart = {source_id(name) for name in names} - {source_id(name) for name in inside}
            both = [v for v in apart if split[f"{v}_left"] == split[f"{v}_right"]]
            assert len(both) == len(apart)
            torn = {source_id(n) for n in inside if split[other_side(n)] == "train"}
            assert bool(torn) == leaking, "only folds by clip tear a video apart"
        assert sorted(held_out) == sorted(names)


def other_side(name):
    left = name.endswith("_left")
    return name.replace("_left", "_right") if left else name.replace("_right", "_left")


def test_published_folds_refuse_clips_that_they_do_not_have():
    with pytest.raises(
        EmolibError, match=r"1 clips are in no fold \(mine\); choose cross_validation=video"
    ):
        folds.in_folds([clip("mine", "train")], "published", 5, 1)
    known = [clip(name, "train") for name in list(folds.published())[:40]]
    validation = [
        each for each in folds.in_folds(known, "published", 5, 2) if each.split != "train"
    ]
    assert {folds.published()[each.id] for each in validation} == {2}
