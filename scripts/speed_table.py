"""What `emolib bench` measured on the machines of figures/bench/,
as one table: ``python scripts/speed_table.py``.

``figures/bench/<machine>/train.json`` and ``extract.json`` are copies of what the command wrote
there into runs/bench; a dash stands where it was not run, or has no such figure.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from emolib.results.tables import number, write
from emolib.system.files import project_root, read_json

NAMES = {"cpu": "2 CPU cores (Zen 5)", "h100": "NVIDIA H100"}  # others have their own in the file
ROWS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("training step, 10 frames", "train", lambda r: r["step"]["T=10"]["step_ratio"]),
    ("training step, 60 frames", "train", lambda r: r["step"]["T=60"]["step_ratio"]),
    (
        "training step at the paper's size, 60 frames",
        "train",
        lambda r: r["step"]["paper, T=60"]["step_ratio"],
    ),
    (
        "8 runs stacked, 60 frames, against one after another",
        "train",
        lambda r: r["sweep_ratio"]["T=60, M=8"],
    ),
    (
        "2 runs on 2 cores at once, against one after another on both",
        "train",
        lambda r: r["workers_ratio"]["T=60"],
    ),
    (
        "frames encoded in the paper's window ablation, counted",
        "train",
        lambda r: r["ablation_ratio"]["counted"],
    ),
    ("reading and resizing face crops", "extract", lambda r: r["ingest_ratio"]),
    ("faces through CLIP ViT-B/32", "extract", lambda r: r["extract_ratio"]),
    ("sound through Wav2Vec 2.0 base", "extract", lambda r: r["audio_ratio"]),
)


def figure(folder: Path, what: str, read: Callable[[Any], Any]) -> str:
    """One cell."""
    path = folder / f"{what}.json"
    try:
        value = read(read_json(path)) if path.is_file() else None
    except KeyError:  # measured at other sizes there
        value = None
    return number(value, 0 if value and value > 100 else 1)


def machines(folder: Path) -> dict[str, str]:
    """The folders in ``folder`` that hold results at full size, and what each machine is called."""
    names: dict[str, str] = {}
    for path in sorted(folder.glob("*/*.json")):
        result = read_json(path)
        if not result.get("small", False):
            machine = path.parent.name
            names[machine] = NAMES.get(machine) or result.get("device_name", machine)
    return names


def main(folder: Path) -> None:
    """Write speed.csv, .md and .tex into ``folder``."""
    table = pd.DataFrame(
        {"Times faster than a plain loop on the same machine": [name for name, _, _ in ROWS]}
    )
    for machine, name in machines(folder).items():
        table[name] = [figure(folder / machine, what, read) for _, what, read in ROWS]
    write(
        table,
        "speed",
        folder,
        caption="Measured side by side in one run of `emolib bench`, medians",
    )


if __name__ == "__main__":
    main(project_root() / "figures" / "bench")
    sys.exit(0)
