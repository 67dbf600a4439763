"""Another system: code is run where fcntl, sched_getaffinity and prctl do not exist."""

import os
import subprocess
import sys
from pathlib import Path

import emolib

# Run before anything else: what other systems lack is gone.
HIDE = """
import ctypes, importlib.abc, os, signal, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "fcntl":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
sys.modules.pop("fcntl", None)
del os.sched_getaffinity
class NoPrctl(ctypes.CDLL):
    def __getattr__(self, name):
        if name == "prctl":
            raise AttributeError(name)
        return super().__getattr__(name)
ctypes.CDLL = NoPrctl
"""


def python(code: str, cwd: Path, **env: str) -> str:
    """Standard output of ``code`` where those functions are hidden."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HIDE + code],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(emolib.__file__).parents[1]), **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
