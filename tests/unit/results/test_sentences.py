"""Sentences follow their numbers: where a number makes one false, something else is said."""

import re

import numpy as np
import pytest

from emolib import config, paper
from emolib.data import structure
from emolib.labels import EXPRESSIONS
from emolib.results import sentences, stored_predictions
from emolib.system.files import project_root


def test_a_score_is_read_against_its_ceilings():
    assert "needs motion *and* voice" in sentences.main_score(0.95, 1.0, 0.87)
    assert "does not show that motion was used" in sentences.main_score(0.80, 1.0, 0.87)
    assert "look for a fault" in sentences.main_score(1.0, 0.9, 0.8)
    assert "not known" in sentences.main_score(0.4, None, None)


def row(name: str, ceiling: float, verdict: str = "") -> dict:
    judged = {"verdict": verdict} if verdict else {}
    return (
        {"name": name, "title": name, "claim": verdict and f"{name} helps.", "seeds": 3}
        | judged
        | {"ceiling": ceiling}
    )


@pytest.mark.parametrize(
    ("ceiling", "verdict", "says"),
    [
        (1.0, "supported", "**not** as expected"),  # attention where nothing needs it
        (1.0, "undecided", "*undecided*, as expected"),
        (1.0, "not supported", "*not supported*, as expected"),
        (0.8, "supported", "*supported*, as expected"),
        (0.8, "undecided", "*undecided*, so an answer is still missing"),
        (0.8, "not supported", "**not** as expected"),
    ],
)
def test_a_verdict_is_marked_against_the_answer_that_the_ceilings_give(ceiling, verdict, says):
    assert says in sentences.known_answers([row("full", 1.0), row("part", ceiling, verdict)])


def test_without_ceilings_no_answer_is_claimed():
    text = sentences.known_answers([row("full", 1.0) | {"ceiling": None}])
    assert "not known" in text and "as expected" not in text


def test_a_gain_larger_than_the_ceilings_distance_is_called_larger():
    ceilings = (0.908, 1.0)
    larger = sentences.window_gain((10, 60), 0.143, [0.124, 0.163], ceilings)
    assert "+0.143" in larger and "differs by 0.092" in larger and "is larger" in larger
    smaller = sentences.window_gain((10, 60), 0.020, [0.010, 0.030], ceilings)
    assert "is smaller" in smaller and "better" in smaller
    assert "undecided" in sentences.window_gain((10, 60), 0.1, [-0.1, 0.3], ceilings)
    assert "undecided" in sentences.window_gain((10, 60), 0.1, None, ceilings)
    assert "worse" in sentences.window_gain((10, 60), -0.1, [-0.2, -0.05], ceilings)
    assert "nobody knows" in sentences.window_gain((10, 60), 0.1, [0.05, 0.2], (None, None))


def test_one_seed_decides_nothing_whatever_its_interval_says():
    sure = {"difference": 0.2, "difference_interval": [0.1, 0.3], "title": "none", "seeds": 1}
    text = sentences.decisions([{"title": "full", "seeds": 1}, sure | {"verdict": "undecided"}])
    assert text == "By the rule, with 1 seed each, all 1 comparisons are undecided."
    three = sure | {"seeds": 3, "verdict": "supported"}
    worse, unsure = three | {"verdict": "not supported"}, three | {"verdict": "undecided"}
    assert sentences.decisions([three, worse, unsure]) == (
        "By the rule, with 3 seeds each, 2 of 3 comparisons are decided. "
        "*supported*: none. *not supported*: none."
    )


def test_a_delay_is_measured_and_not_promised():
    assert "cannot show a delay" in sentences.delays([], 0)
    assert "follow none" in sentences.delays([], 3)
    assert sentences.delays([0.2, 0.6], 3) == (
        "Of 3 changes of label, the predictions follow 2, "
        "after 0.40 s in the median and 0.60 s at most."
    )


def test_the_posters_window_is_an_inference_from_its_mean(monkeypatch):
    assert "0.3670, the paper's score for 30 frames" in sentences.poster_window()
    assert "inference" in sentences.poster_window()
    monkeypatch.setattr(paper, "CLASS_F1", dict.fromkeys(EXPRESSIONS, 0.5))
    assert "of no window" in sentences.poster_window()


