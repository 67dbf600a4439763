"""The commands of docs/affwild2.md as they stand, from a tree to a checked submission."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from emolib.system.files import project_root

ROOT = project_root()


@pytest.fixture(scope="module")
def place(module_path) -> Path:
    """A copy of the checkout, as far as a run needs it,
    and a small tree in Aff-Wild2's layout beside it.
    """
    root = module_path
    hidden = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("emolib", "notebooks"):
        shutil.copytree(ROOT / name, root / "checkout" / name, ignore=hidden)
    clips = [
        "synth_train_clips=8",
        "synth_validation_clips=3",
        "synth_test_clips=1",
        "synth_seconds=3.0",
    ]
    words = [
        "synth",
        "--out",
        str(root / "Aff-Wild2"),
        "--quiet",
        *(word for clip in clips for word in ("--set", clip)),
    ]
    subprocess.run(
        [sys.executable, "-m", "emolib", *words],
        cwd=root / "checkout",
        check=True,
        capture_output=True,
    )
    (root / "weights").mkdir()
    return root


# The page's commands as they stand; only what is slow is replaced:
# the demo's encoders, one epoch, one seed, one window, and of the notebooks those that train.
SHIM = """
    #!/bin/sh
    case "$1" in
        run | extract) set -- "$@" --quiet --set epochs=1 --set seeds=42 --set width=32 \\
            --set visual_encoder=synthetic --set audio_encoder=synthetic --set frame_stride=30 \\
            --set window=15 --set windows=15 --set batch_size=8 --set class_weights=none ;;
    esac
    case "$1" in  # changed settings would give the run a name of its own
        run) set -- "$@" --only 04,05 --name paper ;;
    esac
    exec "{python}" -m emolib "$@"
"""


@pytest.mark.timeout(1800)
def test_from_download_to_submission(place):
    page = (ROOT / "docs" / "affwild2.md").read_text(encoding="utf-8")
    block = re.findall(r"```bash\n(.*?)```", page.split("\n## Commands", 1)[1], re.DOTALL)[0]
    lines = [line for line in block.splitlines() if line.startswith("emolib ")]
    verbs = [shlex.split(line, comments=True)[1] for line in lines]
    assert verbs == ["doctor", "extract", "run", "report", "submit", "submit"]
    shim = place / "bin" / "emolib"
    shim.parent.mkdir()
    shim.write_text(textwrap.dedent(SHIM).lstrip().format(python=sys.executable))
    shim.chmod(0o755)
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("EMOLIB_RUNS", "PYTHONPATH")
    }
    env |= {
        "PATH": f"{shim.parent}:{env['PATH']}",
        "TREE": str(place / "Aff-Wild2"),
        "WEIGHTS": str(place / "weights"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        ["bash", "-euc", block], cwd=place / "checkout", env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "Ready for training." in done.stdout and "valid" in done.stdout.splitlines()[-1]
    run = place / "checkout" / "runs" / "paper"
    assert (run / "report.html").stat().st_size > 100_000
    assert (run / "figures" / "window_table.md").is_file()
    assert not (place / "checkout" / "figures").exists(), "a run writes into runs/ only"
    template = next((place / "Aff-Wild2" / "names_of_videos_in_each_test_set").glob("*example.txt"))
    rows = [
        (place / "checkout" / "submission.txt").read_text().splitlines(),
        template.read_text().splitlines(),
    ]
    assert len(rows[0]) == len(rows[1]) > 40 and rows[0][0].startswith("image_location,Neutral")
