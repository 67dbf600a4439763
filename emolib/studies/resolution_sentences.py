"""What notebook 11 says, computed from its numbers, as Markdown."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from emolib import paper
from emolib.data import structure
from emolib.evaluation.intervals import PERCENT
from emolib.labels import EXPRESSIONS
from emolib.studies import published_differences, resolution

FEW = 3  # effective videos; a class with fewer rests on one or two
Band = tuple[float, float]


def weak_classes(frames: np.ndarray) -> str:
    """Which classes rest on few of the videos ``[videos, 8]``."""
    effective = structure.effective_videos(frames)
    weak = [f"{EXPRESSIONS[c]} {effective[c]:.1f}" for c in np.flatnonzero(effective < FEW)]
    largest = 100 * np.nanmax(structure.largest_share(frames))
    return (
        f"{len(weak)} of the eight classes rest on fewer than {FEW} effective videos: "
        f"{', '.join(weak) or 'none'}. The largest single video holds {largest:.0f} % of its class."
    )


def implied_scores(confusion: np.ndarray, frames: np.ndarray) -> str:
    """The macro-F1 and the accuracy of ``confusion`` beside what was published."""
    total = frames.sum(axis=0)
    accuracy = float(np.diag(confusion) @ total / total.sum())
    printed = " and ".join(f"{value:.3f}" for value in paper.V1_VALIDATION_ACCURACY.values())
    return (
        f"Macro-F1 {resolution.macro_f1(confusion, frames):.4f}; the paper's is "
        f"{paper.VALIDATION_MACRO_F1[30]:.4f}. The matrix implies an accuracy of {accuracy:.3f}; "
        f"the paper's first version printed {printed} for two of its models."
    )


def fold_check(check: pd.DataFrame, published: float) -> str:
    """Which concentrations agree with the published standard deviation; ``check``.

    Of ``resolution.fold_check``.
    """
    agree = check.loc[(check["from"] <= published) & (published <= check["to"]), "concentration"]
    nearest = check.loc[(check["median"] - published).abs().idxmin(), "concentration"]
    excluded = len(check) - len(agree)
    return (
        f"Published: {published}. It lies within the {PERCENT} range for concentrations "
        f"{', '.join(f'{value:g}' for value in agree) or 'none'} and excludes {excluded} of "
        f"{len(check)}; the median is nearest for {nearest:g}."
    )


def one_interval(score: float, widths: Sequence[float]) -> str:
    """How sure one ``score`` is when its interval has these ``widths``."""
    low, high = sorted(widths)
    return (
        f"The paper's {score:.3f} has a {PERCENT} interval that is {low:.2f} to {high:.2f} wide, "
        f"so about ± {low / 2:.3f} to ± {high / 2:.3f}."
    )


def best_windows() -> str:
    """Which window is the best in each published version."""
    best = published_differences.best_windows()
    listed = "; ".join(f"{version}: {window} frames" for version, window in best.items())
    verdict = "disagree" if len(set(best.values())) > 1 else "agree"
    return f"The versions {verdict} on the best window. {listed}."


def needed(lines: Mapping[str, float], videos: int, effects: Band) -> str:
    """How many videos would decide each of ``lines``, when ``videos`` decide ``effects``."""
    rows = []
    for name, wanted in lines.items():
        low, high = (resolution.videos_needed(effect, videos, wanted) for effect in effects)
        rows.append(f"- a true effect of {name}: {low:,.0f} to {high:,.0f} videos")
    return "Videos that are needed, with one run on each side:\n\n" + "\n".join(rows)


def gains(videos: Mapping[int, Band], seeds: Mapping[int, Band]) -> str:
    """What more videos and what more seeds do to the smallest effect, by their number."""
    by_videos = "; ".join(f"{n} videos {_band(effects)}" for n, effects in videos.items())
    by_seeds = "; ".join(f"{n} seeds {_band(effects)}" for n, effects in seeds.items())
    most_videos, most_seeds = (list(bands.values())[-1][1] for bands in (videos, seeds))
    more = "Videos" if most_videos < most_seeds else "Seeds"
    return (
        f"Smallest effect that is decided, one seed: {by_videos}. On the validation videos: "
        f"{by_seeds}. {more} help more."
    )


def before_any_run(frames: np.ndarray, seeds: int, *, level: float, repetitions: int = 500) -> str:
    """The smallest effect that ``seeds`` runs a side decide on ``frames`` ``[clips, 8]``.

    For a study that is still to be run: ``level`` is the macro-F1 that one expects, taken for every
    class alike.
    """
    confusion = resolution.confusion_of_f1([level] * len(EXPRESSIONS), frames)
    effects = resolution.band(
        resolution.smallest_effect, frames, confusion, seeds=seeds, repetitions=repetitions
    )
    runs = f"{seeds} seed{'s' if seeds > 1 else ''}"
    return (
        f"Before any run: {runs} on {len(frames)} clips, at a macro-F1 near {level:g}, decide "
        f"a true difference of {_band(effects)} (power {100 * resolution.POWER:.0f} %; "
        "where in this "
        "band depends on how much clips differ and how much models share, see notebook 11). "
        "A smaller one will most likely come out as undecided."
    )


def folded(question: str, answer: str) -> str:
    """An answer that opens on a click."""
    return f"<details><summary>{question}</summary>\n\n{answer}\n\n</details>"


def widths(by_name: Mapping[str, float]) -> str:
    """Widths of intervals by name, and how many times the widest is as wide as the narrowest."""
    listed = "\n".join(f"- {name}: {width:.3f} wide" for name, width in by_name.items())
    times = max(by_name.values()) / min(by_name.values())
    return f"{listed}\n\nThe widest is {times:.1f} times as wide as the narrowest."


def changed_answers(
    pairs: Sequence[published_differences.Difference], before: Band, after: Band
) -> str:
    """Which differences within one method get another answer by the band ``after``."""
    answer = published_differences.answer
    same = [pair for pair in pairs if pair.kind == "same"]
    moved = [pair.name for pair in same if answer(pair.size, before) != answer(pair.size, after)]
    return f"The band is then {_band(after)}; another answer: {', '.join(moved) or 'none'}."


def _band(effects: Band) -> str:
    return f"{effects[0]:.3f} to {effects[1]:.3f}"
