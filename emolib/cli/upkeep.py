"""Verbs that look at what there is, measure it or free it: settings, doctor, weights, bench, info,
clean, calibrate, effects.
"""

import importlib
from pathlib import Path
from typing import Annotated, Any

import typer

from emolib.cli.command import output, verb
from emolib.cli.options import Dataset, Json, Quiet, Weights, completing
from emolib.config import describe, in_lines, preset
from emolib.errors import WrongCall, nearest
from emolib.system.files import runs_root

BENCHES = ("extract", "train", "paper")


def clean_names() -> list[str]:
    """For the shell's completion: what ``emolib clean`` can be told to free."""
    from emolib.system import disk as holdings

    return ["cache", "all", *(one.name for one in holdings.holdings() if not one.kept)]


@verb("emolib settings\nemolib settings window\nemolib settings --json")
def settings(
    name: Annotated[
        str,
        typer.Argument(
            help="One setting; without it, all.", autocompletion=completing(lambda: describe())
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Every setting with its meaning, unit and range, source, and default in each preset."""
    rows = describe(name)
    output(rows, as_json, "\n".join(in_lines(rows)))


@verb("emolib doctor DIR\nemolib doctor DIR --full --json\nemolib doctor DIR --dataset ravdess")
def doctor(
    data: Annotated[
        Path | None,
        typer.Argument(help="Folder of the data set; without it, the generated benchmark."),
    ] = None,
    dataset: Dataset = "affwild2",
    crops: Annotated[str, typer.Option(help="cropped_aligned or cropped.")] = "cropped_aligned",
    full: Annotated[bool, typer.Option("--full", help="Decode every image and all sound.")] = False,
    links_out: Annotated[
        bool, typer.Option("--links-out", help="Read through links that lead out of the folder.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Examine an Aff-Wild2 tree (by default the generated one), or a folder of RAVDESS or CREMA-D,
    and say what is wrong with it and what to do.
    """
    from emolib.data import doctor as examination
    from emolib.data import recordings_doctor, synthetic
    from emolib.data.datasets import collection_of

    collection = collection_of(dataset)
    if collection is not None:
        if data is None:
            raise WrongCall(f"--dataset {dataset}: give the folder that holds it")
        report = recordings_doctor.examine_recordings(
            collection, data, full=full, crops=crops, links_out=links_out, progress=not quiet
        )
        lines = recordings_doctor.format_recordings(report) + examination.problem_lines(report)
        output(report, as_json, "\n".join(lines))
        if not report["exit_ok"]:
            raise typer.Exit(1)
        return
    root = data or synthetic.ensure(preset("demo"), progress=not quiet)
    report = examination.examine(
        root, full=full, crops=crops, links_out=links_out, progress=not quiet
    )
    output(report, as_json, examination.format_report(report))
    if not report["exit_ok"]:
        raise typer.Exit(1)


@verb("emolib weights\nemolib weights --weights DIR --json")
def weights(weights: Weights = "", as_json: Json = False) -> None:
    """Which encoders' weights are on this machine, whether their files are whole and work,
    and which preset they serve.
    """
    from emolib.encoders import survey

    rows = survey.survey(weights)
    output(rows, as_json, survey.table(rows))
    if any("folder" in row and "problem" in row for row in rows):  # there, and of no use
        raise typer.Exit(1)


@verb("emolib bench extract\nemolib bench train --json\nemolib bench paper --scale 0.02")
def bench(
    what: Annotated[
        str,
        typer.Argument(help="extract, train or paper.", autocompletion=completing(lambda: BENCHES)),
    ],
    scale: Annotated[
        float, typer.Option(help="Of `paper`: the share of Aff-Wild2's size, up to 1.")
    ] = 1.0,
    as_json: Json = False,
) -> None:
    """Measure speed; writes into `runs/bench`. extract and train: ratios, side by side in one run;
    paper: seconds, memory and disk of the whole experiment at the data set's true size.

    extract and train need a checkout.
    """
    if what not in BENCHES:
        raise WrongCall(f"bench {what!r}: choose {' or '.join(BENCHES)}{nearest(what, BENCHES)}")
    if not 0 < scale <= 1 or (scale != 1 and what != "paper"):
        raise WrongCall(f"--scale {scale}: a share above 0, up to 1, of `bench paper`")
    module = importlib.import_module(f"emolib.bench.{what}")
    options = {"scale": scale} if what == "paper" else {}
    result = module.run(runs_root() / "bench", **options)
    output(result, as_json, module.table(result))


@verb("emolib info\nemolib info --json")
def info(as_json: Json = False) -> None:
    """Versions, device, and where runs and caches are and how large."""
    from emolib.pipeline.summary import versions
    from emolib.system import disk as holdings
    from emolib.system.device import device
    from emolib.system.files import cache_root

    held = holdings.holdings()
    caches = sum(one.bytes for one in held if one.name.startswith("cache/"))
    sizes = {str(runs_root()): sum(one.bytes for one in held) - caches, str(cache_root()): caches}
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
    """List runs and caches with their sizes, and free what you name, after asking;
    your data and weights stay.
    """
    from emolib.system import disk as holdings

    if yes and not what:
        raise WrongCall(
            "--yes answers for what is named: emolib clean cache --yes, or all, "
            "or names from the list of `emolib clean`"
        )
    held = holdings.holdings()
    if not as_json:
        print(holdings.table(held))
    if not what and not as_json and held:
        what = (
            ask("Free which? (cache, all, or names; nothing: leave everything)")
            .replace(",", " ")
            .split()
        )
    wanted = holdings.chosen(what, held)
    size = holdings.megabytes(sum(one.bytes for one in wanted))
    names = ", ".join(one.name for one in wanted)
    if (
        wanted
        and not yes
        and (as_json or ask(f"Free {size} ({names})? [y/N]").lower() not in ("y", "yes"))
    ):
        wanted = []
    freed = holdings.free(wanted)
    rows = [
        {"name": one.name, "bytes": one.bytes, "kept": one.kept, "freed": one in wanted}
        for one in held
    ]
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


@verb("emolib calibrate\nemolib calibrate --draws 40 --experiments 2000 --workers 2")
def calibrate(
    name: Annotated[str, typer.Option("--name", help="Name of the folder under runs/.")] = (
        "calibration"
    ),
    draws: Annotated[
        int, typer.Option(min=0, help="Draws of the benchmark, 0: the rule alone.")
    ] = 20,
    experiments: Annotated[
        int, typer.Option(min=1, help="Simulated experiments for each true effect.")
    ] = 400,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Draws at once; by default one a core.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """How often the verdicts of the notebooks are right, wrong or undecided where the answer is
    known, with 3, 5 and 10 seeds; a stopped one goes on.
    """
    from emolib.studies.calibration import report
    from emolib.system.runs import run_path, writing

    folder = run_path(name)
    with writing(folder):
        result = report.make(
            folder, count=draws, experiments=experiments, workers=workers, progress=not quiet
        )
    text = (folder / "calibration.md").read_text(encoding="utf-8")
    output(result, as_json, f"{text}\n{folder}")


@verb("emolib effects\nemolib effects relation text --seeds 10")
def effects(
    studies: Annotated[
        list[str], typer.Argument(help="relation, text, peers, leak; without it, all.")
    ] = [],
    name: Annotated[str, typer.Option("--name", help="Name of the folder under runs/.")] = (
        "effects"
    ),
    seeds: Annotated[int, typer.Option(min=2, help="Seeds of each side.")] = 5,
    on_benchmark: Annotated[
        bool,
        typer.Option(
            "--on-benchmark",
            help="Also train the demo: as peers do, with the leak, on the related pair (3 seeds).",
        ),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """What parts are worth where they are needed, and what the peers' ways of training change, on
    latent signals: a table for each study; a stopped one goes on.
    """
    from emolib.studies.effects import on_benchmark as demo
    from emolib.studies.effects import report
    from emolib.system.runs import run_path, writing

    folder = run_path(name)
    with writing(folder):
        made = report.make(
            folder, studies, seeds=seeds, on_benchmark=on_benchmark, progress=not quiet
        )
    result: dict[str, Any] = {"studies": made}
    texts = [report.text(study) for study in made]
    if on_benchmark and (not studies or "relation" in studies):
        table = demo.related_pair(folder / "related_pair", (42, 43, 44), progress=not quiet)
        result["related_pair"] = table.to_dict("records")
        texts.append(table.round(3).to_string(index=False))
    output(result, as_json, "\n".join(texts))
