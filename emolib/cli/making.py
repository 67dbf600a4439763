"""Verbs that make something: run, synth, crop, extract, train, sweep."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from emolib.cli.command import output, verb
from emolib.cli.options import (
    Cpus,
    DataFolder,
    Dataset,
    Devices,
    Executor,
    Gpus,
    Json,
    Minutes,
    Name,
    Preset,
    Quiet,
    Sbatch,
    Settings,
    Weights,
    experiment_of,
    folder,
    new_run,
    resources,
    use_devices,
)
from emolib.config import parse_settings
from emolib.config import preset as preset_of
from emolib.config.setting import integers
from emolib.system.files import runs_root


@verb(
    "emolib run\nemolib run --only 05,06\nemolib run --preset paper --data DIR\nemolib run --set "
    "epochs=3 --name short"
)
def run(
    preset: Preset = "demo",
    name: Name = "",
    data: DataFolder = "",
    weights: Weights = "",
    set_: Settings = [],
    only: Annotated[str, typer.Option(help="Notebooks to run, by number: 05,06.")] = "",
    time_limit: Annotated[
        float, typer.Option(help="Seconds that one notebook may take.")
    ] = 86_400.0,
    devices: Devices = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the notebooks, the sweep last, resuming where an earlier run stopped;
    then print the window table beside the paper's.
    """
    from emolib.pipeline import run as pipeline
    from emolib.pipeline.summary import window_text

    use_devices(devices)
    experiment = experiment_of(preset, data, weights, set_)
    summary = pipeline.run(
        experiment, name, only=only or None, time_limit=time_limit, progress=not quiet
    )
    output(summary, as_json, window_text(summary))


@verb("emolib synth\nemolib synth --out TREE --odd --set synth_train_clips=20")
def synth(
    out: Annotated[
        Path | None,
        typer.Option(help="An empty or new folder to write into; without it, the cache."),
    ] = None,
    odd: Annotated[
        bool,
        typer.Option("--odd", help="Plant every oddity of the real tree; planted.json lists them."),
    ] = False,
    preset: Preset = "demo",
    set_: Settings = [],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Generate the benchmark with known answers, in the exact Aff-Wild2 tree;
    what is there is not made again.
    """
    from emolib.data import synthetic

    changes: dict[str, Any] = {"synth_odd": True} if odd else {}
    for text in set_:
        changes |= parse_settings(text)
    experiment = preset_of(preset, **changes)
    if out:
        synthetic.export_tree(experiment, out, progress=not quiet)
    root = out or synthetic.ensure(experiment, progress=not quiet)
    output({"root": str(root), "ceilings": synthetic.ceilings(root)}, as_json, str(root))


@verb(
    "emolib crop --dataset ravdess --data DIR\n"
    "emolib crop --dataset crema_d --data DIR --detector FILE"
)
def crop(
    dataset: Dataset,
    data: DataFolder,
    crops: Annotated[str, typer.Option(help="cropped_aligned or cropped.")] = "cropped_aligned",
    detector: Annotated[
        Path | None,
        typer.Option(help="The YuNet face detector (.onnx); without it, Hugging Face's cache."),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find the faces in the videos of acted recordings and cut them out, once, into the data's
    folder; a stopped call goes on where it was.
    """
    from emolib.video.crop_recordings import crop_recordings

    tree = str(folder("--data", data).resolve())
    experiment = preset_of("paper", data=tree, dataset=dataset, crops=crops)
    result = crop_recordings(experiment, detector, progress=not quiet)
    output(asdict(result), as_json, result.text())


@verb(
    "emolib extract --verify\nemolib extract --preset paper --data DIR "
    "--weights DIR --executor slurm --jobs 8"
)
def extract(
    preset: Preset = "demo",
    data: DataFolder = "",
    weights: Weights = "",
    set_: Settings = [],
    splits: Annotated[
        str, typer.Option(help="Which splits, with commas between them.")
    ] = "train,validation",
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Re-hash what is stored; a damaged file is named and made again."
        ),
    ] = False,
    executor: Executor = "local",
    jobs: Annotated[int, typer.Option(min=1, help="slurm: number of jobs.")] = 4,
    minutes: Minutes = 24 * 60,
    cpus: Cpus = 2,
    gpus: Gpus = 0,
    devices: Devices = "",
    sbatch: Sbatch = [],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute the features of faces, sound and prompts that the feature store lacks.

    The sound of validation and test frames is stored too, unless it takes too much of a disk:
    it is then encoded when it is needed.
    """
    from emolib.features import extraction as features
    from emolib.features import prepare as inputs
    from emolib.features.shared_out import store_features
    from emolib.training import cluster

    cluster.check_executor(executor)
    use_devices(devices)
    slurm = resources(minutes, cpus, gpus, sbatch)
    experiment = experiment_of(preset, data, weights, set_)
    result: dict[str, Any] = {}
    if verify:
        result["verified"], result["damaged"] = features.verify(experiment)
    clips = inputs.clips_of(experiment, tuple(splits.split(",")), progress=not quiet)
    if executor == "slurm":
        # Each job is this very call: jobs claim clips, so that no clip is done twice.
        words = ["--preset", preset, "--splits", splits, "--quiet"]
        words += (
            [f"--data={data}"] * bool(data)
            + [f"--weights={weights}"] * bool(weights)
            + [f"--set={text}" for text in set_]
        )
        cluster.run_array(
            [cluster.emolib_command("extract", *words)] * jobs, runs_root() / "slurm", **slurm
        )
    report = store_features(experiment, clips, progress=not quiet)
    result |= {"clips": len(clips), "computed": report.clips, "seconds": round(report.seconds, 1)}
    text = "".join(f"damaged, made again: {path}\n" for path in result.get("damaged", []))
    result["rates"] = report.lines()
    text += f"features of {len(clips)} clips are in the store, {report.clips} files computed now"
    output(result, as_json, "\n".join([text, *result["rates"]]))


@verb(
    "emolib train --name mine --set window=30\nemolib train --preset paper "
    "--data DIR --name paper_30"
)
def train(
    preset: Preset = "demo",
    name: Name = "",
    data: DataFolder = "",
    weights: Weights = "",
    set_: Settings = [],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train and evaluate one run; a stopped one goes on to the same bits,
    a complete one is only shown.
    """
    from emolib.results.score_lines import score_lines
    from emolib.training import run as training

    experiment = experiment_of(preset, data, weights, set_)
    place = new_run(name, experiment)
    result = training.run(experiment, place, progress=not quiet)
    output(result, as_json, score_lines(experiment, result) + f"\n{place}")


