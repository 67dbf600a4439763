"""scripts/gpu.py: every part has its time and its file, whatever becomes of the others."""

import subprocess
import sys
import time

import gpu
import pytest

from emolib.system.files import project_root, read_json


def test_limits_add_up_to_eight_minutes(tmp_path):
    assert sum(part.limit for part in gpu.parts(tmp_path, small=False)) <= 480


def test_a_part_that_hangs_or_fails_leaves_time_and_room_for_the_next(
    tmp_path, monkeypatch, capsys
):
    child = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; "
        "time.sleep(60)'])"
    )
    chosen = [
        gpu.Part("hangs", ["-c", child], 1.0),
        gpu.Part("fails", ["-c", "print('half'); raise SystemExit(3)"], 60.0),
        gpu.Part("works", ["-c", "import emolib; print(emolib.__file__)"], 60.0),
    ]
    monkeypatch.setattr(gpu, "parts", lambda out, small: chosen)
    started = time.monotonic()
    assert gpu.main(tmp_path) == 1
    assert time.monotonic() - started < 45  # the child that sleeps is ended, too
    told = capsys.readouterr().err
    assert "hangs: not done after 1 s" in told and "fails: failed (exit code 3)" in told
    assert "works: done" in told
    assert "half" in (tmp_path / "fails.txt").read_text()
    assert str(project_root() / "emolib") in (tmp_path / "works.txt").read_text()
    assert (tmp_path / "works.txt").read_text().startswith("20")  # the date


@pytest.mark.slow
def test_make_gpu_runs_small_without_a_gpu(tmp_path):
    """The whole script as it is called, with this Python and without making .venv."""
    command = ["make", "gpu", f"PYTHON={sys.executable}", f"OUT={tmp_path}"]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no GPU here" in done.stderr
    assert read_json(tmp_path / "extract.json")["small"] is True
    assert read_json(tmp_path / "train.json")["small"] is True
    assert "skipped" in (tmp_path / "tests.txt").read_text()
