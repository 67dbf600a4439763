"""The recipe's rows from predictions on disk that were made by hand:
smoothing and averaging do what they say.
"""

import numpy as np
import pandas as pd
import pytest

from emolib import config
from emolib.errors import EmolibError
from emolib.studies import recipe
from emolib.studies.comparison import PROBABILITIES, predictions
from emolib.studies.variants import RECIPE, choose

FRAMES = 60


def run_folder(root, name, seed, *, bias=0.0):
    """20 clips of one class each; every frame's probabilities are noise,
    with ``1 + bias`` more for the true class.
    """
    rng = np.random.default_rng([seed, round(100 * (bias + 1))])
    for clip in range(20):
        label = np.full(FRAMES, clip % 8)
        scores = rng.normal(size=(FRAMES, 8)) + (1 + bias) * np.eye(8)[label]
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        table = pd.DataFrame(
            {"frame": np.arange(1, FRAMES + 1), "label": label, "prediction": p.argmax(axis=1)}
            | dict(zip(PROBABILITIES, p.T, strict=True))
        )
        (root / name / "predictions").mkdir(parents=True, exist_ok=True)
        table.to_parquet(root / name / "predictions" / f"c{clip:02d}.parquet", index=False)
    return {"folder": str(root / name), "seed": seed}


@pytest.fixture
def found(tmp_path):
    variants = choose(config.preset("demo"), RECIPE)
    bias = {"full": 0.0, "logit_adjustment": -0.5, "strong": 1.0}
    runs = pd.DataFrame(
        [
            run_folder(tmp_path, f"{v.name}{s}", s + 10 * i, bias=bias[v.name])
            for i, v in enumerate(variants)
            for s in range(3)
        ]
    )
    return {row["name"]: row for row in recipe.rows(variants, runs)}


def test_each_part_has_its_own_row_and_verdict(found):
    assert list(found) == [
        "full",
        "logit_adjustment",
        "smoothing",
        "ensemble",
        "strong_single",
        "strong",
    ]
    assert "difference" not in found["full"]
    assert (
        found["logit_adjustment"]["verdict"] == "not supported"
        and found["logit_adjustment"]["difference"] < -0.1
    )
    for name in ("smoothing", "ensemble", "strong_single", "strong"):
        assert found[name]["verdict"] == "supported" and found[name]["difference_interval"][0] > 0
    assert found["smoothing"]["macro_f1"] > 0.95, "mean of 51 noisy frames of one class"
    assert (
        found["strong"]["seeds"] == 1
        and found["strong"]["macro_f1"] > found["strong_single"]["macro_f1"]
    )
    table = recipe.table(list(found.values()), origin="synthetic")
    assert (
        table["Better"].tolist()[0] == "–"
        and "0.384 to 0.418" in table["Why"][2]
        and "synthetic" in table.columns[1]
    )


def test_smoothing_stays_inside_a_clip(tmp_path):
    frames = predictions(run_folder(tmp_path, "a", 0)["folder"], probabilities=True)
    same = recipe.smoothed(frames, "box", 0)
    assert same["prediction"].equals(frames["prediction"])
    wide = recipe.smoothed(frames, "box", FRAMES)
    mean = frames[PROBABILITIES].to_numpy(np.float64).reshape(20, FRAMES, 8).mean(axis=1)
    np.testing.assert_allclose(wide[PROBABILITIES].to_numpy()[::FRAMES], mean, atol=1e-6)


def test_ensemble_is_the_mean_and_refuses_other_frames(tmp_path):
    a, b = (
        predictions(run_folder(tmp_path, name, seed)["folder"], probabilities=True)
        for seed, name in enumerate("ab")
    )
    both = recipe.ensemble([a, b])
    np.testing.assert_allclose(both["p_Fear"], (a["p_Fear"] + b["p_Fear"]) / 2)
    assert not both["prediction"].equals(a["prediction"])
    with pytest.raises(EmolibError, match="different frames"):
        recipe.ensemble([a, b[:-1]])
    with pytest.raises(EmolibError, match="finish this run first"):
        predictions(tmp_path / "nothing", probabilities=True)