def test_a_correlation_is_called_by_its_size_and_sign():
    for by_chance in (0.1, 0.3, -0.5, -0.69):
        text = sentences.imbalance(by_chance, 0.95)
        assert "no more than chance gives" in text and "clear" not in text
    assert "a clear negative relation" in sentences.imbalance(-0.71, 0.95)
    assert "a clear positive relation" in sentences.imbalance(0.9, 0.95)


def test_the_most_frequent_confusion_is_found():
    confusion = np.diag([10] * 8)
    assert sentences.weakest_pair(confusion) == "Nothing is confused."
    confusion[1, 2] = 30
    assert "Anger is taken for Disgust: in 75%" in sentences.weakest_pair(confusion)


def test_prompts_that_are_alike_are_named():
    cosine = np.eye(8)
    assert sentences.prompts(cosine) == (
        "Between different classes the cosine lies between 0.00 and 0.00."
    )
    cosine[1, 2] = cosine[2, 1] = 1
    assert "between 0.00 and 1.00" in sentences.prompts(cosine)
    assert "above 0.995: Anger and Disgust. The text hardly" in sentences.prompts(cosine)


def test_confidence_is_compared_with_accuracy():
    def said(confidence, accuracy):
        return sentences.confidence({"confidence": confidence, "accuracy": accuracy})

    assert "surer than it may be" in said(0.95, 0.80)
    assert "less sure than it may be" in said(0.60, 0.80)
    assert "as sure as it may be" in said(0.805, 0.80)


def test_a_class_gains_when_its_interval_says_so():
    gains = {name: {"interval": [-0.1, 0.1]} for name in EXPRESSIONS}
    none = sentences.class_gains((10, 60), gains, synthetic=True)
    assert "above zero: none; that lose, with one below zero: none." in none
    gains |= {"Anger": {"interval": [0.1, 0.3]}, "Fear": {"interval": [-0.3, -0.1]}}
    gains["Motion pair"] = {"interval": [0.1, 0.2]}
    text = sentences.class_gains((10, 60), gains, synthetic=True)
    assert "above zero: Anger;" in text and "below zero: Fear." in text
    gains["Other"] = {"interval": [0.01, 0.02]}
    assert "more of Other" in sentences.class_gains((10, 60), gains, synthetic=True)
    assert "more of Other" not in sentences.class_gains((10, 60), gains, synthetic=False)


def test_my_run_beside_the_default():
    assert "+0.100" in sentences.beside_default(0.9, 0.8)
    assert "nothing to compare with" in sentences.beside_default(0.9, None)


# The prose of the notebooks: numbers that a reader can check against the paper and the method.


