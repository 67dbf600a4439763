"""Headless Chromium of Debian's packages, driven by selenium;
everything here is skipped, with a reason, without them.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from emolib.system.files import project_root, runs_root

FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-device-scale-factor=1",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A Chromium that keeps its console and its requests in its logs."""
    programs = [
        shutil.which("chromium") or shutil.which("chromium-browser"),
        shutil.which("chromedriver"),
    ]
    if not all(programs):
        pytest.skip(
            "no Chromium with its driver here (Debian: apt-get install chromium chromium-driver)"
        )
    if importlib.util.find_spec("selenium") is None:
        pytest.skip("no selenium here (the `test` extra)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    options.unhandled_prompt_behavior = "accept"  # of JupyterLab: leave without saving
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    profile = f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"
    sandbox = ["--no-sandbox"] if os.getuid() == 0 else []
    for flag in (*FLAGS, profile, *sandbox):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs[1]))
    driver.set_script_timeout(600)  # axe-core on a machine that is busy
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def demo() -> Path:
    """The finished demo run, the user's own ``runs/demo``: at once when it is there."""
    command = [sys.executable, "-m", "emolib", "run", "--preset", "demo", "--quiet"]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return runs_root() / "demo"


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of what was tested are kept, to be looked at."""
    folder = runs_root() / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
