"""Verbs that use a trained run: evaluate, predict, submit, report."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from emolib.cli.command import output, verb
from emolib.cli.options import (
    DataFolder,
    Json,
    Quiet,
    Run,
    Weights,
    completing,
    folder,
    run_folder,
)
from emolib.config import Experiment
from emolib.data.mark import is_synthetic
from emolib.errors import WrongCall
from emolib.features.origin import labelled, origin
from emolib.labels import EXPRESSIONS
from emolib.system.files import few
from emolib.video.options import COLUMNS, EVERY, PROMPT_SETS, WHICH_FACES

Detector = Annotated[
    Path | None,
    typer.Option(help="YuNet model file; without it, Hugging Face's cache on this machine."),
]
WhichFaces = Annotated[
    str,
    typer.Option(
        help="tracked, largest, all, or whole: the video is a face crop already.",
        autocompletion=completing(lambda: WHICH_FACES),
    ),
]
Annotate = Annotated[
    bool, typer.Option("--annotate", help="Also write the video with boxes and classes drawn in.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that are there.")]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Leave out videos whose results are in --out.")
]
Recursive = Annotated[bool, typer.Option(help="Also the folders below a folder.")]
PicturesASecond = Annotated[
    float,
    typer.Option(help="Look at so many pictures a second at most, 1 to 30; fewer: less work."),
]
DetectorSize = Annotated[
    int,
    typer.Option(help="Pixels of the longer side that the detector sees; more: smaller faces."),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, ...; without it, the GPU if there is one.")
]
Threads = Annotated[
    int, typer.Option(help="CPU threads; 0: a core less than there are, one decodes.")
]
Rotate = Annotated[
    int, typer.Option(help="Degrees clockwise to turn the pictures by: 90, 180 or 270.")
]
ZeroShot = Annotated[
    bool, typer.Option("--zero-shot", help="No run: each face against CLIP's prompts.")
]
PromptSet = Annotated[
    str,
    typer.Option(
        help=f"zero-shot: {', '.join(PROMPT_SETS)}.",
        autocompletion=completing(lambda: PROMPT_SETS),
    ),
]
Smooth = Annotated[
    float, typer.Option(help="zero-shot: average over so many seconds either side of a frame.")
]


@verb("emolib evaluate --run demo\nemolib evaluate --run paper --data DIR --json")
def evaluate(
    run: Run = "demo", data: DataFolder = "", quiet: Quiet = False, as_json: Json = False
) -> None:
    """Score a trained run again on the validation clips of its data, or of another tree,
    under both protocols.
    """
    from emolib.evaluation import predictions as evaluation
    from emolib.evaluation.identity import at_hand, with_weights_at_hand
    from emolib.features import prepare as inputs
    from emolib.features.window_sets import window_set
    from emolib.training import run as training

    # On the clips of another tree, whether the run's own have changed says nothing.
    today = with_weights_at_hand if data else at_hand
    model, experiment = training.load_model(run_folder(run), today=today)
    if data:
        experiment = experiment.replace(data=str(folder("--data", data).resolve()))
    clips = inputs.clips_of(experiment, ("validation",), progress=not quiet)
    inputs.check_windows(experiment, clips, ("validation",))
    frames = evaluation.frame_rows([model], inputs.FrameSets(experiment, clips))
    rows = {clip.id: by_frame for clip, (by_frame,) in frames}
    result: dict[str, Any] = {
        "origin": origin(experiment),
        "by_frame": experiment.by_frame(),
        "frame": evaluation.score_of_clips(
            clips,
            [rows[clip.id] for clip in clips],
            **evaluation.scored_classes(experiment),
        ),
    }
    result["window"] = evaluation.window_score(
        model, window_set(experiment, clips, protocol="window", progress=not quiet)
    )
    output(result, as_json, evaluation.score_text(result))


def _columns() -> str:
    """Every column of predictions.csv, for the help; the eight probabilities in one line."""
    probabilities = f"p_{EXPRESSIONS[0]} ... p_{EXPRESSIONS[-1]}"
    meanings = {name: text for name, text in COLUMNS.items() if not name.startswith("p_")}
    meanings[probabilities] = "probability of each emotion; empty: nothing is known"
    lines = [f"- {name}: {text}" for name, text in meanings.items()]
    return "\n\n".join(["**Columns of predictions.csv:**", *lines, EVERY])


@verb(
    "emolib predict face.mp4 --faces whole --out results\nemolib predict folder --run runs/demo "
    "--detector yunet.onnx --out results\nemolib predict clip.mp4 --zero-shot --detector "
    "yunet.onnx --weights DIR --out results",
    before=_columns(),
)
def predict(
    videos: Annotated[list[Path], typer.Argument(help="Video files, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the results, one folder a video.")],
    run: Run = "demo",
    detector: Detector = None,
    faces: WhichFaces = "tracked",
    annotate: Annotate = False,
    overwrite: Overwrite = False,
    skip_existing: SkipExisting = False,
    recursive: Recursive = True,
    fps: PicturesASecond = 30.0,
    detector_size: DetectorSize = 960,
    device: Device = "",
    threads: Threads = 0,
    rotate: Rotate = 0,
    zero_shot: ZeroShot = False,
    weights: Weights = "",
    prompts: PromptSet = "paper",
    smooth: Smooth = 0.0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Emotions of your own videos: one row a frame, with times, faces and probabilities.

    A row of predictions.csv is one frame of the video and one person in it. Its probabilities are
    those of a window of the last seconds before it (window_first to window_last): faces at 30 a
    second, whatever the rate of the video, and the voice. Until a person has been there for a whole
    window, rows repeat its first answer (copied). Empty cells: no face, or nothing to hear.

    Needed are the face detector (but for --faces whole) and, with --zero-shot, CLIP's weights.
    Where they are missing, the error has the commands that get them.

    seconds.csv has the mean of each second and track, predictions.vtt the same as subtitles,
    summary.json the settings and what could not be read. The results of FOLDER/a/b.mp4 are in
    OUT/a/b.
    """
    for path in videos:
        if not path.exists():
            raise WrongCall(f"{path}: no such video or folder")
    options: dict[str, Any] = {
        "detector": detector,
        "faces": faces,
        "annotate": annotate,
        "overwrite": overwrite,
        "skip_existing": skip_existing,
        "recursive": recursive,
        "fps": fps,
        "detector_size": detector_size,
        "device": device,
        "threads": threads,
        "rotate": rotate,
        "zero_shot": zero_shot,
        "weights": weights,
        "prompts": prompts,
        "smooth": smooth,
        "progress": not quiet,
    }
    _predict(videos, Path() if zero_shot else run_folder(run), out, options, as_json)


