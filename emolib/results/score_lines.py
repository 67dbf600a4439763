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
    groups = {
        split: clips_of(experiment, (split,), progress=False) for split in ("train", "validation")
    }
    people = {split: sorted({clip.person for clip in clips}) for split, clips in groups.items()}
    folds = ",".join(map(str, range(1, experiment.folds + 1)))
    return (
        f"{experiment.dataset}, {experiment.modalities}, fold {experiment.fold} of"
        f" {experiment.folds}: trained on {len(groups['train'])} recordings of"
        f" {len(people['train'])} people; held out: {len(groups['validation'])} recordings of"
        f" {len(people['validation'])} people ({', '.join(people['validation'])}), over whom the"
        " intervals are\nall people in turn: emolib sweep with the same --data and --set, and"
        f" --grid fold={folds}"
    )
