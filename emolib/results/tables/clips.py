"""Tables of clips: what each holds, and what each does to the score."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from emolib.labels import EXPRESSIONS
from emolib.results.tables.text import number


def clip_table(clips: Sequence[Any]) -> pd.DataFrame:
    """One row a clip (``data.clip.Clip``): split, frames, labelled frames, frames with a face,
    seconds, mean rate and its source.
    """

    def seconds(clip: Any) -> float:
        return clip.span(1, len(clip.labels))[1] if len(clip.labels) else 0.0

    return pd.DataFrame(
        {
            "clip": [clip.id for clip in clips],
            "split": [clip.split for clip in clips],
            "frames": [len(clip.labels) for clip in clips],
            "labelled": [int((clip.labels >= 0).sum()) for clip in clips],
            "faces": [int(clip.face_present.sum()) for clip in clips],
            "seconds": [seconds(clip) for clip in clips],
            "fps": [clip.fps for clip in clips],
            "times from": [clip.time_source for clip in clips],
        }
    )


def influence_table(rows: Sequence[Mapping[str, Any]], count: int = 5) -> pd.DataFrame:
    """The ``count`` clips whose absence changes macro-F1 most, from ``metrics.influence``."""
    lines = []
    for row in rows[:count]:
        most = int(np.argmax(np.abs(row["f1_change"])))
        lines.append(
            {
                "Clip left out": row["clip"],
                "Macro-F1 without it": number(row["macro_f1"]),
                "Change": f"{row['change']:+.3f}",
                "Class it moves most": EXPRESSIONS[most],
                "Change of that F1": f"{row['f1_change'][most]:+.3f}",
            }
        )
    return pd.DataFrame(lines)
