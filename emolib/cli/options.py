"""Options that verbs share, what they stand for, and what the shell completes."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from emolib.config import PRESETS, Experiment, check_data, parse_settings, preset
from emolib.errors import WrongCall, nearest
from emolib.pipeline.session import run_name
from emolib.system.files import runs_root
from emolib.system.runs import run_path
from emolib.system.several_devices import devices
from emolib.training.cluster import EXECUTORS

DATASETS = ("affwild2", "ravdess", "crema_d")


def run_names() -> list[str]:
    """For the shell's completion: the runs that there are."""
    return sorted(path.parent.name for path in runs_root().glob("*/experiment.json"))


def completing(names: Callable[[], Any]) -> Callable[[str], list[str]]:
    """For typer: those of ``names()`` that go on from what is typed."""
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


Preset = Annotated[
    str,
    typer.Option(
        "--preset", help=", ".join(PRESETS) + ".", autocompletion=completing(lambda: PRESETS)
    ),
]
Name = Annotated[
    str, typer.Option("--name", help="Name of the run's folder; by default the preset's.")
]
DataFolder = Annotated[
    str,
    typer.Option("--data", help="Folder of the data set; without it, the generated benchmark."),
]
Dataset = Annotated[
    str,
    typer.Option(
        "--dataset",
        help="Which data set the folder holds: affwild2, ravdess or crema_d.",
        autocompletion=completing(lambda: DATASETS),
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights", help="Folder with the encoders' weights; without it, Hugging Face's cache."
    ),
]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="key=value, a setting to change (`emolib settings` lists them); may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Run = Annotated[
    str,
    typer.Option(
        "--run",
        help="A run: its folder, or its name under runs/.",
        autocompletion=completing(run_names),
    ),
]
Executor = Annotated[
    str,
    typer.Option(
        help="local, or slurm: an array of jobs shares the work.",
        autocompletion=completing(lambda: EXECUTORS),
    ),
]
Minutes = Annotated[int, typer.Option(min=1, help="slurm: minutes that a job may take.")]
Cpus = Annotated[int, typer.Option(min=1, help="slurm: cores a job.")]
Gpus = Annotated[int, typer.Option(min=0, help="slurm: GPUs a job.")]
Devices = Annotated[
    str,
    typer.Option(help="local: share the work out among these, such as cuda:0,cuda:1."),
]
Sbatch = Annotated[
    list[str],
    typer.Option(
        "--sbatch",
        help="slurm: key=value, another option of sbatch (partition=gpu); may be repeated.",
    ),
]


def experiment_of(preset_name: str, data: str, weights: str, settings: list[str]) -> Experiment:
    """The Experiment that the shared options describe.

    Raises WrongCall for what is not there or missing.
    """
    changes: dict[str, Any] = {}
    for text in settings:
        changes |= parse_settings(text)
    if weights:
        folder("--weights", weights)
    tree = str(folder("--data", data).resolve()) if data else ""
    experiment = preset(preset_name, data=tree, weights=weights, **changes)
    check_data(experiment)
    return experiment


def folder(option: str, path: str) -> Path:
    """The folder that an option names. Raises WrongCall where there is none."""
    if not Path(path).is_dir():
        raise WrongCall(f"{option} {path}: no such folder")
    return Path(path)


def new_run(name: str, experiment: Experiment) -> Path:
    """The run folder of ``--name``, by default one of the preset and its changed settings."""
    return run_path(name or run_name(experiment))


def use_devices(names: str) -> None:
    """Share this command's work out among the devices ``names``, where there are any.

    Raises WrongCall for what torch does not know, and where no name is among ``names``.
    """
    if not names:
        return
    os.environ["EMOLIB_DEVICES"] = names
    if not devices():
        raise WrongCall(
            f"--devices {names!r}: no device is named; give names such as cuda:0,cuda:1"
        )
    os.environ["EMOLIB_DEVICE"] = devices()[0]


def resources(minutes: int, cpus: int, gpus: int, sbatch: list[str]) -> dict[str, Any]:
    """What ``cluster.submit`` takes, of the shared options.

    Raises WrongCall for an option without a value.
    """
    options: dict[str, str] = {}
    for text in sbatch:
        name, _, options[name] = text.partition("=")
        if not name or not options[name]:
            raise WrongCall(f"--sbatch {text}: must be key=value, such as partition=gpu")
    return {"minutes": minutes, "cpus": cpus, "gpus": gpus, "options": options}


def run_folder(run: str) -> Path:
    """The folder of a run given by path or by name.

    Raises WrongCall naming the runs that there are.
    """
    for folder in (Path(run), runs_root() / run):
        if (folder / "experiment.json").exists():
            return folder
    raise WrongCall(
        f"no run {run!r} here or under {runs_root()}{nearest(run, run_names())}; "
        "`emolib run` makes the demo's"
    )
