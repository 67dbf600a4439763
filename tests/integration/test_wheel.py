"""The package is built, installed elsewhere and imported there."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_wheel_installs_in_an_empty_folder_with_its_assets(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "emolib", source / "emolib", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [
            *pip,
            "wheel",
            "--no-build-isolation",
            "--no-deps",
            "--no-index",
            "-w",
            str(tmp_path),
            str(source),
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("emolib-*.whl")
    target = tmp_path / "target"
    subprocess.run(
        [*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)],
        check=True,
    )

    probe = (
        "import emolib, emolib.config, json; print(json.dumps([emolib.__file__, "
        "emolib.config.preset('demo').preset]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
    )
    assert json.loads(done.stdout) == [str(target / "emolib" / "__init__.py"), "demo"]
    assert list(target.glob("emolib-*.dist-info/licenses/LICENSE"))
    packaged = {
        path.relative_to(target / "emolib")
        for path in (target / "emolib").rglob("*")
        if path.is_file()
    }
    written = {
        path.relative_to(ROOT / "emolib") for path in (ROOT / "emolib").rglob("*") if path.is_file()
    }
    assert {path for path in written if "__pycache__" not in path.parts} <= packaged
