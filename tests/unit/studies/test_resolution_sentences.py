"""Sentences of notebook 11 follow their numbers."""

import re

import numpy as np
import pandas as pd
import pytest

from emolib import paper
from emolib.data import structure
from emolib.studies import resolution
from emolib.studies import resolution_sentences as sentences
from emolib.studies.published_differences import Difference

FRAMES = structure.frames_by_video("validation")


def test_weak_classes_are_named_and_an_even_set_has_none():
    assert "3 of the eight" in sentences.weak_classes(FRAMES)
    assert "Disgust 1.4" in sentences.weak_classes(FRAMES)
    even = np.ones((70, 8), dtype=np.int64)
    assert sentences.weak_classes(even).startswith("0 of the eight")
    assert "none" in sentences.weak_classes(even) and "1 % of its class" in sentences.weak_classes(
        even
    )


def test_implied_accuracy_is_the_share_of_hits():
    perfect = sentences.implied_scores(np.eye(8), FRAMES)
    assert "Macro-F1 1.0000" in perfect and "accuracy of 1.000" in perfect
    poster = resolution.confusion_of_f1(list(paper.CLASS_F1.values()), FRAMES)
    assert "accuracy of 0.535" in sentences.implied_scores(poster, FRAMES)


def test_fold_check_counts_what_it_excludes():
    check = pd.DataFrame(
        {
            "concentration": [2.0, 16.0],
            "median": [0.04, 0.03],
            "from": [0.03, 0.01],
            "to": [0.06, 0.05],
        }
    )
    assert "concentrations 16 and excludes 1 of 2; the median is nearest for 16" in (
        sentences.fold_check(check, 0.02)
    )
    assert "concentrations 2, 16 and excludes 0 of 2" in sentences.fold_check(check, 0.045)
    assert "concentrations none and excludes 2 of 2" in sentences.fold_check(check, 0.5)


def test_needed_videos_and_what_helps_more():
    text = sentences.needed({"a": 0.01, "b": 0.04}, 100, (0.02, 0.08))
    assert "of a: 400 to 6,400 videos" in text and "of b: 25 to 400 videos" in text
    few, many = {70: (0.02, 0.09), 312: (0.01, 0.04)}, {3: (0.02, 0.1), 20: (0.02, 0.08)}
    assert sentences.gains(few, many).endswith("Videos help more.")
    assert sentences.gains({70: (0.02, 0.09)}, many).endswith("Seeds help more.")


def test_intervals_and_widths():
    text = sentences.one_interval(0.367, [0.13, 0.07])
    assert "0.07 to 0.13 wide" in text and "± 0.035 to ± 0.065" in text
    assert "3.0 times" in sentences.widths({"x": 0.12, "y": 0.04})


def test_changed_answers_are_those_within_one_method():
    pairs = [Difference("p", 0.5, 0.45, "same"), Difference("q", 0.5, 0.45, "other")]
    text = sentences.changed_answers(pairs, (0.01, 0.06), (0.01, 0.04))
    assert text == "The band is then 0.010 to 0.040; another answer: p."
    assert "none" in sentences.changed_answers(pairs, (0.01, 0.06), (0.01, 0.07))


def test_versions_are_said_to_disagree():
    assert sentences.best_windows().startswith("The versions disagree")


def test_more_clips_and_more_seeds_decide_less():
    def ends(frames, seeds):
        text = sentences.before_any_run(frames, seeds, level=0.9, repetitions=300)
        assert f"on {len(frames)} clips" in text
        return [float(end) for end in re.search(r"difference of (\S+) to (\S+)", text).groups()]

    clips = np.eye(8, dtype=np.int64)[np.arange(40) % 8] * 300
    more_clips = np.tile(clips, (4, 1))
    few, many, seeds = ends(clips, 3), ends(more_clips, 3), ends(clips, 10)
    assert 0 < few[0] < few[1] < 0.3
    assert few[1] / many[1] == pytest.approx(2, rel=0.2), "chance falls with the square root"
    assert seeds[1] < few[1]
