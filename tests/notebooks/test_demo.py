"""The promise of `make demo`: the pipeline on the generated benchmark, its known answers,
and what stopping it does.

The run is the user's own, ``runs/demo``: what is finished there is not repeated.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from emolib.pipeline.run import DEFAULT_NUMBERS, LONG_NUMBERS
from emolib.results.tables import latex
from emolib.system.files import project_root, runs_root
from tests.support.spoken import contradictions, spoken
from tests.unit.results.test_latex import needs_tex, overfull

ROOT = project_root()
pytestmark = pytest.mark.timeout(2400)


def emolib(*arguments: str, runs: Path | None = None, **options) -> subprocess.Popen:
    """The command line in a process group of its own."""
    env = {**os.environ, **({"EMOLIB_RUNS": str(runs)} if runs else {})}
    command = [sys.executable, "-m", "emolib", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def finished(*arguments: str, runs: Path | None = None) -> str:
    process = emolib(*arguments, runs=runs)
    out, err = process.communicate()
    assert process.returncode == 0, err[-3000:]
    return out


@pytest.fixture(scope="module")
def demo() -> dict:
    out = finished("run", "--preset", "demo", "--quiet", "--json")
    return json.loads(out[out.index("{") :])


def rows(summary: dict, protocol: str) -> dict[int, dict]:
    return {row["window"]: row for row in summary["window_table"] if row["protocol"] == protocol}


# What the pitch's level may add to a ceiling at most (docs/benchmark.md, Ceilings).
OF_THE_LEVEL = 0.007


def test_motion_and_voice_are_both_used_and_no_ceiling_is_passed(demo):
    frame = rows(demo, "frame")
    still_and_voice = max(
        r["macro_f1"]
        for r in demo["ceilings"]
        if (r["inputs"], r["protocol"]) == ("still+voice", "frame")
    )
    assert 0.87 < still_and_voice < frame[60]["macro_f1"]
    assert (
        json.loads((runs_root() / "demo" / "metrics.json").read_text())["frame"]["macro_f1"]
        > still_and_voice
    )
    for protocol in ("frame", "window"):
        for row in rows(demo, protocol).values():
            low, high = row["interval"]
            assert row["macro_f1"] <= row["ceiling"] + OF_THE_LEVEL + (high - low) / 2


def test_every_window_length_has_a_checked_submission_with_a_score(demo):
    record = demo["notebooks"]["05_window_ablation"]["metrics"]
    assert record["submissions_checked"] == len(demo["test_table"]) == len(rows(demo, "frame"))
    assert all(0 <= row["accuracy"] <= 1 for row in demo["test_table"])


def test_sixty_frames_beat_ten_by_more_than_the_seeds_spread(demo):
    import pandas as pd

    table = pd.read_csv(runs_root() / "demo" / "sweep" / "results.csv")
    scores = {window: group["frame_macro_f1"] for window, group in table.groupby("window")}
    assert set(scores) == {10, 15, 30, 60} and all(len(group) == 3 for group in scores.values())
    assert scores[60].min() > scores[10].max()
    assert scores[60].mean() - scores[10].mean() > max(
        scores[60].max() - scores[60].min(), scores[10].max() - scores[10].min()
    )


def tracked_state() -> str | None:
    """What git sees as changed in the checkout; None where there is no git checkout."""
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout if done.returncode == 0 else None


def test_again_is_quick_and_the_checkout_stays_as_it_is(demo):
    before, started = tracked_state(), time.monotonic()
    finished("run", "--preset", "demo", "--quiet")
    assert time.monotonic() - started < 60, "what is finished was done again"
    assert tracked_state() == before


def test_what_the_pipeline_leaves_out_runs_under_nbval(demo):
    """The notebook on a video of one's own, and that on real people, here without recordings;
    the long ones run small in test_ablations and at full size by `make notebooks`.
    """
    numbers = (*DEFAULT_NUMBERS, *LONG_NUMBERS)
    notebooks = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    left_out = [str(path) for path in notebooks if path.name[:2] not in numbers]
    assert [Path(path).name[:2] for path in left_out] == ["08", "12"]
    options = ["--nbval-lax", "--nbval-cell-timeout=600", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-o", "addopts=", "-q", *left_out],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]


def test_what_the_notebooks_say_is_what_the_summary_holds(demo):
    executed = runs_root() / "demo" / "notebooks"
    assert {"03", "04", "05", "06"} <= set(spoken(demo))
    assert contradictions(demo, executed) == []


@needs_tex
def test_no_table_of_the_demo_sticks_out_of_its_column(demo, tmp_path):
    import pandas as pd

    paths = sorted((runs_root() / "demo" / "figures").glob("*.csv"))
    assert len(paths) >= 10
    tables = {path.stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in paths}
    body = "\n".join(latex(table, name, name) for name, table in tables.items())
    assert overfull(body + r"\clearpage", tmp_path) == []


SHORT = (
    "synth_train_clips=24,synth_validation_clips=10,synth_test_clips=0,"
    "window=10,epochs=4,frame_stride=15"
)


def short_run(runs: Path) -> subprocess.Popen:
    """Notebook 04 on a small benchmark, everything that it needs included."""
    words = ["run", "--preset", "demo", "--name", "short", "--only", "04", "--set", SHORT]
    return emolib(*words, "--quiet", runs=runs, start_new_session=True)


def completed(process: subprocess.Popen) -> None:
    _, err = process.communicate()
    assert process.returncode == 0, err[-3000:]


@pytest.fixture(scope="module")
def undisturbed(module_path) -> Path:
    """Where a short run is that nobody has stopped; it changes nothing elsewhere."""
    before = tracked_state()
    completed(short_run(module_path))
    assert tracked_state() == before
    return module_path


MOMENTS = {  # what has just appeared when a run is killed, the earliest first
    "pictures": "cache/synthetic/.*/cropped_aligned/*",
    "features": "cache/features/*/*.safetensors",
    "an epoch": "short/state.pt",
}


def kill_when(runs: Path, is_there: Callable[[], bool], *, children: bool = False) -> None:
    """Start a short run and kill it as soon as ``is_there``.

    The process alone, whose kernel has to notice, or its ``children`` with it.
    """
    process = short_run(runs)
    while process.poll() is None and not is_there():
        time.sleep(0.02)
    if process.poll() is None:
        (os.killpg if children else os.kill)(process.pid, signal.SIGKILL)
    _, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"it ended before it was killed: {err[-3000:]}"


def files_but_pictures(runs: Path) -> int:
    return sum("cropped_aligned" not in path.parts for path in runs.rglob("*.*"))


def assert_same_bits(runs: Path, expected: Path) -> None:
    for name in ("metrics.json", "history.csv", "model.safetensors"):
        assert (runs / "short" / name).read_bytes() == (expected / "short" / name).read_bytes(), (
            name
        )


@pytest.mark.parametrize(
    "moments", [("an epoch",), pytest.param(tuple(MOMENTS), marks=pytest.mark.slow)], ids=len
)
def test_killed_it_resumes_to_the_same_bits(undisturbed, tmp_path, moments):
    """At one moment, where a kernel trains; in the long form at three, one after the other.
    Tests of the generator and of the store kill those, without a kernel.
    """
    for moment in moments:
        kill_when(tmp_path, lambda moment=moment: any(tmp_path.glob(MOMENTS[moment])))
    assert not (tmp_path / "short" / "metrics.json").exists()
    completed(short_run(tmp_path))
    assert_same_bits(tmp_path, undisturbed)


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_resumes_to_the_same_bits(undisturbed, tmp_path):
    """A moment is when so many more files are there, so that a busy machine changes nothing."""
    most = files_but_pictures(undisturbed) // 10
    for number, more in enumerate(np.random.default_rng(19).integers(1, most, 10)):
        goal = files_but_pictures(tmp_path) + more
        kill_when(
            tmp_path,
            lambda goal=goal: files_but_pictures(tmp_path) >= goal,
            children=bool(number % 2),
        )
        print(f"{number + 1} kills, the last at {files_but_pictures(tmp_path)} files", flush=True)
    completed(short_run(tmp_path))
    assert_same_bits(tmp_path, undisturbed)
