"""CREMA-D, the Crowd-sourced Emotional Multimodal Actors Dataset, as published (Cao et al., 2014,
doi 10.1109/TAFFC.2014.2336244; docs/data.md, Acted recordings).

A name is ``actor_sentence_emotion_level``. The emotion in it is the intended one; what raters saw
and heard is in ``processedResults/summaryTable.csv``.
"""

import csv
import re
from pathlib import Path

from emolib.data.recordings import Collection
from emolib.errors import EmolibError, chosen
from emolib.labels import EXPRESSIONS

CREMA_D = Collection(
    title="CREMA-D",
    names=re.compile(
        r"(?P<take>(?P<person>1\d{3})_[A-Z]{3}_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(LO|MD|HI|XX?))"
    ),
    suffixes=(".flv", ".mp4", ".wav", ".flac"),
    classes={
        "ANG": "Anger",
        "DIS": "Disgust",
        "FEA": "Fear",
        "HAP": "Happiness",
        "NEU": "Neutral",
        "SAD": "Sadness",
    },
    takes_of={"ANG": 1271, "DIS": 1271, "FEA": 1271, "HAP": 1271, "NEU": 1087, "SAD": 1271},
    people=91,
    first_person=1001,
    broken_sound=frozenset({"1076_MTI_SAD_XX"}),
)
SUMMARY = "summaryTable.csv"
# The column of the votes by the streams that a run reads: raters heard, saw, or did both.
VOTES = {"audio": "voicevote", "visual": "facevote", "audio_visual": "multimodalvote"}
CLASS_OF_VOTE = {
    "A": "Anger",
    "D": "Disgust",
    "F": "Fear",
    "H": "Happiness",
    "N": "Neutral",
    "S": "Sadness",
}


def crowd_labels(root: Path, modalities: str) -> dict[str, int]:
    """Take -> class by the raters' vote on what ``modalities`` reads (voice, face or both).

    A take on which the vote is tied is not among them. Raises EmolibError where the table is
    missing, stands there twice, or is not what was published.
    """
    column = chosen("modalities", modalities, VOTES)
    tables = sorted(Path(root).rglob(SUMMARY))
    if len(tables) != 1:
        raise EmolibError(
            f"{root}: {len(tables)} files {SUMMARY}, one is needed for label_source=crowd;"
            " it is in processedResults/ of the published repository"
        )
    labels = {}
    with tables[0].open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            values = {str(name).strip().lower(): value for name, value in row.items()}
            vote = values.get(column)
            if vote is None or not values.get("filename"):
                raise EmolibError(
                    f"{tables[0]}:{number}: no FileName or {column}; download the table again"
                )
            if vote.strip() in CLASS_OF_VOTE:
                labels[values["filename"].strip()] = EXPRESSIONS.index(CLASS_OF_VOTE[vote.strip()])
    return labels
