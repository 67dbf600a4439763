"""The command line: one thin command a verb; the work is done below.

Exit codes: 0 done, 1 the work failed, 2 the call was wrong. Errors are one line on stderr. Nothing heavy is imported
before a verb needs it, so that ``--help`` and a run with nothing to do are quick.
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from emolib.config import PRESETS, Experiment, parse_settings, preset
from emolib.errors import EmolibError, WrongCall, nearest
from emolib.features.origin import labelled, origin
from emolib.system.files import few, runs_root
from emolib.training.cluster import EXECUTORS
from emolib.video.options import PROMPT_SETS, WHICH_FACES

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Multimodal emotion recognition with bi-directional cross-attention and temporal modelling, as reproducible notebooks.\n\n"
    "Start with `emolib run`: the whole pipeline on generated data, about ten minutes on two cores.",
)


def run_names() -> list[str]:
    """For the shell's completion: the runs that there are."""
    return sorted(path.parent.name for path in runs_root().glob("*/experiment.json"))


def clean_names() -> list[str]:
    """For the shell's completion: what ``emolib clean`` can be told to free."""
    from emolib.system import disk as holdings

    return ["cache", "all", *(h.name for h in holdings.holdings() if not h.kept)]


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
    typer.Option(
        "--data", help="Folder of an Aff-Wild2 tree; without it, the generated benchmark."
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights", help="Folder with the encoders' weights; without it, the hub's cache."
    ),
]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="key=value, a setting to change (emolib/config.py has them all); may be repeated.",
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
Sbatch = Annotated[
    list[str],
    typer.Option(
        "--sbatch",
        help="slurm: key=value, another option of sbatch (partition=gpu); may be repeated.",
    ),
]
BENCHES = ("extract", "train")


def verb(examples: str) -> Callable[[Any], Any]:
    """A command; ``examples``, one a line, close its help."""
    return app.command(
        epilog="\n\n".join(["**Examples:**", *(f"- `{line}`" for line in examples.split("\n"))])
    )


def experiment_of(preset_name: str, data: str, weights: str, settings: list[str]) -> Experiment:
    """The Experiment that the shared options describe."""
    changes: dict[str, Any] = {}
    for text in settings:
        changes |= parse_settings(text)
    return preset(
        preset_name, data=str(Path(data).resolve()) if data else "", weights=weights, **changes
    )


def resources(minutes: int, cpus: int, gpus: int, sbatch: list[str]) -> dict[str, Any]:
    """What ``cluster.submit`` takes, of the shared options. Raises WrongCall for an option without a value."""
    options: dict[str, str] = {}
    for text in sbatch:
        name, _, options[name] = text.partition("=")
        if not name or not options[name]:
            raise WrongCall(f"--sbatch {text}: must be key=value, such as partition=gpu")
    return {"minutes": minutes, "cpus": cpus, "gpus": gpus, "options": options}


def run_folder(run: str) -> Path:
    """The folder of a run given by path or by name. Raises WrongCall naming the runs that there are."""
    for folder in (Path(run), runs_root() / run):
        if (folder / "experiment.json").exists():
            return folder
    raise WrongCall(
        f"no run {run!r} here or under {runs_root()}{nearest(run, run_names())}; `emolib run` makes the demo's"
    )


def output(result: Any, as_json: bool, text: str) -> None:
    """Print a result for people, or as JSON."""
    print(json.dumps(result, indent=2, default=str) if as_json else text)