def _predict(
    videos: list[Path], run: Path, out: Path, options: dict[str, Any], as_json: bool
) -> None:
    """Predict and print the summaries, also where some videos failed."""
    from emolib.video import predict as prediction

    def say(line: str) -> None:
        print(line, file=sys.stderr if as_json else sys.stdout)

    try:
        summaries = prediction.predict(videos, run, out, say=say, **options)
    except prediction.SomeFailed as failed:
        if as_json or failed.summaries:
            output(failed.summaries, as_json, f"the other results are in {out}")
        raise
    output(summaries, as_json, f"results are in {out}")


@verb(
    "emolib submit --run paper --out submission.txt\nemolib submit "
    "--check submission.txt --template T"
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
    min_face_share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Stop where fewer of a clip's frames have a face; 0: go on."
        ),
    ] = None,
    check: Annotated[
        Path | None, typer.Option(help="Only check this file against --template.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Predict the template's clips, write the challenge's file along it and check it;
    or check a file. A stopped one goes on.
    """
    from emolib.studies import submission

    if check:
        if template is None:
            raise WrongCall("--check needs --template, the challenge's example file")
        _check_submission(check, template, as_json)
        return
    if data:
        folder("--data", data)
    result = submission.of_run(
        run_folder(run),
        out,
        data=data,
        template=template,
        min_face_share=min_face_share,
        progress=not quiet,
    )
    _tell_of_submission(result, out, as_json)


def _check_submission(path: Path, template: Path, as_json: bool) -> None:
    """Print what is wrong with the file ``path``; exit status 1 if anything is."""
    from emolib.studies import submission

    problems = submission.check(path, template)
    lines = [
        f"{problem['kind']}: {problem['what']} "
        f"(first in line {problem['line']}, {problem['count']} in all)"
        for problem in problems
    ]
    output(problems, as_json, "\n".join(lines) or f"{path}: valid")
    if problems:
        raise typer.Exit(1)


def _tell_of_submission(result: dict[str, Any], out: Path, as_json: bool) -> None:
    """Print what was written to ``out``, and the clips that need a look."""
    doubtful = {
        "empty": "without any face, all filled",
        "left_out": "on the test list but not in the template",
    }
    for key, what in doubtful.items():
        if result[key] and not as_json:
            print(f"emolib: {len(result[key])} clip(s) {what}: {few(result[key])}", file=sys.stderr)
    rows = (
        f"{result['rows']} rows of {result['clips']} clips, {result['face_share']:.1%} with a face"
    )
    text = labelled(f"{out}: {rows}", result["origin"])
    lacking = f"\ntrained with {result['missing_faces']}" if result["missing_faces"] else ""
    output(result, as_json, f"{text}, {result['filled']} filled: {result['fill_rule']}{lacking}")


@verb("emolib report --run demo\nemolib report --run runs/short --out short.html")
def report(
    run: Run = "demo",
    out: Annotated[
        Path | None, typer.Option(help="The HTML file; without it, report.html in the run.")
    ] = None,
    people: Annotated[
        bool,
        typer.Option("--people", help="Write pictures of people outside the run's folder, too."),
    ] = False,
) -> None:
    """One self-contained HTML page of a run: headline table, figures,
    provenance and the executed notebooks.
    """
    from emolib.results import report as page

    if out and not people:
        experiment = Experiment.load(run_folder(run) / "experiment.json")
        if experiment.data and not is_synthetic(Path(experiment.data)):
            raise WrongCall(
                f"--out {out}: the page holds pictures of people from {experiment.data}; "
                "leave it in the run, or say --people if their licence allows it elsewhere"
            )
    print(page.write(run_folder(run), out))
