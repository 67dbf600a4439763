"""``emolib bench train``: what the loop around the model gains over a plain one, measured here.

Every ratio is a median over interleaved repeats on the same data in the same process unless it says
otherwise; a ratio counts only when the results it compares are equal.
"""

import time
from collections.abc import Iterator
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch

from emolib.bench.noise import windows_of_noise
from emolib.bench.side_by_side import device_name, plain_code
from emolib.bench.train_runs import (
    counted_encoding,
    deterministic_price,
    encoding_in_the_loop,
    resume_equal,
    workers_ratio,
)
from emolib.bench.train_steps import EQUAL_STEPS, equal_losses, graph_gain, stack_ratio, step_ratio
from emolib.config import preset
from emolib.errors import EmolibError
from emolib.system.device import device, run_threads
from emolib.system.files import write_json
from emolib.system.provenance import provenance

TOLERANCE = 1e-5  # of a loss, over EQUAL_STEPS steps


class Size(NamedTuple):
    """How much is measured on a kind of device."""

    clips: int  # of a timed epoch
    presets: tuple[str, ...]  # whose sizes of model are timed
    windows: tuple[int, ...] = (10, 60)
    models: tuple[int, ...] = (4, 8)  # stacked, at the demo's size
    steps: int = EQUAL_STEPS
    repeats: int = 5


SIZES = {"cpu": Size(8, ("demo",)), "cuda": Size(24, ("demo", "paper"))}
SMALL = Size(8, ("demo",), (10,), (2,), steps=3, repeats=1)


def run(folder: Path, *, small: bool = False) -> dict[str, Any]:
    """Measure, write ``folder``/train.json after each part, and return it.

    ``small``: only to see that it runs. Raises WrongCall outside a checkout (the plain loop is in
    tests), EmolibError where its losses are others than ours.
    """
    started, kind = time.monotonic(), torch.device(device()).type
    size = SMALL if small else SIZES.get(kind, SIZES["cpu"])
    result: dict[str, Any] = {
        "date": date.today().isoformat(),
        "small": small,
        "device_name": device_name(device()),
        "provenance": provenance(device()),
    }
    for part in parts(size, small, kind == "cuda"):
        for name, value in part.items():
            result[name] = result.get(name, {}) | value if isinstance(value, dict) else value
        result["minutes"] = (time.monotonic() - started) / 60
        result["targets"] = judged(result)
        write_json(folder / "train.json", result)
    return result


def parts(size: Size, small: bool, gpu: bool) -> Iterator[dict[str, Any]]:
    """Measure one thing after another, what matters most first."""
    plain = plain_code("plain_training")
    seeds = (42,) if small else (42, 1, 2)
    with run_threads():  # as every run trains; the plain loop gets the same
        difference = max(equal_losses(plain, size.steps, seed)[0] for seed in seeds)
        if not difference <= TOLERANCE:
            raise EmolibError(
                f"bench: losses differ by {difference:.2g} from the plain loop's; no ratio counts"
            )
        yield {"difference_of_losses": difference, "threads": torch.get_num_threads()}
        for name, window in product(size.presets, size.windows):
            experiment = preset(name, window=window)
            windows = windows_of_noise(window, size.clips)
            key = f"T={window}" if name == "demo" else f"{name}, T={window}"
            yield {"step": {key: step_ratio(plain, experiment, windows, size.repeats)}}
            for models in size.models if name == "demo" else (8,):
                ratio = stack_ratio(experiment, windows, models, min(3, size.repeats))
                yield {"sweep_ratio": {f"{key}, M={models}": ratio}}
            if gpu:
                yield {"graph": {key: graph_gain(experiment, windows)}}
    yield {"resume_equal": resume_equal()}
    if not small:
        yield {"ablation_ratio": {"counted": counted_encoding()}}
        yield {"workers_ratio": {f"T={window}": workers_ratio(window) for window in size.windows}}
        with run_threads():
            yield {"deterministic_price": deterministic_price()}
        yield {"ablation_ratio": {"measured": encoding_in_the_loop()}}


def judged(result: dict[str, Any]) -> dict[str, str]:
    """What has been measured so far against what is wanted.

    At least as fast as the plain loop; 8 stacked runs on a GPU at least 3 times as fast as one
    after another; equal bits where bits are to be equal.
    """
    verdicts = {}
    for key, step in result.get("step", {}).items():
        verdicts[f"step_ratio, {key}"] = _verdict(step["step_ratio"], 1.0)
    for key, ratio in result.get("sweep_ratio", {}).items():
        if "graph" in result and "M=8" in key and "paper" not in key:
            verdicts[f"sweep_ratio, {key}"] = _verdict(ratio, 3.0)
    for key, graph in result.get("graph", {}).items():
        verdicts[f"same_bits, {key}"] = "met" if graph["same_bits"] else "missed"
    if "resume_equal" in result:
        verdicts["resume_equal"] = "met" if result["resume_equal"] else "missed"
    return verdicts


def _verdict(measured: float, wanted: float) -> str:
    word = "met" if measured >= wanted else "missed"
    return f"{measured:.2f}, target {wanted:g}: {word}"


def table(result: dict[str, Any]) -> str:
    """The result for people: one line a figure, nested names joined by a colon."""

    def lines(prefix: str, value: Any) -> list[str]:
        if isinstance(value, dict):
            return [
                line
                for key, inner in value.items()
                for line in lines(f"{prefix}{key}: " if prefix else f"{key}: ", inner)
            ]
        return [f"{prefix}{value:.3g}" if isinstance(value, float) else f"{prefix}{value}"]

    return "\n".join(
        lines("", {key: value for key, value in result.items() if key != "provenance"})
    )
