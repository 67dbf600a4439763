"""My run beside the default one: which settings differ, and what came out."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emolib.config import Experiment, preset
from emolib.evaluation.identity import warn_of_difference
from emolib.evaluation.metrics import PROTOCOLS
from emolib.results.tables import number, with_interval
from emolib.system.files import read_record

FITTED = ("best_epoch", "parameters")


def default_result(folder: Path) -> dict[str, Any] | None:
    """``metrics.json`` of the default run's ``folder``.

    None where that run is not finished, or, with a warning, where it was made by other code, from
    other data or with other weights.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        return None
    return None if warn_of_difference(folder) else read_record(path, *PROTOCOLS, *FITTED)


def beside_default(
    experiment: Experiment, mine: Mapping[str, Any], default: Mapping[str, Any] | None
) -> pd.DataFrame:
    """A row for each setting that differs from the preset's, then the scores.

    ``mine`` and ``default``: metrics.json's content, as ``training.run`` returns it.
    """
    own = dataclasses.asdict(experiment)
    standard = dataclasses.asdict(
        preset(experiment.preset, data=experiment.data, weights=experiment.weights)
    )
    rows = [
        {"": f"setting {name}", "default": str(standard[name]), "mine": str(own[name])}
        for name in own
        if own[name] != standard[name]
    ]
    for protocol in PROTOCOLS:
        rows.append(
            {
                "": f"macro-F1, {protocol} protocol",
                "default": _score(default, protocol),
                "mine": _score(mine, protocol),
            }
        )
    for name in FITTED:
        values = [f"{result[name]:,}" if result else "–" for result in (default, mine)]
        rows.append({"": name.replace("_", " "), "default": values[0], "mine": values[1]})
    return pd.DataFrame(rows)


def _score(result: Mapping[str, Any] | None, protocol: str) -> str:
    if result is None:
        return number(None)
    return with_interval(result[protocol]["macro_f1"], result[protocol]["macro_f1_interval"])
