"""The calibration as a whole: draws, verdicts and simulation into ``calibration.{json,csv,md}``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emolib.errors import WrongCall
from emolib.evaluation.identity import LOADED
from emolib.results.tables.text import markdown, signed
from emolib.studies.calibration import draws, known, simulation, verdicts
from emolib.studies.calibration.verdicts import OUTCOMES, SEED_COUNTS
from emolib.system.device import training_arithmetic
from emolib.system.files import hash_of, read_json, write_json, write_text

RIGHT, WRONG = 0.9, 0.05  # targets: right at least, wrong at most
FORMAT = 1


def make(
    folder: Path,
    *,
    count: int,
    experiments: int,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train what is missing of ``count`` draws, simulate ``experiments`` of each kind, and write
    ``calibration.json``, ``.csv`` and ``.md`` to ``folder``.

    Raises WrongCall for a single draw, which has no spread; with none the rule alone is simulated.
    """
    if count == 1:
        raise WrongCall("draws=1: one draw has no spread; give 0 (the rule alone) or at least 2")
    home = folder / "draws" / draws.identity()
    draws.ensure(home, count, workers=workers, progress=progress)
    claims = verdicts.rows(draws.load(home, range(count))) if count else []
    simulated = _simulated(folder, experiments)
    arithmetic = training_arithmetic("cpu", known.experiment().amp)  # draws are trained there
    result = {
        "format": FORMAT,
        "made_by": f"emolib calibrate --draws {count} --experiments {experiments}",
        "code": LOADED,
        "arithmetic": arithmetic,
        "claims": claims,
        "simulation": simulated,
        "needed": needed(claims),
    }
    write_json(folder / "calibration.json", result)
    tables = {"claims": claims_table(claims), "simulation": simulation_table(simulated)}
    write_text(folder / "calibration.csv", pd.DataFrame(claims).to_csv(index=False))
    captions = {
        "claims": f"Verdicts on claims with a known answer, {count} draws of the latent benchmark "
        f"(trained in {arithmetic}).",
        "simulation": f"The rule on {experiments} simulated experiments for each true effect.",
    }
    texts = [markdown(table, captions[name]) for name, table in tables.items()]
    write_text(folder / "calibration.md", "\n".join(texts))
    return result


def _simulated(folder: Path, experiments: int) -> list[dict[str, Any]]:
    """``simulation.rows``, kept by the code and the numbers that they follow from."""
    spreads = [vars(spread) for spread in simulation.SPREADS]
    key = hash_of([experiments, spreads, simulation.EFFECTS, SEED_COUNTS, LOADED])
    path = folder / "simulations" / f"{key}.json"
    if not path.exists():
        write_json(path, simulation.rows(experiments))
    return read_json(path)


def needed(claims: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """For each claim the fewest seeds at which it is right and wrong as often as the targets ask;
    None: more than were tried.
    """
    enough: dict[str, int | None] = {row["name"]: None for row in claims}
    for row in sorted(claims, key=lambda row: -row["seeds"]):
        if row["right"] >= RIGHT and row["wrong"] <= WRONG:
            enough[row["name"]] = row["seeds"]
    return enough


def share_text(row: Mapping[str, Any], name: str) -> str:
    """A share with its interval, in percent."""
    low, high = row[f"{name}_interval"]
    return f"{100 * row[name]:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def claims_table(claims: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of ``verdicts.rows`` as a table to print."""
    return pd.DataFrame(
        {
            "Claim": [row["claim"] for row in claims],
            "True": ["yes" if row["true"] else "no" for row in claims],
            "Effect": [signed(row["effect"], row["effect_interval"]) for row in claims],
            "Seeds": [row["seeds"] for row in claims],
            **_outcome_columns(claims),
        }
    )


def simulation_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows of ``simulation.rows`` as a table to print."""
    return pd.DataFrame(
        {
            "Seeds differ": [row["spread"] for row in rows],
            "True effect": [f"{row['effect']:.2f}" for row in rows],
            "Seeds": [row["seeds"] for row in rows],
            **_outcome_columns(rows),
        }
    )


def _outcome_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    return {name.capitalize(): [share_text(row, name) for row in rows] for name in OUTCOMES}