@verb(
    "emolib sweep --grid window=10,15,30,60 seed=42,43,44\nemolib sweep --grid "
    "contrastive_weight=0,0.1 --executor slurm",
)
def sweep(
    grid: Annotated[
        list[str], typer.Option(help="key=value,value: a setting and its values; may be repeated.")
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE,VALUE]...", help="More settings of the grid."),
    ] = None,
    preset: Preset = "demo",
    name: Name = "",
    data: DataFolder = "",
    weights: Weights = "",
    set_: Settings = [],
    executor: Executor = "local",
    jobs: Annotated[int, typer.Option(min=1, help="slurm: jobs at once.")] = 16,
    minutes: Minutes = 240,
    cpus: Cpus = 1,
    gpus: Gpus = 0,
    devices: Devices = "",
    sbatch: Sbatch = [],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train every combination of a grid; runs that are complete are not repeated."""
    from emolib.training import sweep as sweeps

    values: dict[str, list[Any]] = {}
    for text in [*grid, *(more or [])]:
        key, _, choices = text.partition("=")
        values.setdefault(key, []).extend(
            parse_settings(f"{key}={choice}")[key] for choice in choices.split(",")
        )
    use_devices(devices)
    experiment = experiment_of(preset, data, weights, set_)
    place = new_run(name, experiment) / "sweep"
    slurm = {"parallel": jobs, **resources(minutes, cpus, gpus, sbatch)}
    table = sweeps.run(
        experiment, values, place, executor=executor, progress=not quiet, slurm=slurm
    )
    output(table.to_dict("records"), as_json, table.to_string(index=False))


@verb("emolib reach\nemolib reach --draws 7 --set seeds=42,43,amp=float32 --json")
def reach(
    draws: Annotated[str, typer.Option(help="Seeds of the benchmark (synth_seed).")] = "7,8,9",
    name: Name = "reach",
    set_: Settings = [],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the demo with many seeds on many draws of the benchmark, and say how near it comes to
    the ceilings. By default 10 seeds, 3 draws and 4 windows: 120 runs, about half an hour.
    """
    from emolib.studies import reach as study

    experiment = experiment_of("demo", "", "", [f"seeds={study.SEEDS}", *set_])
    scores = study.runs(
        experiment,
        new_run(name, experiment),
        draws=integers("--draws", draws),
        progress=not quiet,
    )
    summary, rising = study.summary(scores), study.rising(scores)
    verdicts = study.length_verdicts(scores)
    result = {
        "windows": summary.to_dict("records"),
        "rising": rising,
        "length_verdicts": verdicts.to_dict("records"),
    }
    tables = [study.text(summary), rising]
    if len(verdicts) and verdicts["choices"].all():
        tables.append(f"Verdicts on lengths with three seeds:\n{study.text(verdicts)}")
    output(result, as_json, "\n".join(tables))
