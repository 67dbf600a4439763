"""The command line: exit codes, one line of error, help, and what is printed."""

import dataclasses
import importlib.util
import json
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save_file

from emolib import __version__, cli
from emolib.cli import options
from emolib.config import PRESETS, Experiment, preset
from emolib.errors import EmolibError, EmolibWarning
from emolib.evaluation import predictions as evaluation
from emolib.evaluation.identity import identity_of
from emolib.features import prepare as inputs
from emolib.features import window_sets as features
from emolib.model import EmotionModel
from emolib.pipeline.summary import window_text
from emolib.video import predict as predict_module
from emolib.video.options import COLUMNS, WHICH_FACES


@pytest.fixture
def call(monkeypatch, tmp_path, capsys):
    """Call ``emolib`` with arguments; returns exit code, stdout and stderr."""
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["emolib", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return run


SUMMARY = {
    "name": "demo",
    "origin": "synthetic",
    "smoothed": "",
    "window_table": [
        {
            "window": 60,
            "protocol": "frame",
            "macro_f1": 0.91,
            "interval": [0.9, 0.92],
            "interval_over": "seeds",
            "seeds": 3,
            "ceiling": 0.96,
            "paper_validation": 0.3599,
            "paper_test": 0.32,
        },
        {
            "window": 90,
            "protocol": "frame",
            "macro_f1": 0.91,
            "interval": [0.9, 0.92],
            "interval_over": "seeds",
            "seeds": 3,
            "ceiling": None,
            "paper_validation": None,
            "paper_test": None,
        },
    ],
}


def test_run_prints_the_window_table_beside_the_papers(call, monkeypatch):
    seen = {}

    def run(experiment, name, **options):
        seen.update(experiment=experiment, name=name, **options)
        return SUMMARY

    monkeypatch.setattr("emolib.pipeline.run.run", run)
    code, out, err = call(
        "run", "--set", "epochs=3", "--set", "seeds=1,2", "--only", "04,05", "--name", "x"
    )
    assert (code, err) == (0, "")
    assert (
        seen["experiment"] == preset("demo", epochs=3, seeds="1,2")
        and seen["name"] == "x"
        and seen["only"] == "04,05"
    )
    assert (
        "SYNTHETIC" in out and "0.910 [0.900, 0.920]" in out and "0.360" in out and "3 seeds" in out
    )
    assert out.split("\n")[3].split()[-4:] == ["–", "|", "–", "–"]
    code, out, _ = call("run", "--json")
    assert code == 0 and json.loads(out) == SUMMARY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("run", "--preset", "dmo"),
            f"unknown preset 'dmo': choose one of {', '.join(PRESETS)}; did you mean 'demo'?",
        ),
        (("run", "--set", "epohs=3"), "unknown setting 'epohs'; did you mean 'epochs'?"),
        (("run", "--set", "epochs=three"), "epochs='three': expected int"),
        (("run", "--set", "fusion=concatt"), "did you mean 'concat'"),
        (("run", "--only", "99"), "no notebook '99'"),
        (("evaluate", "--run", "nothing"), "no run 'nothing' here or under"),
        (("train", "--set", "tcn_blocks=-1"), "tcn_blocks=-1: must be in [0, 16]"),
        (("train", "--set", "learning_rate=nan"), "learning_rate=nan: must be above 0, and finite"),
        (("run", "--set", "seeds=42;43"), "seeds='42;43': expected integers"),
        (("run", "--set", "data=/tmp"), "use --data DIR"),
        (("train", "--set", "weights=/tmp"), "use --weights DIR"),
        (("train", "--set", "preset=paper"), "use --preset NAME"),
        (("sweep", "--grid", "preset=paper,demo"), "use --preset NAME"),
        (("run", "--data", "/nonexistent"), "--data /nonexistent: no such folder"),
        (("train", "--weights", "/nonexistent"), "--weights /nonexistent: no such folder"),
        (("train", "--preset", "paper"), "the preset paper is for real data"),
        (("run", "--preset", "strong"), "the preset strong is for real data"),
        (("settings", "windw"), "did you mean 'window'"),
        (("run", "--name", "../x"), "--name ../x: a run's name"),
        (("train", "--name", "../x"), "--name ../x: a run's name"),
        (("sweep", "--grid", "seed=1", "--name", "../x"), "--name ../x: a run's name"),
        (("run", "--name", "cache"), "--name cache: emolib keeps something else there"),
        (("train", "--name", "cache"), "--name cache: emolib keeps something else there"),
        (("sweep", "--grid", "seed=1", "--name", "all"), "--name all: emolib keeps"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(call, arguments, message):
    code, out, err = call(*arguments)
    assert (
        (code, out) == (2, "")
        and message in err
        and err.startswith("emolib: ")
        and err.count("\n") == 1
    )


def test_failed_work_is_one_line_and_exit_code_1(call, monkeypatch):
    def fail(*args, **kwargs):
        raise EmolibError("04_training.ipynb: cell 4 failed")

    monkeypatch.setattr("emolib.pipeline.run.run", fail)
    assert call("run") == (1, "", "emolib: 04_training.ipynb: cell 4 failed\n")


def test_a_missing_video_is_named_before_anything_else(call, tmp_path):
    untrained(tmp_path / "runs")
    code, _, err = call("predict", "missing.mp4", "--run", "mine", "--out", "out")
    assert (code, err) == (2, "emolib: missing.mp4: no such video or folder\n")


def test_other_data_that_are_not_there_are_named(call, tmp_path):
    untrained(tmp_path / "runs")
    for verb in ("evaluate", "submit"):
        code, _, err = call(verb, "--run", "mine", "--data", "/nonexistent")
        assert (code, err) == (2, "emolib: --data /nonexistent: no such folder\n")


def test_version_and_short_help(call):
    assert call("--version") == (0, f"emolib {__version__}\n", "")
    assert call("-h")[1] == call("--help")[1] and "emolib run" in call("-h")[1]
    assert call("train", "-h")[1] == call("train", "--help")[1]


def test_settings_tell_everything_about_each(call):
    code, out, _ = call("settings", "--json")
    rows = json.loads(out)
    assert code == 0 and list(rows) == [field.name for field in dataclasses.fields(Experiment)]
    for name, row in rows.items():
        assert row["meaning"] and row["values"] and row["source"], name
        assert row["presets"] == {each: getattr(preset(each), name) for each in PRESETS}
    text = call("settings", "width")[1]
    for part in ("width=512", "channels", "at least 1", "paper 3.2", "demo: 96"):
        assert part in text
    assert "strong" not in text  # its value is the paper's
    table = call("settings")[1]
    assert all(f"{name}=" in table for name in rows)


def test_a_generated_tree_given_by_path_serves_every_preset(tmp_path):
    experiment = options.experiment_of("paper", str(tmp_path), "", ["epochs=2"])
    assert (experiment.data, experiment.epochs) == (str(tmp_path), 2)


def test_a_warning_is_one_line(call, monkeypatch):
    def warn(*_, **__):
        warnings.warn("runs/demo: of other code", EmolibWarning, stacklevel=2)
        return SUMMARY

    monkeypatch.setattr("emolib.pipeline.run.run", warn)
    code, out, err = call("run", "--json")
    assert (code, json.loads(out), err) == (0, SUMMARY, "emolib: runs/demo: of other code\n")


@pytest.mark.parametrize(
    ("arguments", "near"), [(("trian",), "train"), (("run", "--onyl", "4"), "--only")]
)
def test_unknown_verbs_and_options_name_the_nearest(call, arguments, near):
    code, _, err = call(*arguments)
    assert code == 2 and near in err


def test_help_of_predict_explains_every_column(call):
    _, out, _ = call("predict", "--help")
    columns = [name for name in COLUMNS if not name.startswith("p_")]
    assert all(f"• {name}: " in out for name in [*columns, "p_Neutral ... p_Other"])


def test_no_verb_shows_the_help(call):
    assert "emolib run" in "".join(call()[1:])


def verbs():
    return [command.callback.__name__ for command in cli.app.registered_commands]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help_with_examples_that_parse(call, verb):
    code, out, _ = call(verb, "--help")
    assert code == 0 and "Examples:" in out and f"emolib {verb}" in out
    assert ("--json" in out) or verb == "report"
    command = typer.main.get_command(cli.app).commands[verb]
    examples = [shlex.split(line) for line in re.findall(r"`([^`]+)`", command.epilog)]
    assert examples
    for program, named, *arguments in examples:
        assert (program, named) == ("emolib", verb)
        with command.make_context(verb, list(arguments)) as context:
            assert context.params


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("emolib ", set(verbs())),
        ("emolib rep", {"report"}),
        ("emolib run --preset ", set(PRESETS)),
        ("emolib run --preset de", {"demo"}),
        ("emolib evaluate --run ", {"mine", "other"}),
        ("emolib predict --faces ", set(WHICH_FACES)),
        ("emolib extract --executor s", {"slurm"}),
        ("emolib bench ", set(cli.upkeep.BENCHES)),
        ("emolib clean ca", {"cache", "cache/features"}),
    ],
)
def test_the_shell_completes_verbs_and_values(call, monkeypatch, tmp_path, words, offered):
    """What bash is offered after ``words``, by the code that --install-completion installs."""
    for name in ("mine", "other"):
        preset("demo").save(tmp_path / "runs" / name / "experiment.json")
    (tmp_path / "runs" / "cache" / "features").mkdir(parents=True)
    # Called as the program `emolib`, not as `python -m` of this process.
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)
    monkeypatch.setenv("_EMOLIB_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert set(call()[1].split()) == offered


def test_completion_can_be_installed(call):
    assert "--install-completion" in call("--help")[1]


def test_only_verbs_that_exist_are_offered():
    assert {"run", "train", "evaluate", "info"} <= set(verbs())
    assert ("report" in verbs()) == (importlib.util.find_spec("emolib.results.report") is not None)


def test_another_runs_folder_is_found_by_name_or_path_and_the_nearest_is_named(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    preset("demo").save(tmp_path / "demo" / "experiment.json")
    assert (
        options.run_folder("demo")
        == tmp_path / "demo"
        == options.run_folder(str(tmp_path / "demo"))
    )
    with pytest.raises(EmolibError, match="did you mean 'demo'"):
        options.run_folder("demos")


def test_a_complete_run_of_an_older_emolib_is_one_clear_line(call, tmp_path):
    experiment = preset("demo", **SMALL)
    made = dataclasses.asdict(identity_of(experiment))
    experiment.save(tmp_path / "runs" / "small" / "experiment.json", **made)
    (tmp_path / "runs" / "small" / "metrics.json").write_text("{}")
    (tmp_path / "runs" / "small" / "history.csv").write_text("epoch\n1\n")
    settings = ",".join(f"{name}={value}" for name, value in SMALL.items())
    code, out, err = call("train", "--name", "small", "--quiet", "--set", settings)
    assert (code, out) == (
        1,
        "",
    ) and "another version of emolib, lacks origin, frame, window; delete it" in err


SMALL = {
    "synth_train_clips": 1,
    "synth_validation_clips": 4,
    "synth_test_clips": 2,
    "synth_seconds": 2.0,
    "window": 10,
    "width": 16,
}


def untrained(runs, **changes):
    """A run with an untrained model on a small generated tree."""
    experiment = preset(
        "demo", **{**SMALL, "attention_heads": 2, "tcn_blocks": 2, "amp": "float32", **changes}
    )
    experiment.save(
        runs / "mine" / "experiment.json", **dataclasses.asdict(identity_of(experiment))
    )
    torch.manual_seed(3)
    model = EmotionModel(experiment)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        runs / "mine" / "model.safetensors",
    )
    return experiment, model.eval()


def test_evaluate_scores_a_run_a_few_clips_at_a_time(call, tmp_path, monkeypatch):
    experiment, model = untrained(tmp_path / "runs")
    sizes, whole = [], features.window_set

    def window_set(experiment, clips, *, protocol, **options):
        sizes.append((protocol, len(clips)))
        return whole(experiment, clips, protocol=protocol, **options)

    for module in (features, inputs):
        monkeypatch.setattr(module, "window_set", window_set)
    monkeypatch.setattr(inputs, "STEPS_AT_ONCE", 20 * 16)
    code, out, err = call("evaluate", "--run", "mine", "--json", "--quiet")
    result = json.loads(out)
    assert code == 0 and err == "" and result["origin"] == "synthetic"
    assert max(n for protocol, n in sizes if protocol == "frame") < 4, (
        "all clips' windows were in memory at once"
    )
    clips = inputs.clips_of(experiment, ("validation",))
    assert len(clips) == 4
    frames, windows = (
        whole(experiment, clips, protocol=protocol, progress=False)
        for protocol in ("frame", "window")
    )
    expected = evaluation.score_of_clips(clips, evaluation.predict_clips(model, frames))
    assert result["frame"]["confusion"] == expected["confusion"] and result["frame"]["clips"] == 4
    assert result["window"]["n"] == len(windows.label)
    code, out, _ = call("evaluate", "--run", "mine", "--quiet")
    assert code == 0 and "SYNTHETIC" in out and f"frame: macro-F1 {expected['macro_f1']:.4f}" in out
    assert "window that ends nearest to the frame, a window every 5 frames\n" in out


def test_a_run_that_was_made_otherwise_is_named_as_such(call, tmp_path):
    experiment, _ = untrained(tmp_path / "runs")
    path = tmp_path / "runs" / "mine" / "experiment.json"
    made = dataclasses.asdict(identity_of(experiment))
    for name, said in (("code", "by other code"), ("data", "from other data")):
        experiment.save(path, **{**made, name: "of before"})
        code, out, err = call("evaluate", "--run", "mine", "--json", "--quiet")
        assert code == 0 and json.loads(out)["frame"]
        assert err.count("\n") == 1 and f"made {said}" in err and "not this version's" in err


def test_info_tells_versions_device_and_sizes(call):
    code, out, _ = call("info", "--json")
    result = json.loads(out)
    assert (
        code == 0
        and result["device"]
        and result["versions"]["torch"]
        and set(result["bytes"].values()) == {0}
    )
    assert [path.split("/")[-1] for path in result["bytes"]] == ["runs", "cache"]


def test_info_counts_runs_and_caches_apart(call, tmp_path):
    preset("demo").save(tmp_path / "runs" / "demo" / "experiment.json")
    cached = tmp_path / "runs" / "cache" / "features" / "0123456789abcdef" / "clip.safetensors"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(bytes(5_000_000))
    sizes = list(json.loads(call("info", "--json")[1])["bytes"].values())
    assert sizes == [(tmp_path / "runs" / "demo" / "experiment.json").stat().st_size, 5_000_000]
    out = call("info")[1]
    assert f"caches in {tmp_path / 'runs' / 'cache'}: 5.0 MB" in out and "device" in out


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys; import emolib.cli; print([m for m in ('torch', 'pandas', 'papermill', "
        "'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "grid",
    [
        ("--grid", "window=10,60", "seed=42,43"),
        ("--grid", "window=10,60", "--grid", "seed=42,43", "--quiet"),
        ("--grid", "window=10,60", "--grid", "seed=42", "seed=43"),
    ],
    ids=str,
)
def test_sweep_takes_a_grid_of_several_settings(call, monkeypatch, grid):
    import pandas as pd

    asked = []
    monkeypatch.setattr(
        "emolib.training.sweep.run",
        lambda experiment, values, folder, **options: (
            asked.append(values) or pd.DataFrame({"seed": [42]})
        ),
    )
    code, out, _ = call("sweep", *grid)
    assert code == 0 and "42" in out and asked == [{"window": [10, 60], "seed": [42, 43]}]
    code, _, err = call("sweep", "--grid", "window=10", "sed=42")
    assert code and "seed" in err and len(asked) == 1


def test_sweep_and_extract_take_the_same_cluster_options(call, monkeypatch):
    import pandas as pd

    asked = []
    monkeypatch.setattr(
        "emolib.training.sweep.run",
        lambda *_, **options: asked.append(options["slurm"]) or pd.DataFrame({"seed": [42]}),
    )
    monkeypatch.setattr("emolib.features.prepare.clips_of", lambda *_, **__: [])
    monkeypatch.setattr(
        "emolib.training.cluster.run_array",
        lambda commands, folder, **resources: asked.append(resources),
    )
    options = (
        "--executor",
        "slurm",
        "--minutes",
        "30",
        "--cpus",
        "4",
        "--gpus",
        "1",
        "--sbatch",
        "partition=gpu",
        "--sbatch",
        "account=a=b",
    )
    assert call("sweep", "--grid", "seed=42", "--jobs", "3", *options)[0] == 0
    assert call("extract", *options)[0] == 0
    resources = {
        "minutes": 30,
        "cpus": 4,
        "gpus": 1,
        "options": {"partition": "gpu", "account": "a=b"},
    }
    assert asked == [{"parallel": 3, **resources}, resources]
    for verb in (("sweep", "--grid", "seed=42"), ("extract",)):
        code, _, err = call(*verb, "--executor", "slurm", "--sbatch", "partition")
        assert code == 2 and "--sbatch partition: must be key=value" in err


@pytest.mark.parametrize(
    "error",
    [PermissionError(13, "Permission denied", "there"), OSError(36, "File name too long", "there")],
)
def test_what_the_system_refuses_is_one_line(capsys, monkeypatch, error):

    def refused():
        raise error

    monkeypatch.setattr("emolib.cli.app", refused)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert (
        capsys.readouterr().err
        == f"emolib: there: {error.strerror}; give another path, or its permission\n"
    )


def test_a_smoothed_score_says_so_where_it_stands():
    score = {"macro_f1": 0.4, "macro_f1_interval": [0.3, 0.5], "accuracy": 0.5}
    even = preset("paper", smoothing="box", smoothing_half_width=25)
    smoothed = even.smoothed()
    # The second as metrics.json had it earlier.
    for field, how in (("by_frame", even.by_frame()), ("smoothed", smoothed)):
        text = evaluation.score_text(
            {"origin": "", field: how, "frame": score, "window": score}
        ).splitlines()
        assert text[1].endswith(f"accuracy 0.5000{how}") and text[2].endswith("accuracy 0.5000")
    assert "a window every frame, smoothed over ±25 frames (box)" in even.by_frame()
    row = {
        "window": 60,
        "protocol": "frame",
        **score,
        "interval": [0.3, 0.5],
        "ceiling": None,
        "paper_validation": 0.36,
        "paper_test": 0.32,
    }
    summary = {
        "name": "x",
        "origin": "",
        "window_table": [row | {"seeds": 3, "interval_over": "seeds"}],
    }
    assert "validation; frames smoothed over ±25 frames (box)" in window_text(
        summary | {"smoothed": smoothed}
    )
    assert "smoothed" not in window_text(summary | {"smoothed": preset("paper").smoothed()})


def test_submit_names_guessed_clips_and_those_left_out(call, monkeypatch):
    result = {
        "rows": 9,
        "clips": 6,
        "filled": 4,
        "empty": ["a", "b", "c", "d"],
        "left_out": ["x"],
        "fill_rule": "so",
        "origin": "",
        "face_share": 0.75,
        "missing_faces": "faces in 60.0% of the annotated train frames",
    }
    monkeypatch.setattr("emolib.studies.submission.of_run", lambda *_, **__: result)
    monkeypatch.setattr(cli.results, "run_folder", Path)
    code, out, err = call("submit")
    assert code == 0 and "75.0% with a face, 4 filled: so" in out
    assert out.splitlines()[1] == "trained with faces in 60.0% of the annotated train frames"
    assert err.splitlines() == [
        "emolib: 4 clip(s) without any face, all filled: a, b, c and 1 more",
        "emolib: 1 clip(s) on the test list but not in the template: x",
    ]
    code, out, err = call("submit", "--json")
    assert (code, err) == (0, "") and json.loads(out) == result


def test_results_of_the_other_videos_are_printed_when_one_fails(call, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        Path(name).touch()

    def predict(*_, **__):
        raise predict_module.SomeFailed(
            "1 of 2 videos failed: b.mp4: cannot be decoded", [{"video": "a.mp4"}]
        )

    monkeypatch.setattr(predict_module, "predict", predict)
    monkeypatch.setattr(cli.results, "run_folder", Path)
    code, out, err = call("predict", "a.mp4", "b.mp4", "--out", "out", "--json")
    assert code == 1 and json.loads(out) == [{"video": "a.mp4"}] and "b.mp4" in err


def test_a_report_with_pictures_of_people_leaves_the_run_only_when_asked(
    call, tmp_path, monkeypatch
):
    preset("paper", data="/data/tree").save(tmp_path / "runs" / "mine" / "experiment.json")
    monkeypatch.setattr("emolib.results.report.write", lambda run, out: out or run / "report.html")
    elsewhere = ("report", "--run", "mine", "--out", str(tmp_path / "page.html"))
    code, _, err = call(*elsewhere)
    assert code == 2 and "pictures of people from /data/tree" in err
    assert call(*elsewhere, "--people")[0] == 0
    assert call("report", "--run", "mine")[0] == 0
