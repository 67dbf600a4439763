"""The table second by second: a summary of each, and subtitles (WebVTT) that players show."""

import numpy as np
import pandas as pd

from emolib.labels import EXPRESSIONS
from emolib.video.timeline import PROBABILITIES


def by_second(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each second and track, in order of time.

    second (0: from 0 up to 1 s), track, rows (of the table, with a class), p_<Class> x 8 (their
    mean), class (the most probable by that mean), copied (all of them repeat the first window's
    answer). A second of which nothing is known has one row without a track. ``rows``: a table of
    ``predict.table``.
    """
    known = rows[rows["class"].notna()].assign(second=lambda part: part["time"] // 1)
    groups = known.groupby(["second", "track"], dropna=False)
    means = groups[PROBABILITIES].mean().round(6)
    means.insert(0, "rows", groups.size())
    means["copied"] = groups["copied"].all()
    seconds = pd.DataFrame({"second": np.unique(rows["time"] // 1)})
    result = seconds.merge(means.reset_index(), on="second", how="left")
    result["rows"] = result["rows"].fillna(0).astype(int)
    result["second"] = result["second"].astype(int)
    result["track"] = result["track"].astype("Int32")
    best = np.nan_to_num(result[PROBABILITIES].to_numpy(float)).argmax(axis=1)
    names = pd.Series(np.array(EXPRESSIONS, object)[best], dtype="string")
    result["class"] = names.where(result["rows"] > 0, pd.NA)
    result["copied"] = result["copied"].astype("boolean")
    return result[["second", "track", "rows", *PROBABILITIES, "class", "copied"]]


def webvtt(seconds: pd.DataFrame, end: float, note: str = "") -> str:
    """Subtitles: one for each row of ``seconds`` (:func:`by_second`) with a class.

    Several people are told apart by their tracks. ``end``: seconds, where the video ends; ``note``:
    what whoever reads them must know.
    """
    several = seconds["track"].nunique() > 1
    blocks = ["WEBVTT", f"NOTE {note}"] if note else ["WEBVTT"]
    for row in seconds[seconds["rows"] > 0].to_dict("records"):
        first, last = row["second"], min(row["second"] + 1, max(end, row["second"] + 0.001))
        share = row[f"p_{row['class']}"]
        who = f"<v Track {row['track']}>" if several else ""
        text = f"{who}{row['class']} {share:.0%}"
        blocks.append(f"{_clock(first)} --> {_clock(last)}\n{text}")
    return "\n\n".join(blocks) + "\n"


def _clock(seconds: float) -> str:
    """Hours, minutes, seconds and milliseconds as WebVTT writes them."""
    whole = round(seconds * 1000)
    minutes, rest = divmod(whole, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"
