"""The counts of Aff-Wild2 against what others have published of it."""

import numpy as np
import pytest

from emolib import paper
from emolib.data import structure
from emolib.data.annotations import source_id
from emolib.errors import WrongCall


def test_sums_are_the_published_ones():
    validation = structure.annotation_files("validation")
    train = structure.annotation_files("train")
    assert (len(train), len(validation)) == (247, 70)
    assert (validation["lines"].sum(), validation["labelled"].sum()) == (453_535, 284_230)
    assert (train["lines"].sum(), train["labelled"].sum()) == (1_102_504, 592_216)


def test_class_frames_are_the_labelled_frames_and_near_those_with_a_face():
    table = structure.annotation_files()
    frames = structure.class_frames(table)
    assert (frames.sum(axis=1) == table["labelled"]).all()
    assert (table["labelled"] <= table["lines"]).all()
    with_face = np.array(list(paper.TRAIN_FRAMES.values()))  # counted by another source
    in_train = structure.class_frames(structure.annotation_files("train")).sum(axis=0)
    assert in_train == pytest.approx(with_face, rel=0.04)
    assert np.abs(in_train / with_face[::-1] - 1).max() > 1, "the classes' order matters"


def test_videos_are_annotation_files_without_left_and_right():
    table = structure.annotation_files()
    assert table["id"].is_unique
    assert (table["id"].map(source_id) == table["video"]).all()
    frames = structure.frames_by_video()
    assert frames.shape == (312, 8) and frames.sum() == 284_230 + 592_216


def test_effective_number_of_videos():
    frames = structure.frames_by_video("validation")
    effective = structure.effective_videos(frames)
    assert effective == pytest.approx([14.6, 2.0, 1.4, 2.2, 16.7, 7.0, 8.5, 18.5], abs=0.05)
    assert structure.videos_with(frames).tolist() == [58, 14, 12, 10, 48, 17, 27, 45]
    assert structure.largest_share(frames)[[1, 2, 3]] == pytest.approx(
        [0.70, 0.83, 0.65], abs=0.005
    )


def test_effective_number_counts_equal_videos_fully_and_a_missing_class_not_at_all():
    frames = np.zeros((10, 8), dtype=np.int64)
    frames[:, 0], frames[3, 1] = 5, 7
    effective = structure.effective_videos(frames)
    assert effective[:2].tolist() == [10, 1] and np.isnan(effective[2:]).all()


def test_another_split_is_a_wrong_call():
    with pytest.raises(WrongCall, match="test"):
        structure.annotation_files("test")
