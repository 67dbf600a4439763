"""RAVDESS, the Ryerson Audio-Visual Database of Emotional Speech and Song: its speech, as published
(Livingstone and Russo, 2018, doi 10.1371/journal.pone.0196391; docs/data.md, Acted recordings).

A name is ``modality-channel-emotion-intensity-statement-repetition-actor``. Read are modality 01
(pictures and sound) and 03 (sound alone) of channel 01 (speech). Modality 02 is the same take as 01
without its sound, channel 02 is song: both are passed over.
"""

import re

from emolib.data.recordings import Collection

RAVDESS = Collection(
    title="RAVDESS",
    names=re.compile(
        r"0[13]-(?P<take>01-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-(?P<person>[0-2]\d))"
    ),
    suffixes=(".mp4", ".wav", ".flac"),
    classes={
        "01": "Neutral",  # 02 is calm, which is none of the eight
        "03": "Happiness",
        "04": "Sadness",
        "05": "Anger",
        "06": "Fear",
        "07": "Disgust",
        "08": "Surprise",
    },
    # 24 actors, 2 statements, 2 repetitions, 2 intensities; neutral has one intensity
    takes_of={"01": 96} | {f"{emotion:02d}": 192 for emotion in range(2, 9)},
    people=24,
    first_person=1,
)
