"""What stands beside a verdict: how often such a verdict was right where the answer is known.

From ``emolib/assets/calibration.json``, which ``emolib calibrate`` made.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

import emolib
from emolib.results.tables.text import NONE
from emolib.studies.claims import difference_text
from emolib.system.files import read_json

PATH = Path(emolib.__file__).parent / "assets" / "calibration.json"


@cache
def calibration() -> dict[str, Any]:
    """The committed calibration, as ``calibration.report.make`` returned it."""
    return read_json(PATH)


def source() -> str:
    """What made the figures, to stand under them."""
    made = calibration()
    return f"Made by `{made['made_by']}`, code {made['code']}. {made.get('note', '')}".rstrip()


def measured_with(seeds: int, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of ``rows`` with the largest measured number of seeds that is not above ``seeds``."""
    numbers = [row["seeds"] for row in rows if row["seeds"] <= seeds]
    return [row for row in rows if numbers and row["seeds"] == max(numbers)]


def beside(name: str, seeds: int) -> str:
    """How often the verdict on the claim ``name`` is right with ``seeds`` seeds, such as ``18 of 20
    right, 0 wrong``; a dash for a claim without a known answer or for fewer seeds than measured.
    """
    for row in measured_with(seeds, calibration()["claims"]):
        if row["name"] == name:
            right, wrong = (round(row[key] * row["sets"]) for key in ("right", "wrong"))
            return f"{right} of {row['sets']} right, {wrong} wrong"
    return NONE


def enough(name: str, seeds: int) -> bool:
    """Whether ``seeds`` seeds are as many as a verdict on the claim ``name`` needs to be right in
    90 % where the answer is known; False as well for a claim whose answer is known nowhere.
    """
    needed = calibration()["needed"].get(name)
    return needed is not None and needed <= seeds


def before_any_run(claims: Mapping[str, str], seeds: int) -> str:
    """Which of ``claims`` (name: sentence) so many seeds can decide, as Markdown."""
    decided = [claim for name, claim in claims.items() if enough(name, seeds)]
    others = len(claims) - len(decided)
    text = (
        f"{seeds} seeds are enough for {len(decided)} of {len(claims)} claims: where their answer "
        "is known, at least 90 % of the verdicts were right"
    )
    text += f" ({' '.join(decided)})." if decided else "."
    return f"{text} Of the other {others} the difference is shown and no verdict is given."


def outcomes(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every claim of ``claims.rows`` with its difference, how often verdicts on it are right, the
    seeds that it needs, and its verdict where it has as many.
    """
    judged = [row for row in rows if row.get("claim")]
    needed = calibration()["needed"]
    return pd.DataFrame(
        {
            "Claim": [row["claim"] for row in judged],
            "Full minus variant": [difference_text(row) for row in judged],
            "Where the answer is known": [beside(row["name"], row["seeds"]) for row in judged],
            "Seeds needed": [_needed(needed, row["name"]) for row in judged],
            "Outcome": [_outcome(row) for row in judged],
        }
    )


def asked(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``rows`` of ``claims.rows``, those of a claim with whether it is ``asked``: whether there are
    as many seeds as a verdict on it needs.
    """
    return [
        {**row, "asked": enough(row["name"], row["seeds"])} if row.get("claim") else dict(row)
        for row in rows
    ]


def _outcome(row: Mapping[str, Any]) -> str:
    """The verdict of a row, or why none is given."""
    if enough(row["name"], row["seeds"]):
        return str(row["verdict"])
    known = row["name"] in calibration()["needed"]
    return f"not asked: {'too few seeds' if known else 'reliability not measured'}"


def _needed(needed: Mapping[str, int | None], name: str) -> str:
    if name not in needed:
        return NONE
    most = max(row["seeds"] for row in calibration()["claims"])
    return str(needed[name] or f"more than {most}")


def sentence(seeds: int) -> str:
    """How far a verdict with ``seeds`` seeds can be trusted, by simulation of the rule."""
    rows = measured_with(seeds, calibration()["simulation"])
    if not rows:
        return f"How reliable a verdict with {seeds} seeds is has not been measured."
    false = max(row["wrong"] for row in rows if row["effect"] == 0)
    powers: dict[float, list[float]] = {}
    for row in rows:
        if row["effect"] > 0:
            powers.setdefault(row["effect"], []).append(row["right"])
    shown = ", ".join(
        f"{effect:.2f} in {100 * min(right):.0f} to {100 * max(right):.0f} %"
        for effect, right in powers.items()
    )
    return (
        f"With {rows[0]['seeds']} seeds the rule called at most {100 * false:.1f} % of simulated "
        f"effects of 0 supported; it showed true effects of {shown} (seeds alike, or one in four "
        "without the motion pair)."
    )
