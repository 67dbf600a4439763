"""The `paper` and `released_code` presets end to end:
full-size encoders, a tree given by path, the pipeline's notebooks.

The trained weights are not at hand, so the encoders hold random numbers and the scores mean
nothing; the loading, the shapes and the path through those notebooks are the real ones. Everything
is as the presets have it, except two epochs, one seed (the paper's) instead of three, fewer windows
in the ablation, every fifth frame evaluated in `paper` and small encoders in `released_code`, whose
own settings are others, and the notebooks that train and score alone. The long form reduces the
epochs alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from emolib import config
from emolib.pipeline.run import DEFAULT_NUMBERS
from emolib.system.files import project_root
from tests.support.random_weights import save_random_weights

pytestmark = pytest.mark.timeout(1800)
SMALL_ENCODERS = {"visual_encoder": "synthetic", "audio_encoder": "synthetic"}
SHORT = {
    "paper": {"seeds": "42", "windows": "15,60", "frame_stride": "5"},
    "released_code": {"seeds": "42", "windows": "30", **SMALL_ENCODERS},
}


@pytest.fixture(scope="module")
def place(module_path) -> Path:
    """A folder for trees and ``runs``, with a folder ``weights`` as yet empty."""
    (module_path / "weights").mkdir()
    return module_path


@pytest.fixture(scope="module")
def random_weights(place) -> None:
    """A gigabyte of random weights, for tests that use the full-size encoders."""
    save_random_weights(place / "weights")


def tree(root: Path, preset: str, long: bool) -> Path:
    """A tree in which every class occurs and 64 windows of the preset's longest length (60, or 90
    frames) fill a batch, and with few frames to evaluate: each of them is a window whose sound is
    encoded.
    """
    clips, seconds = (9, 10.0) if long and preset == "released_code" else (12, 7.0)
    sizes = {
        "train_clips": clips,
        "validation_clips": 1,
        "test_clips": 1,
        "temper": 0.0,
        "seconds": seconds,
        "seed": 8,
    }
    settings = [
        part for name, value in sizes.items() for part in ("--set", f"synth_{name}={value}")
    ]
    if not (root / str(clips)).exists():
        emolib(root, "synth", "--out", str(root / str(clips)), "--quiet", *settings)
    return root / str(clips)


def emolib(root: Path, *arguments: str) -> str:
    env = {**os.environ, "EMOLIB_RUNS": str(root / "runs"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "emolib", *arguments],
        cwd=project_root(),
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize(
    ("preset", "long"),
    [
        ("released_code", False),
        pytest.param("paper", False, marks=pytest.mark.slow),
        pytest.param("paper", True, marks=pytest.mark.slow),
        pytest.param("released_code", True, marks=pytest.mark.slow),
    ],
)
def test_preset_runs_through_the_pipeline(request, place, preset, long):
    root = tree(place, preset, long)
    data = ["--data", str(root), "--weights", str(place / "weights")]
    changes = {"epochs": "2"} | ({} if long else SHORT[preset])
    full_size = "visual_encoder" not in changes
    if full_size:
        request.getfixturevalue("random_weights")
    small = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    name = f"{preset}_{'long' if long else 'small'}"
    numbers = DEFAULT_NUMBERS if long else ("04", "05", "06")
    words = ["--name", name, "--only", ",".join(numbers), "--quiet"]
    out = emolib(place, "run", "--preset", preset, *data, *small, *words)
    experiment = config.preset(
        preset,
        **config.parse_settings(",".join(f"{name}={value}" for name, value in changes.items())),
    )
    windows, seeds = experiment.window_list(), experiment.seed_list()
    run = place / "runs" / name
    summary = json.loads((run / "summary.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(summary["notebooks"]) == {
        path.stem
        for path in (project_root() / "notebooks").glob("[0-9]*.ipynb")
        if path.name[:2] in numbers
    }
    assert metrics["parameters"] == 12_863_240
    origin = "synthetic, random weights" if full_size else "synthetic"
    assert metrics["origin"] == summary["origin"] == origin
    assert origin.upper() in out and all(str(window) in out for window in windows)
    assert origin in (run / "figures" / "window_table.md").read_text()
    assert origin in (run / "figures" / "class_f1.svg").read_text()
    provenance = json.loads((run / "experiment.json").read_text())["experiment"]
    assert provenance["timing"] == ("fixed_30" if preset == "released_code" else "true")
    trained = pd.read_csv(run / "sweep" / "results.csv")
    assert sorted(zip(trained.window, trained.seed, strict=True)) == [
        (w, s) for w in windows for s in seeds
    ]
    submission = run / "submission.txt"
    emolib(place, "submit", "--run", str(run), "--out", str(submission), "--quiet")
    (template,) = (root / "names_of_videos_in_each_test_set").glob("*example.txt")
    assert (
        emolib(place, "submit", "--check", str(submission), "--template", str(template))
        .strip()
        .endswith("valid")
    )