@verb(
    "emolib run\nemolib run --only 05,06\nemolib run --preset paper --data DIR\nemolib run --set epochs=3 --name short"
)
def run(
    preset: Preset = "demo",
    name: Name = "",
    data: DataFolder = "",
    weights: Weights = "",
    set_: Settings = [],
    only: Annotated[str, typer.Option(help="Notebooks to run, by number: 05,06.")] = "",
    time_limit: Annotated[float, typer.Option(help="Seconds that one notebook may take.")] = 24
    * 3600.0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the notebooks in order, resuming where an earlier run stopped; then print the window table beside the paper's."""
    from emolib.pipeline import run as pipeline
    from emolib.pipeline.summary import window_text

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
    """Generate the benchmark with known answers, in the exact Aff-Wild2 tree; what is there is not made again."""
    from emolib.data import synthetic

    experiment = experiment_of(preset, "", "", [*set_, *(["synth_odd=true"] if odd else [])])
    if out:
        synthetic.write_tree(experiment, out, progress=not quiet)
    root = out or synthetic.ensure(experiment, progress=not quiet)
    output({"root": str(root), "ceilings": synthetic.ceilings(root)}, as_json, str(root))


@verb(
    "emolib extract --verify\nemolib extract --preset paper --data DIR --weights DIR --executor slurm --jobs 8"
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
    jobs: Annotated[int, typer.Option(help="slurm: number of jobs.")] = 4,
    minutes: Minutes = 24 * 60,
    cpus: Cpus = 2,
    gpus: Gpus = 0,
    sbatch: Sbatch = [],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute the features of faces, sound and prompts that the feature store lacks.

    The sound of validation and test frames is stored too, unless it takes too much of a disk: it is then encoded when it is needed.
    """
    from emolib.features import extraction as features
    from emolib.features import prepare as inputs
    from emolib.training import cluster

    cluster.check_executor(executor)
    slurm = resources(minutes, cpus, gpus, sbatch)
    experiment = experiment_of(preset, data, weights, set_)
    result: dict[str, Any] = {}
    if verify:
        result["verified"], result["damaged"] = features.verify(experiment)
    clips = inputs.clips_of(experiment, tuple(splits.split(",")), progress=not quiet)
    if (
        executor == "slurm"
    ):  # each job is this very call: jobs claim clips, so that no clip is done twice
        words = ["--preset", preset, "--splits", splits, "--quiet"]
        words += (
            [f"--data={data}"] * bool(data)
            + [f"--weights={weights}"] * bool(weights)
            + [f"--set={text}" for text in set_]
        )
        cluster.run_array(
            [cluster.emolib_command("extract", *words)] * jobs, runs_root() / "slurm", **slurm
        )
    report = inputs.store_features(experiment, clips, progress=not quiet)
    result |= {"clips": len(clips), "computed": report.clips, "seconds": round(report.seconds, 1)}
    text = "".join(f"damaged, made again: {path}\n" for path in result.get("damaged", []))
    result["rates"] = report.lines()
    text += f"features of {len(clips)} clips are in the store, {report.clips} files computed now"
    output(result, as_json, "\n".join([text, *result["rates"]]))


@verb(
    "emolib train --name mine --set window=30\nemolib train --preset paper --data DIR --name paper_30"
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
    """Train and evaluate one run; a stopped one goes on to the same bits, a complete one is only shown."""
    from emolib.evaluation import predictions as evaluation
    from emolib.training import run as training

    folder = runs_root() / (name or preset)
    result = training.run(experiment_of(preset, data, weights, set_), folder, progress=not quiet)
    output(result, as_json, evaluation.score_text(result) + f"\n{folder}")


@verb(
    "emolib sweep --grid window=10,15,30,60 seed=42,43,44\nemolib sweep --grid contrastive_weight=0,0.1 --executor slurm",
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
    folder = runs_root() / (name or preset) / "sweep"
    experiment = experiment_of(preset, data, weights, set_)
    slurm = {"parallel": jobs, **resources(minutes, cpus, gpus, sbatch)}
    table = sweeps.run(
        experiment, values, folder, executor=executor, progress=not quiet, slurm=slurm
    )
    output(table.to_dict("records"), as_json, table.to_string(index=False))


@verb("emolib evaluate --run demo\nemolib evaluate --run paper --data DIR --json")
def evaluate(
    run: Run = "demo", data: DataFolder = "", quiet: Quiet = False, as_json: Json = False
) -> None:
    """Score a trained run again on the validation clips of its data, or of another tree, under both protocols."""
    from emolib.evaluation import predictions as evaluation
    from emolib.features import prepare as inputs
    from emolib.features.window_sets import window_set
    from emolib.training import run as training

    model, experiment = training.load_model(run_folder(run))
    if data:
        experiment = experiment.replace(data=str(Path(data).resolve()))
    clips = inputs.clips_of(experiment, ("validation",), progress=not quiet)
    inputs.check_windows(experiment, clips, ("validation",))
    result: dict[str, Any] = {
        "origin": origin(experiment),
        "by_frame": experiment.by_frame(),
        "frame": evaluation.score_of_parts(model, inputs.FrameSets(experiment, clips)),
    }
    result["window"] = evaluation.window_score(
        model, window_set(experiment, clips, protocol="window", progress=not quiet)
    )
    output(result, as_json, evaluation.score_text(result))


@verb(
    "emolib predict clip.mp4 --out results\nemolib predict folder --run runs/demo --detector yunet.onnx --out results\nemolib predict clip.mp4 --zero-shot --weights DIR --out results"
)
def predict(
    videos: Annotated[list[Path], typer.Argument(help="Video files, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder a video.")],
    run: Run = "demo",
    detector: Annotated[
        Path | None, typer.Option(help="YuNet model file; without it, the hub's cache.")
    ] = None,
    faces: Annotated[
        str,
        typer.Option(
            help="tracked, largest, all, or whole: the video is a face crop already.",
            autocompletion=completing(lambda: WHICH_FACES),
        ),
    ] = "tracked",
    annotate: Annotated[
        bool,
        typer.Option("--annotate", help="Also write the video with boxes and classes drawn in."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that are there.")
    ] = False,
    rotate: Annotated[
        int, typer.Option(help="Degrees clockwise to turn the pictures by: 90, 180 or 270.")
    ] = 0,
    zero_shot: Annotated[
        bool, typer.Option("--zero-shot", help="No run: each face against CLIP's prompts.")
    ] = False,
    weights: Weights = "",
    prompts: Annotated[
        str,
        typer.Option(
            help=f"zero-shot: {', '.join(PROMPT_SETS)}.",
            autocompletion=completing(lambda: PROMPT_SETS),
        ),
    ] = "paper",
    smooth: Annotated[
        float, typer.Option(help="zero-shot: average over so many seconds either side of a frame.")
    ] = 0.0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Emotions of your own videos: one row a frame, with times, faces and probabilities."""
    from emolib.video import predict as prediction

    def say(line: str) -> None:
        print(line, file=sys.stderr if as_json else sys.stdout)

    options: dict[str, Any] = {
        "detector": detector,
        "faces": faces,
        "annotate": annotate,
        "overwrite": overwrite,
        "rotate": rotate,
        "zero_shot": zero_shot,
        "weights": weights,
        "prompts": prompts,
        "smooth": smooth,
        "progress": not quiet,
    }
    try:
        summaries = prediction.predict(
            videos, Path() if zero_shot else run_folder(run), out, say=say, **options
        )
    except prediction.SomeFailed as failed:
        if as_json or failed.summaries:
            output(failed.summaries, as_json, f"the other results are in {out}")
        raise
    output(summaries, as_json, f"results are in {out}")


@verb(
    "emolib submit --run paper --out submission.txt\nemolib submit --check submission.txt --template T"
)
def submit(
    out: Annotated[Path, typer.Option(help="The submission file to write.")] = Path(
        "submission.txt"
    ),
    run: Run = "demo",
    data: DataFolder = "",
    template: Annotated[
        Path | None,
        typer.Option(help="The official example file; without it, the one in the tree."),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Only check this file against --template.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict the template's clips, write the challenge's file along it and check it; or check a file. A stopped one goes on."""
    from emolib.studies import submission

    if check:
        if template is None:
            raise WrongCall("--check needs --template, the challenge's example file")
        problems = submission.check(check, template)
        lines = [
            f"{p['kind']}: {p['what']} (first in line {p['line']}, {p['count']} in all)"
            for p in problems
        ]
        output(problems, as_json, "\n".join(lines) or f"{check}: valid")
        if problems:
            raise typer.Exit(1)
        return
    result = submission.of_run(
        run_folder(run), out, data=data, template=template, progress=not quiet
    )
    for key, what in {
        "empty": "without any face, all filled",
        "left_out": "on the test list but not in the template",
    }.items():
        if result[key] and not as_json:
            print(f"emolib: {len(result[key])} clip(s) {what}: {few(result[key])}", file=sys.stderr)
    text = labelled(f"{out}: {result['rows']} rows of {result['clips']} clips", result["origin"])
    output(result, as_json, f"{text}, {result['filled']} filled: {result['fill_rule']}")


@verb("emolib doctor DIR\nemolib doctor DIR --full --json")
def doctor(
    data: Annotated[
        Path | None,
        typer.Argument(help="Folder of an Aff-Wild2 tree; without it, the generated benchmark."),
    ] = None,
    crops: Annotated[str, typer.Option(help="cropped_aligned or cropped.")] = "cropped_aligned",
    full: Annotated[bool, typer.Option("--full", help="Decode every image and all sound.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Examine an Aff-Wild2 tree (by default the generated one) and say what is wrong with it and what to do."""
    from emolib.data import doctor as examination
    from emolib.data import synthetic

    root = data or synthetic.ensure(preset("demo"), progress=not quiet)
    report = examination.examine(root, full=full, crops=crops, progress=not quiet)
    output(report, as_json, examination.format_report(report))
    if not report["exit_ok"]:
        raise typer.Exit(1)


@verb("emolib report --run demo\nemolib report --run runs/paper --out paper.html")
def report(
    run: Run = "demo",
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; without it, report.html in the run.")
    ] = None,
) -> None:
    """One self-contained HTML page of a run: headline table, figures, provenance and the executed notebooks."""
    from emolib.results import report as page

    print(page.write(run_folder(run), out))


@verb("emolib bench extract\nemolib bench train --json")
def bench(
    what: Annotated[
        str, typer.Argument(help="extract or train.", autocompletion=completing(lambda: BENCHES))
    ],
    as_json: Json = False,
) -> None:
    """Measure speed as ratios, side by side in one run; writes into `runs/bench`. Needs a checkout."""
    if what not in BENCHES:
        raise WrongCall(f"bench {what!r}: choose {' or '.join(BENCHES)}{nearest(what, BENCHES)}")
    module = importlib.import_module(f"emolib.bench.{what}")
    result = module.run(runs_root() / "bench")
    output(result, as_json, module.table(result))


@verb("emolib info\nemolib info --json")
def info(as_json: Json = False) -> None:
    """Versions, device, and where runs and caches are and how large."""
    from emolib.pipeline.summary import versions
    from emolib.system import disk as holdings
    from emolib.system.device import device
    from emolib.system.files import cache_root

    found = holdings.holdings()
    caches = sum(h.bytes for h in found if h.name.startswith("cache/"))
    sizes = {str(runs_root()): sum(h.bytes for h in found) - caches, str(cache_root()): caches}
    result: dict[str, Any] = {"versions": versions(), "device": device(), "bytes": sizes}
    lines = [f"{name} {version}" for name, version in result["versions"].items()]
    runs, cache = (f"{path}: {holdings.megabytes(size)}" for path, size in sizes.items())
    output(
        result,
        as_json,
        "\n".join(
            [
                *lines,
                f"device {result['device']}",
                f"runs in {runs}",
                f"caches in {cache} (`emolib clean` frees them)",
            ]
        ),
    )


@verb("emolib clean\nemolib clean cache\nemolib clean demo cache/features --yes")
def clean(
    what: Annotated[
        list[str],
        typer.Argument(
            help="cache (all caches), all, or names from the list; without it, you are asked.",
            autocompletion=completing(clean_names),
        ),
    ] = [],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; for scripts.")] = False,
    as_json: Json = False,
) -> None:
    """List runs and caches with their sizes, and free what you name, after asking; your data and weights stay."""
    from emolib.system import disk as holdings

    if yes and not what:
        raise WrongCall(
            "--yes answers for what is named: emolib clean cache --yes, or all, or names from the list of `emolib clean`"
        )
    found = holdings.holdings()
    if not as_json:
        print(holdings.table(found))
    if not what and not as_json and found:
        what = (
            ask("Free which? (cache, all, or names; nothing: leave everything)")
            .replace(",", " ")
            .split()
        )
    wanted = holdings.chosen(what, found)
    size = holdings.megabytes(sum(h.bytes for h in wanted))
    names = ", ".join(h.name for h in wanted)
    if (
        wanted
        and not yes
        and (as_json or ask(f"Free {size} ({names})? [y/N]").lower() not in ("y", "yes"))
    ):
        wanted = []
    freed = holdings.free(wanted)
    rows = [{"name": h.name, "bytes": h.bytes, "kept": h.kept, "freed": h in wanted} for h in found]
    output(
        {"holdings": rows, "freed_bytes": freed},
        as_json,
        f"freed {size}: {names}" if wanted else "nothing freed",
    )


def ask(question: str) -> str:
    """The answer of whoever sits there; empty where nobody does."""
    try:
        return input(f"{question} ").strip()
    except EOFError:
        print()
        return ""


def main() -> None:
    """The ``emolib`` command."""
    try:
        app()
    except EmolibError as error:
        print(f"emolib: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that may not be read, a name that is too long
        print(
            f"emolib: {error.filename or 'input or output'}: {error.strerror or error}; give another path, or its permission",
            file=sys.stderr,
        )
        sys.exit(1)
