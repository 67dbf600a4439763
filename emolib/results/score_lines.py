"""The scores of one run for the console: of what data and encoders, and of which fold, they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from emolib.config import Experiment
from emolib.data.mark import is_synthetic
from emolib.evaluation.predictions import score_text
from emolib.features.prepare import clips_of


def score_lines(experiment: Experiment, result: Mapping[str, Any]) -> str:
    """``score_text`` of ``result``, the content of metrics.json, with what is generated about it
    and who was held out. Raises as ``score_text``.
    """
    told = dict(result)
    if "origin" in result:
        told["origin"] = generated_part(experiment, result["origin"])
    return "\n".join(filter(None, [score_text(told), fold_in_words(experiment)]))


def generated_part(experiment: Experiment, origin: str) -> str:
    """``origin``, and that the encoders alone are synthetic where the data are real."""
    real_data = bool(experiment.data) and not is_synthetic(Path(experiment.data))
    return origin.replace("synthetic", "synthetic encoders, real data") if real_data else origin


def fold_in_words(experiment: Experiment) -> str:
    """Which fold of acted recordings was held out, and how many people; empty for other data."""
    if experiment.dataset == "affwild2":
        return ""
    clips = clips_of(experiment, ("validation",), progress=False)
    people = len({clip.person for clip in clips})
    folds = ",".join(map(str, range(1, experiment.folds + 1)))
    return (
        f"fold {experiment.fold} of {experiment.folds}: {people} people with {len(clips)}"
        f" recordings were held out; for all people: emolib sweep --grid fold={folds}"
    )
