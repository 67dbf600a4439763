"""The level of the intervals: stated once, so that no text names another than the numbers have."""

import re

import numpy as np
import pytest

from emolib.evaluation.intervals import LEVEL, PERCENT, with_seeds
from tests.support.package import modules


def test_the_level_in_words_is_the_level_in_numbers():
    assert float(PERCENT.removesuffix(" %")) == 100 * LEVEL


def test_no_text_of_the_package_names_a_level_of_its_own():
    named = re.compile(r"\b9[0-9](\.\d+)?\s+(%|per ?cent)\s(\w+ )?(interval|range)")
    assert named.search("has a 95 % interval") and named.search("the central 99.5 % range")
    literal = re.compile(r"\b95\s+%")
    places = [
        name
        for name, path in modules().items()
        if name != "emolib.evaluation.intervals"
        and (literal.search(path.read_text()) or named.search(path.read_text()))
    ]
    assert places == []


@pytest.mark.parametrize(
    "clip, seed, both", [(0.0, 0.0, 1.0), (1.0, 0.0, 0.5), (0.3, 0.5, 1.0)], ids=str
)
def test_chance_of_seed_and_clip_together_counts_once(clip, seed, both):
    """Variances of a mean over 40 seeds: known is clip + (seed + both) / 40."""
    rng = np.random.default_rng(0)
    seeds, resamples = 40, 20_000
    shared = rng.normal(0, np.sqrt(clip), resamples)
    drawn = shared + rng.normal(0, np.sqrt(both), (seeds, resamples))
    by_seed = rng.normal(0, np.sqrt(seed + both), seeds)
    by_seed *= np.sqrt(seed + both) / by_seed.std(ddof=1)
    known = clip + (seed + both) / seeds
    assert with_seeds([(by_seed, drawn)], rng).var() == pytest.approx(known, rel=0.1)


def test_one_seed_knows_of_clips_only():
    drawn = np.random.default_rng(0).normal(0.5, 0.1, (1, 2000))
    parts = [(np.array([0.5]), drawn)]
    assert with_seeds(parts, np.random.default_rng(1)) == pytest.approx(drawn[0])
