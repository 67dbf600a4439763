"""The generated benchmark made by processes: one that is killed, and one without a main guard."""

import os
import subprocess
import sys
import time
from pathlib import Path

import emolib
from emolib.data import synthetic

LIMIT = 300  # seconds on a busy machine; a few on a quiet one
GENERATE = """
import sys
from pathlib import Path
from emolib.config import preset
from emolib.data import synthetic
if __name__ == "__main__":
    synthetic.write_tree(preset("demo"), Path(sys.argv[1]), progress=False)
"""
WITHOUT_GUARD = """
from emolib.config import preset
from emolib.data.synthetic import ensure
ensure(preset("demo"), progress=False)
"""


def start(code: str, tmp_path: Path, *arguments: str) -> subprocess.Popen:
    """A script of ``code`` with this package."""
    script = tmp_path / "script.py"
    script.write_text(code)
    package = str(Path(emolib.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": package, "EMOLIB_RUNS": str(tmp_path / "runs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_generator_leaves_no_process_behind(tmp_path):
    process = start(GENERATE, tmp_path, str(tmp_path / "tree"))
    deadline = time.monotonic() + LIMIT
    try:
        while not (tmp_path / "tree" / "cropped_aligned").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.kill()
    process.communicate(timeout=20)  # its pipes end with the last process that holds them
    assert not synthetic.is_synthetic(tmp_path / "tree")


def test_a_script_without_a_main_guard_ends_with_what_to_do(tmp_path):
    process = start(WITHOUT_GUARD, tmp_path)
    try:
        _, said = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 1
    assert 'put the script\'s own lines under `if __name__ == "__main__":`' in said
