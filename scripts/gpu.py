"""Everything that needs a GPU, in at most eight minutes:
``make gpu``, or ``python scripts/gpu.py [--out FOLDER]``.

The GPU tests, then ``bench train``, ``bench extract``, ``bench paper`` at a fiftieth of the data
set's size, and the demo's notebooks by papermill: what matters most comes first. Each part is under
a time limit, so that the next one still runs, and each writes its file as it goes: tests.txt,
train.json, extract.json, paper.json and notebooks.json in figures/bench/<device>. Without a GPU the
same parts run at a small size into runs/bench/small: that shows that they run, and its figures say
nothing.

Needs no network, only a Python with torch and what scripts/wheels.py expects to be there. What else
the package and its notebooks need is installed from build/wheels, where ``make wheels`` has put it,
into build/site. Only what this Python lacks is installed, so that nothing that it has is shadowed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
WHEELS, SITE = ROOT / "build" / "wheels", ROOT / "build" / "site"
BENCH = """
import sys
from pathlib import Path
from emolib.bench import {what} as bench
print(bench.table(bench.run(Path(sys.argv[1]), small={small}{more})))
"""
NOTEBOOKS = """
import sys
from pathlib import Path
from emolib.config import parse_settings, preset
from emolib.pipeline.run import run
from emolib.system.files import write_json
from tests.support.small import SMALL
experiment = preset("demo", **parse_settings(SMALL if {small} else ""))
write_json(Path(sys.argv[1]) / "notebooks.json", run(experiment))
"""


class Part(NamedTuple):
    """One step: its name, what Python runs, and the seconds it may take."""

    name: str
    arguments: list[str]
    limit: float


def parts(out: Path, small: bool) -> list[Part]:
    """The parts; their limits add up to eight minutes."""
    marked = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests" / "unit").rglob("test_*.py"))
        if "mark.gpu" in path.read_text(encoding="utf-8")
    ]
    options = ["-m", "gpu", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    return [
        *installation(),
        Part("tests", ["-m", "pytest", *options, *marked], 60),
        *(
            Part(what, ["-c", BENCH.format(what=what, small=small, more=more), str(out)], limit)
            for what, limit, more in (
                ("train", 100, ""),
                ("extract", 110, ""),
                ("paper", 80, f", scale={0.002 if small else 0.02}"),
            )
        ),
        Part("notebooks", ["-c", NOTEBOOKS.format(small=small), str(out)], 110),
    ]


def installation() -> list[Part]:
    """What installs the wheels that this Python lacks; nothing where it has all."""
    lacking = [str(path) for path in sorted(WHEELS.glob("*.whl")) if not _is_installed(path)]
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
    options += [f"--target={SITE}"]
    return [Part("wheels", ["-m", "pip", "install", *options, *lacking], 20)] if lacking else []


def _is_installed(wheel: Path) -> bool:
    """Whether this Python has the distribution of ``wheel``, in whatever version."""
    try:
        distribution(wheel.name.split("-")[0])
    except PackageNotFoundError:
        return False
    return True


def run(part: Part, out: Path) -> str:
    """Run ``part``, its output in ``out``/<name>.txt; empty, or what went wrong.

    Ends what it started at the limit.
    """
    log = out / f"{part.name}.txt"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{SITE}", "PYTHONUNBUFFERED": "1"}
    with log.open("w", encoding="utf-8") as text:
        print(f"{datetime.now():%Y-%m-%d %H:%M} {sys.executable}", file=text, flush=True)
        process = subprocess.Popen(
            [sys.executable, *part.arguments],
            cwd=ROOT,
            env=environment,
            stdout=text,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=part.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"not done after {part.limit:.0f} s; see {log}"
    return f"failed (exit code {code}); see {log}" if code else ""


def say(line: str) -> None:
    print(f"gpu: {line}", file=sys.stderr, flush=True)


def main(out: Path | None) -> int:
    """Run all parts, whatever becomes of each; 1 when one failed."""
    import torch

    small = not torch.cuda.is_available()
    name = "" if small else re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name().lower())
    if small:
        say("no GPU here: the same parts on the CPU at a small size, whose figures say nothing")
    out = (out or ROOT / ("runs/bench/small" if small else f"figures/bench/{name}")).resolve()
    out.mkdir(parents=True, exist_ok=True)
    say(f"writing into {out}")
    failed = False
    for part in parts(out, small):
        say(f"{part.name}, at most {part.limit:.0f} s")
        started = time.monotonic()
        wrong = run(part, out)
        say(f"{part.name}: {wrong or 'done'} ({time.monotonic() - started:.0f} s)")
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="Folder for the results.")
    sys.exit(main(parser.parse_args().out))
