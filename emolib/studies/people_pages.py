"""Sentences, tables and the figure of notebook 12; each says what is missing where the recordings
are not at hand.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from emolib.config import Experiment
from emolib.data.datasets import can_show, collection_of
from emolib.data.ravdess import RAVDESS
from emolib.features.prepare import clips_of
from emolib.labels import EXPRESSIONS
from emolib.results.figures.style import COLUMN, OURS, PAPER, STYLE, blank
from emolib.results.tables.text import number, with_interval

MISSING = (
    "The recordings are not at hand, so there is nothing to show here. Download the speech of"
    " [RAVDESS](https://doi.org/10.5281/zenodo.1188976) and name its folder in `data`, or in the"
    " environment variable `EMOLIB_RAVDESS`."
)
# Accuracy in percent: (whom, what, how it was tested, source), from each paper's abstract.
PUBLISHED = {
    "RAVDESS": (
        ("Luna-Jiménez et al., 2021", 80.08, "face and voice", "subject-wise, 5 folds",
         "https://doi.org/10.3390/s21227665"),
        ("Luna-Jiménez et al., 2022", 86.70, "face and voice", "subject-wise, 5 folds",
         "https://doi.org/10.3390/app12010327"),
    ),
    "CREMA-D": (
        ("people, Cao et al., 2014", 40.9, "voice", "intended emotion",
         "https://doi.org/10.1109/TAFFC.2014.2336244"),
        ("people, Cao et al., 2014", 58.2, "face", "intended emotion",
         "https://doi.org/10.1109/TAFFC.2014.2336244"),
        ("people, Cao et al., 2014", 63.6, "face and voice", "intended emotion",
         "https://doi.org/10.1109/TAFFC.2014.2336244"),
    ),
}  # fmt: skip


def title(experiment: Experiment | None) -> str:
    """What every title says: the collection, how much of it, which streams and which encoder."""
    if experiment is None:
        return "no recordings at hand"
    collection = collection_of(experiment.dataset) or RAVDESS
    found = len(clips_of(experiment, progress=False))
    streams = {"audio": "voices alone", "visual": "faces alone", "audio_visual": "face and voice"}
    encoder = "small encoder" if experiment.audio_encoder == "synthetic" else "Wav2Vec2"
    return (
        f"{collection.title}, {found:,} of {collection.takes:,} recordings, "
        f"{streams[experiment.modalities]}, {encoder}"
    )


def of_the_data(experiment: Experiment | None) -> str:
    """How many recordings, people and classes there are, or what to do where there are none."""
    if experiment is None:
        return MISSING
    clips = clips_of(experiment, progress=False)
    people, classes = len({clip.person for clip in clips}), can_show(experiment)
    seconds = sum(len(clip.labels) / clip.fps for clip in clips)
    names = ", ".join(EXPRESSIONS[c] for c in classes)
    return (
        f"{len(clips)} recordings of {people} actors, {seconds / 60:.0f} minutes in all,"
        f" in {len(classes)} classes: {names}. By chance {1 / len(classes):.3f} of them are right."
    )


def folds_table(experiment: Experiment | None) -> pd.DataFrame:
    """Who is held out in each fold, and how many recordings that are."""
    if experiment is None:
        return pd.DataFrame(columns=["fold", "held out", "recordings", "others"])
    rows = []
    for fold in range(1, experiment.folds + 1):
        clips = clips_of(experiment.replace(fold=fold), progress=False)
        held_out = [clip for clip in clips if clip.split == "validation"]
        people = ", ".join(sorted({clip.person for clip in held_out}))
        rows.append([fold, people, len(held_out), len(clips) - len(held_out)])
    return pd.DataFrame(rows, columns=["fold", "held out", "recordings", "others"])


def choice_table(table: pd.DataFrame | None) -> pd.DataFrame:
    """Of ``people_choice.choose``: a row a fold, a column a candidate with its macro-F1 on the
    fold's training actors, and what was chosen.
    """
    if table is None:
        return pd.DataFrame(columns=["fold", "chosen"])
    order = table["settings"].drop_duplicates()
    scores = table.pivot(index="fold", columns="settings", values="macro_f1")[order]
    chosen = table[table["chosen"]].set_index("fold")["settings"]
    result = scores.map(number).assign(chosen=chosen).reset_index()
    return result.rename_axis(columns=None)


def of_the_score(scored: Mapping[str, Any] | None, shuffled: Mapping[str, Any] | None) -> str:
    """Both scores with their intervals, and whether the shuffled one is chance."""
    if scored is None or shuffled is None:
        return MISSING
    lines = [
        f"- {name}: macro-F1 {with_interval(one['macro_f1'], one['macro_f1_interval'])},"
        f" accuracy {with_interval(one['accuracy'], one['accuracy_interval'])}"
        for name, one in (("true labels", scored), ("shuffled labels", shuffled))
    ]
    low, high = shuffled["accuracy_interval"]
    chance = 1 / sum(row["support"] > 0 for row in shuffled["per_class"])
    verdict = "holds chance" if low <= chance <= high else "does not hold chance"
    lines.append(f"\nThe interval of the shuffled accuracy {verdict} ({chance:.3f}).")
    return "\n".join(lines)


def baselines_table(experiment: Experiment | None, scored: Mapping[str, Any] | None) -> Any:
    """Accuracy in percent beside published ones of the same collection."""
    collection = RAVDESS if experiment is None else collection_of(experiment.dataset) or RAVDESS
    columns = ["Who", "Accuracy, %", "Reads", "Tested on", "Source"]
    rows = [
        [who, number(percent, 2), reads, tested, source]
        for who, percent, reads, tested, source in PUBLISHED[collection.title]
    ]
    if experiment is not None and scored is not None:
        low, high = (100 * bound for bound in scored["accuracy_interval"])
        text = f"{100 * scored['accuracy']:.1f} [{low:.1f}, {high:.1f}]"
        tested = f"other actors, {experiment.folds} folds"
        rows.insert(0, [f"here: {title(experiment)}", text, "voice", tested, "this notebook"])
    return pd.DataFrame(rows, columns=columns)


@mpl.rc_context(STYLE)
def people_figure(people: pd.DataFrame, chance: float, *, of: str) -> Figure:
    """Accuracy of each actor's recordings, the best first; the dashed line is chance."""
    figure, axis = blank(f"Each actor held out\n{of}", origin="", size=(COLUMN, 2.0))
    axis.bar(np.arange(len(people)), people["accuracy"], color=OURS)
    axis.axhline(chance, color=PAPER, linestyle="--", label="chance")
    axis.set_xticks(np.arange(len(people)), people["person"], rotation=90)
    axis.set(xlabel="actor", ylabel="accuracy", ylim=(0, 1))
    axis.legend()
    return figure


def of_the_people(people: pd.DataFrame | None) -> str:
    """How far apart the best and the worst actor are."""
    if people is None:
        return MISSING
    best, worst = people.iloc[0], people.iloc[-1]
    return (
        f"Of actor {best['person']} {best['accuracy']:.0%} of {best['recordings']} recordings are"
        f" recognised, of actor {worst['person']} {worst['accuracy']:.0%}. One actor says"
        " little about the next."
    )


def weakest(scored: Mapping[str, Any] | None, count: int = 2) -> str:
    """The classes that are recognised worst, with their F1."""
    if scored is None:
        return MISSING
    known = [row for row in scored["per_class"] if row["support"]]
    rows: Sequence[Mapping[str, Any]] = sorted(known, key=lambda row: row["f1"])[:count]
    return "Recognised worst: " + ", ".join(f"{row['name']} (F1 {row['f1']:.2f})" for row in rows)
