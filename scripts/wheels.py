"""Collect what emolib needs and a borrowed GPU machine lacks, as wheels in build/wheels:
``make wheels``, or ``python scripts/wheels.py [--python 3.12.3]``.

Such a machine has PyTorch, pandas and what else PRESENT names, but no Jupyter and no network.
``make gpu`` there installs from this folder what that Python lacks, so nothing that it has is
shadowed. The versions are those of this environment.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from lock import closure, wanted
from packaging.requirements import Requirement

WHEELS = Path(__file__).resolve().parent.parent / "build" / "wheels"
# What is there already, with all that these need.
PRESENT = (
    "opencv-python-headless",
    "pandas",
    "pyarrow",
    "pytest",
    "pytest-timeout",
    "safetensors",
    "scikit-learn",
    "seaborn",
    "timm",
    "torch",
    "torchvision",
    "transformers",
    "typer",
)
# 10 MB that a kernel without a debugger and without completion does not import.
UNUSED = {"debugpy", "jedi"}
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def lacking() -> dict[str, str]:
    """Canonical name -> version of what notebooks need beside PRESENT."""
    needed = closure([*wanted(extras=False), Requirement("ipykernel")])
    present = closure([Requirement(name) for name in PRESENT])
    return {
        name: version
        for name, version in needed.items()
        if name not in UNUSED and name not in present
    }


def collect(python: str) -> None:
    """Fill WHEELS anew for Linux on x86-64 and ``python``, such as ``3.12.3``."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    command += [f"--dest={WHEELS}"]
    subprocess.run([*command, *map("==".join, lacking().items())], check=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="3.12.3", help="That machine's Python, in full.")
    collect(parser.parse_args().python)
    sizes = [path.stat().st_size for path in WHEELS.iterdir()]
    print(f"{WHEELS}: {len(sizes)} wheels, {sum(sizes) / 2**20:.0f} MiB")
