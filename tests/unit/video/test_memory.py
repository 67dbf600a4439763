"""Peak memory does not grow with the length of a video."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow  # of a shorter video all crops together are less than a fifth of the process
@pytest.mark.parametrize(("short", "long", "rate"), [(60, 1800, 4), (60, 1800, 25)])
def test_a_long_video_needs_no_more_memory_than_a_short_one(short, long, rate):
    """At most 1.2 times. Keeping the crops of half an hour alone would be 1.3
    times at 4 frames a second.
    """
    words = ["-m", "tests.benchmarks.predict_memory", str(short), str(long), str(rate)]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    peaks = json.loads(done.stdout)
    assert (peaks["long_frames"], peaks["long_sound"]) == (long * rate, long)
    assert peaks["short_frames"] == short * rate
    assert peaks["long"] <= 1.2 * peaks["short"], peaks
