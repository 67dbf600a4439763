"""The level of the intervals: stated once, so that no text names another than the numbers have."""

import re

from emolib.evaluation.intervals import LEVEL, PERCENT
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
