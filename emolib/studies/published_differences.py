"""Differences published on Aff-Wild2's validation set, against what its videos can decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from emolib import paper
from emolib.results.tables import number

BELOW, WITHIN, ABOVE = "no", "depends on the assumptions", "yes"


@dataclass(frozen=True)
class Difference:
    """Two published macro-F1 on the validation set.

    ``kind`` says which band it has to pass: ``same`` for two settings of one method, ``other`` for
    two methods, ``peers`` for two methods that both score far above the paper's.
    """

    name: str
    first: float
    second: float
    kind: str

    @property
    def size(self) -> float:
        return abs(self.first - self.second)


def differences() -> list[Difference]:
    """All that are compared, each with what was published of it."""
    camera_ready, v1 = paper.VALIDATION_MACRO_F1, paper.V1_VALIDATION_MACRO_F1
    poster = paper.POSTER_MACRO_F1["validation"]
    windows = [
        Difference(f"T = {long} vs {short}", camera_ready[long], camera_ready[short], "same")
        for long, short in ((30, 60), (15, 10), (30, 15), (30, 10))
    ]
    versions = [
        Difference("v1: T = 60 vs 30", v1[60], v1[30], "same"),
        Difference("T = 60 vs its v1", camera_ready[60], v1[60], "same"),
        Difference("T = 30 vs its v1", camera_ready[30], v1[30], "same"),
        Difference("T = 30 vs poster", camera_ready[30], poster, "same"),
    ]
    baseline = Difference("T = 30 vs baseline", camera_ready[30], camera_ready[None], "other")
    best, second, third = paper.PEER_MACRO_F1.values()
    peers = [
        Difference("peers: 2nd vs 3rd", second, third, "peers"),
        Difference("peers: 1st vs 2nd", best, second, "peers"),
        Difference("3rd peer vs T = 30", third, camera_ready[30], "other"),
        Difference("1st peer vs T = 30", best, camera_ready[30], "other"),
    ]
    return [*windows, *versions, *peers[:2], baseline, *peers[2:]]


def answer(size: float, band: tuple[float, float]) -> str:
    """Whether the videos can show a difference of ``size``.

    Below the ``band``, within it or above it.
    """
    low, high = band
    if size <= low:
        return BELOW
    return ABOVE if size > high else WITHIN


def table(shown: Sequence[Difference], bands: Mapping[str, tuple[float, float]]) -> pd.DataFrame:
    """One row a difference.

    The two scores, their distance, the band it has to pass, and the answer.
    """
    return pd.DataFrame(
        [
            {
                "Published": difference.name,
                "Scores": f"{difference.first:.4g} and {difference.second:.4g}",
                "Difference": number(difference.size, 4),
                "Must exceed": "{:.3f} to {:.3f}".format(*bands[difference.kind]),
                "Can the videos show it?": answer(difference.size, bands[difference.kind]),
            }
            for difference in shown
        ]
    )


def sentence(shown: Sequence[Difference], bands: Mapping[str, tuple[float, float]]) -> str:
    """Which differences can be shown, which cannot, and which hang on the assumptions; Markdown."""
    names: dict[str, list[str]] = {BELOW: [], WITHIN: [], ABOVE: []}
    for difference in shown:
        text = f"{difference.name} ({difference.size:.3f})"
        names[answer(difference.size, bands[difference.kind])].append(text)
    lines = {
        "**Cannot be shown** under any of the assumptions": names[BELOW],
        "**Depends** on assumptions that nobody has published": names[WITHIN],
        "**Can be shown** under all of them": names[ABOVE],
    }
    return "\n".join(f"- {text}: {'; '.join(found) or 'none'}." for text, found in lines.items())


def best_windows() -> dict[str, int]:
    """The window with the highest macro-F1 in each version that prints several, by name."""
    versions = {
        "camera-ready, validation": paper.VALIDATION_MACRO_F1,
        "arXiv v1, validation": paper.V1_VALIDATION_MACRO_F1,
        "camera-ready, test": paper.TEST_MACRO_F1,
    }
    best = {}
    for name, scores in versions.items():
        windows = [window for window in scores if window is not None]
        best[name] = max(windows, key=scores.__getitem__)
    return best
