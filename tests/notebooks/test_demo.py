"""The promise of `make demo`: the pipeline on the generated benchmark, its known answers,
and what stopping it does.

The run is the user's own, ``runs/demo``: what is finished there is not repeated.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emolib.pipeline.run import LONG_NUMBERS
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
            assert row["macro_f1"] <= row["ceiling"] + (high - low) / 2


def test_sixty_frames_beat_ten_by_more_than_the_seeds_spread(demo):
    import pandas as pd

    table = pd.read_csv(runs_root() / "demo" / "sweep" / "results.csv")
    scores = {window: group["frame_macro_f1"] for window, group in table.groupby("window")}
    assert set(scores) == {10, 15, 30, 60} and all(len(group) == 3 for group in scores.values())
    assert scores[60].min() > scores[10].max()
    assert scores[60].mean() - scores[10].mean() > max(
        scores[60].max() - scores[60].min(), scores[10].max() - scores[10].min()
    )


def tracked_state() -> str:
    """What git sees as changed in the checkout."""
    done = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip("no git checkout here")
    return done.stdout


def test_again_is_quick_and_the_checkout_stays_as_it_is(demo):
    before, started = tracked_state(), time.monotonic()
    finished("run", "--preset", "demo", "--quiet")
    assert time.monotonic() - started < 30
    assert tracked_state() == before


def test_a_whole_run_changes_nothing_outside_runs(tmp_path):
    before = tracked_state()
    short_run(tmp_path).communicate()
    assert (tmp_path / "short" / "metrics.json").is_file()
    assert tracked_state() == before


def test_committed_notebooks_run_under_nbval(demo):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval-lax",
        "--nbval-cell-timeout=600",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "-q",
    ]
    # The long ones train many variants over three seeds;
    # test_ablations runs them small, `make notebooks` at full size.
    paths = [
        str(path)
        for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
        if path.name[:2] not in LONG_NUMBERS
    ]
    assert len(paths) >= 6
    done = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True)
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


def short_run(runs: Path, **options) -> subprocess.Popen:
    return emolib(
        "run",
        "--preset",
        "demo",
        "--name",
        "short",
        "--only",
        "04",
        "--set",
        SHORT,
        "--quiet",
        runs=runs,
        **options,
    )


def test_killed_at_any_moment_it_resumes_to_the_same_bits(tmp_path):
    undisturbed = tmp_path / "undisturbed"
    started = time.monotonic()
    process = short_run(undisturbed)
    assert process.communicate() and process.returncode == 0
    whole = time.monotonic() - started
    disturbed, moments = tmp_path / "disturbed", random.Random(0)
    kills = 0
    for share in sorted(
        moments.uniform(0.1, 0.7) for _ in range(6)
    ):  # early first: what a run has done, the next need not do
        process = short_run(disturbed, start_new_session=True)
        time.sleep(share * whole)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)  # the process alone: its kernel has to notice
            kills += 1
        process.communicate()
    process = short_run(disturbed)
    assert process.communicate() and process.returncode == 0
    assert kills >= 2
    for name in ("metrics.json", "history.csv", "model.safetensors"):
        assert (disturbed / "short" / name).read_bytes() == (
            undisturbed / "short" / name
        ).read_bytes(), name
