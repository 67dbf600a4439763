"""The differences that were published on Aff-Wild2's validation set, held against what its videos can decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from emolib import paper
from emolib.results.tables import number

BELOW, WITHIN, ABOVE = "no", "depends on the assumptions", "yes"


@dataclass(frozen=True)
class Difference:
    """Two published macro-F1 on the validation set; ``method``: ``same`` for two settings of one method, or ``other``."""

    name: str
    first: float
    second: float
    method: str

    @property
    def size(self) -> float:
        return abs(self.first - self.second)


def differences() -> list[Difference]:
    """All that are compared, each with what was published of it."""
    camera_ready, v1 = paper.VALIDATION_MACRO_F1, paper.V1_VALIDATION_MACRO_F1
    poster = paper.POSTER_MACRO_F1["validation"]
    windows = [
        Difference(f"T = {long} against {short}", camera_ready[long], camera_ready[short], "same")
        for long, short in ((30, 60), (15, 10), (30, 15), (30, 10))
    ]
    versions = [
        Difference("v1: T = 60 against 30", v1[60], v1[30], "same"),
        Difference("T = 60: camera-ready against v1", camera_ready[60], v1[60], "same"),
        Difference("T = 30: camera-ready against v1", camera_ready[30], v1[30], "same"),
        Difference("T = 30: camera-ready against poster", camera_ready[30], poster, "same"),
    ]
    smoothing = Difference(
        "a peer: smoothing over ±25", paper.SMOOTHING[25], paper.SMOOTHING[0], "same"
    )
    baseline = Difference(
        "T = 30 against the baseline", camera_ready[30], camera_ready[None], "other"
    )
    best, second, third = paper.PEER_MACRO_F1.values()
    peers = [
        Difference("peers: second against third", second, third, "other"),
        Difference("peers: first against second", best, second, "other"),
        Difference("third peer against T = 30", third, camera_ready[30], "other"),
        Difference("first peer against T = 30", best, camera_ready[30], "other"),
    ]
    return [*windows, *versions, smoothing, *peers[:2], baseline, *peers[2:]]


def answer(size: float, band: tuple[float, float]) -> str:
    """Whether the videos can show a difference of ``size``: below the ``band``, within it or above it."""
    low, high = band
    if size <= low:
        return BELOW
    return ABOVE if size > high else WITHIN


def table(shown: Sequence[Difference], bands: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """One row a difference: the two scores, their distance, the band it has to pass, and the answer."""
    return pd.DataFrame(
        [
            {
                "Published": difference.name,
                "Scores": f"{difference.first:.4g} and {difference.second:.4g}",
                "Difference": number(difference.size, 4),
                "Must exceed": "{:.3f} to {:.3f}".format(*bands[difference.method]),
                "Can the videos show it?": answer(difference.size, bands[difference.method]),
            }
            for difference in shown
        ]
    )
