"""``provenance.json``: which code, versions and device made a run, and on which day."""

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from typing import Any

from emolib import __version__
from emolib.system.files import project_root

PACKAGES = (
    "torch",
    "numpy",
    "open_clip_torch",
    "transformers",
    "av",
    "opencv-python-headless",
    "pandas",
)


def provenance(device: str, **more: Any) -> dict[str, Any]:
    """The day (UTC), git commit and whether the checkout was dirty (None outside a checkout),
    versions, device, threads, and ``more``.
    """
    import torch

    commit, changes = (
        _git("rev-parse", "HEAD"),
        _git("status", "--porcelain", "--untracked-files=no"),
    )
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "emolib": __version__,
        "git_commit": commit,
        "git_dirty": None if changes is None else bool(changes),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        **more,
    }


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(project_root()), *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None  # no git, or no checkout: an installed package


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
