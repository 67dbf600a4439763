"""Work measured in turns on the same machine, and the plain loops in
``tests/benchmarks`` that it is compared with.
"""

import importlib.util
import os
import statistics
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from tqdm.auto import tqdm

from emolib.errors import WrongCall
from emolib.system.files import project_root


def plain_code(name: str) -> ModuleType:
    """``tests/benchmarks/<name>.py`` of the checkout as a module. Raises WrongCall outside one."""
    path = project_root() / "tests" / "benchmarks" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or specification is None or specification.loader is None:
        raise WrongCall(f"{path}: not found; emolib bench runs in a checkout of the project")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def device_name(place: str) -> str:
    """What ``place`` is: the GPU's own name, or how many cores."""
    kind = torch.device(place).type
    return torch.cuda.get_device_name(place) if kind == "cuda" else f"{os.cpu_count()} {kind} cores"


def interleaved(
    work: dict[str, Callable[[], Any]], repeats: int, budget: float = 600.0
) -> dict[str, float]:
    """Median seconds of each call, taken in turns after one round to warm up,
    so that all see the same machine.

    No round begins after ``budget`` seconds but the first that counts:
    a slow machine repeats less often.
    """
    times: dict[str, list[float]] = {name: [] for name in work}
    started = time.monotonic()
    for turn in tqdm(range(repeats + 1), desc=", ".join(work)[:40], unit="round", leave=False):
        if turn > 1 and time.monotonic() - started > budget:
            break
        for name, call in work.items():
            begin = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}
