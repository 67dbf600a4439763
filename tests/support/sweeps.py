"""Sweeps over small sets in memory."""

from pathlib import Path

import pandas as pd

from emolib.config import Experiment
from emolib.errors import EmolibError
from emolib.evaluation.identity import LOADED, Identity
from emolib.features import prepare as inputs
from emolib.features.sources import Sources
from emolib.system.files import hash_file
from emolib.training import run as training
from tests.support.windowsets import make, prompts

SOURCES = Sources(data="of-memory", encoders="of-none")
TODAY = Identity(LOADED, SOURCES.data, SOURCES.encoders)


def keep_in_memory(monkeypatch) -> list[Experiment]:
    """Small sets in memory are what ``prepare`` gives, and an error for one epoch;
    the experiments for which it was called.
    """
    calls: list[Experiment] = []

    def prepare(experiment, *, progress=True):
        calls.append(experiment)
        if experiment.epochs == 1:
            raise EmolibError("no such weights")
        return inputs.Data(make(), make(seed=1), [make(seed=1)], *prompts())

    monkeypatch.setattr(inputs, "prepare", prepare)
    monkeypatch.setattr(training, "prepare", prepare)
    monkeypatch.setattr(
        inputs, "store_features", lambda experiment, clips=None, *, progress=True: None
    )
    monkeypatch.setattr(inputs, "sources", lambda experiment, *, progress=True: SOURCES)
    return calls


def same_bits(one, other):
    """Whether two tables are equal, and the weights and histories of their runs."""
    pd.testing.assert_frame_equal(one.drop(columns="folder"), other.drop(columns="folder"))
    for folders in zip(one.folder, other.folder, strict=True):
        for file in ("model.safetensors", "history.csv", "predictions/clip0.parquet"):
            first, second = (hash_file(Path(folder) / file) for folder in folders)
            assert first == second, file
