"""What a study can decide, said before anything is trained."""

from types import SimpleNamespace

import numpy as np
import pytest

from emolib import paper
from emolib.config import preset
from emolib.studies import planning


def study(monkeypatch, labels, ceilings=(), **changes):
    """An experiment whose validation clips have these ``labels``, one row a clip."""
    clips = [SimpleNamespace(labels=np.asarray(row)) for row in labels]
    monkeypatch.setattr(planning, "clips_of", lambda *_: clips)
    monkeypatch.setattr(planning, "root_of", lambda _: None)
    monkeypatch.setattr(planning.synthetic, "ceilings", lambda _: list(ceilings))
    return preset("demo", **changes)


def test_seeds_and_clips_are_named_and_fewer_decide_less(monkeypatch):
    labels = [np.repeat(np.arange(8), 40)] * 30
    text = planning.sentence(study(monkeypatch, labels, seeds="42,43,44"))
    assert "3 seeds on 30 clips" in text and "macro-F1 near 0.3599" in text
    few = planning.sentence(study(monkeypatch, labels[:8], seeds="42,43,44"))

    def lowest(text):
        return float(text.split("true difference of ")[1].split()[0])

    assert lowest(few) > 1.5 * lowest(text) > 0


def test_clips_that_allow_no_plan_are_named(monkeypatch):
    experiment = study(monkeypatch, [np.zeros(20, int)] * 4)
    assert "no plan (frames by class" in planning.sentence(experiment)
    mostly_one = [np.repeat(np.arange(8), [1000, 1, 1, 1, 1, 1, 1, 1])] * 4
    assert "no plan (f1: the errors of one" in planning.sentence(study(monkeypatch, mostly_one))


@pytest.mark.parametrize(
    ("window", "ceiling", "level"), [(60, 0.8, 0.8), (60, 1.0, 0.98), (60, None, 0.3599)]
)
def test_the_level_is_the_ceilings_or_the_papers(monkeypatch, window, ceiling, level):
    row = {"inputs": "still+voice", "window": window, "protocol": "frame", "macro_f1": ceiling}
    experiment = study(monkeypatch, [], [row] if ceiling else [], window=window)
    assert planning.expected_level(experiment) == level
    other = study(monkeypatch, [], window=45)
    assert planning.expected_level(other) == paper.VALIDATION_MACRO_F1[30]