def prose(number: str) -> str:
    import json

    (path,) = (project_root() / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return " ".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_the_receptive_field_in_the_prose_is_the_papers():
    from emolib.results.model_figures import receptive_field

    published = config.preset("paper")
    field = len(receptive_field(published.tcn_blocks, published.tcn_kernel)[-1])
    text = prose("03")
    assert f"this is {field} frames, but its longest window has {published.window}" in text
    assert f"= {len(receptive_field(3, 3)[-1])}$ frames" in text, "the exercise's solution"


def test_the_papers_parameters_in_the_prose():
    from emolib.model import EmotionModel

    count = EmotionModel(config.preset("paper")).parameter_count()
    assert f"about {count / 1e6:.1f} million parameters" in prose("03")


def test_facts_of_the_data_set_in_the_prose():
    text, frames = prose("01"), structure.frames_by_video("validation")
    share = frames[:, EXPRESSIONS.index("Other")].sum() / frames.sum()
    assert f"{share:.0%}".replace("%", " %") + " of the real validation frames" in text
    assert f"macro-F1 is {2 * share / (1 + share) / 8:.3f}" in text
    assert f"{len(frames)} validation videos with 597,361 and {frames.sum():,} labelled" in text
    disgust = structure.largest_share(frames)[EXPRESSIONS.index("Disgust")]
    assert f"one clip alone carries {disgust:.0%}".replace("%", " %") in prose("06")
    train = paper.TRAIN_RATIO
    assert "make up more than half" in text and train["Other"] + train["Neutral"] > 0.5
    assert "under two per cent" in text and train["Fear"] < 0.02
    assert round(max(train.values()) / min(train.values())) == 18 and "eighteen" in prose("06")


def test_the_demo_changes_sizes_and_rates_and_keeps_the_method():
    demo, published = (config.preset(name).settings("train") for name in ("demo", "paper"))
    method = ("fusion", "modalities", "class_weights", "contrastive_weight", "contrastive_targets")
    assert [name for name in method if demo[name] != published[name]] == []
    assert "no row for the fusion or the losses" in prose("04")


def test_the_rule_in_the_prose_is_the_rule_that_judges():
    from emolib.studies import claims

    assert "not widened for the number of claims" in claims.RULE
    assert "does not widen its intervals for the number of claims" in prose("07")
    assert claims.MIN_SEEDS == 3 and "With two seeds the rule leaves" in prose("10")
    assert "asks for three seeds" in prose("09")


def test_no_notebook_promises_what_it_computes():
    """The seven sentences that once contradicted the table below them do not come back as text."""
    everything = " ".join(prose(f"{n:02}") for n in range(1, 11))
    for promise in (
        "is the right answer",
        "by at most the distance",
        "an interval that excludes zero decides",
        "look for the delay",
        "for the model with 30 frames",
        "paper of four pages",
        "with the source of each value. *Paper*",
    ):
        assert promise not in everything.replace("so *", ""), promise
    assert not re.search(r"poster.{0,40}T = 30", everything)


def test_every_setting_that_a_recipe_shows_has_a_source_and_most_a_meaning():
    import dataclasses

    for field in dataclasses.fields(config.Experiment):
        assert field.metadata["source"], field.name


def test_delays_and_the_eventful_clip():
    import pandas as pd

    def clip(labels, predictions):
        times = np.arange(len(labels)) / 10
        return pd.DataFrame({"label": labels, "prediction": predictions, "time": times})

    late = clip([0, 0, 0, 1, 1, 1, 1, 2, 2, 2], [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    seconds, changes = stored_predictions.change_delays(late)
    assert changes == 2 and seconds == pytest.approx([0.2])
    still = clip([3] * 20, [3] * 20)
    assert stored_predictions.change_delays(still) == ([], 0)
    assert stored_predictions.most_eventful({"still": still, "late": late}) == "late"
    at_once = clip([0, 0, 0, 1, 1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
    assert stored_predictions.most_eventful({"at_once": at_once, "late": late}) == "late"


def test_the_surest_mistake_of_each_class():
    import pandas as pd

    probabilities = np.full((4, 8), 0.01)
    probabilities[0, 5], probabilities[1, 6], probabilities[2, 2], probabilities[3, 7] = (
        0.6,
        0.9,
        0.8,
        0.99,
    )
    rows = pd.DataFrame(probabilities, columns=stored_predictions.COLUMNS).assign(
        frame=[1, 2, 3, 4],
        time=[0.0, 0.1, 0.2, 0.3],
        label=[1, 1, 2, -1],
        prediction=[5, 6, 2, 7],
    )
    seen = {"a": np.array([True, True, True, True])}
    (mistake,) = stored_predictions.surest_mistakes({"a": rows}, seen)
    assert (mistake["label"], mistake["prediction"], mistake["frame"]) == (1, 6, 2)
    blind = {"a": np.array([True, False, True, True])}
    assert stored_predictions.surest_mistakes({"a": rows}, blind)[0]["frame"] == 1


def test_costs_say_what_the_verdicts_say():
    def row(label, verdict, low, high):
        middle = (low + high) / 2
        interval = {"difference": middle, "difference_interval": [low, high]}
        return {"label": label, "verdict": verdict, "seeds": 3, **interval}

    rows = [
        {"label": "As in the preset", "seeds": 3},
        row("a", "supported", 0.01, 0.03),
        row("b", "not supported", -0.05, -0.03),
        row("c", "not supported", -0.01, 0.01),
        row("d", "undecided", -0.1, 0.1),
        row("e", "not supported", 0.0, 0.0),
        row("f", "supported", 0.1, 0.2),
    ]
    assert sentences.costs(rows) == (
        "By the rule, with 3 seeds each, 6 faults, alone. "
        "Cost something: a (+0.020), f (+0.150). Help: b (-0.040). Change no frame: e (+0.000). "
        "Cost less than 0.02: c (+0.000). Undecided: d (+0.000)."
    )
    assert sentences.costs(rows[:1]) == "No fault is switched on here."
