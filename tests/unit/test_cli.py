"""The command line: exit codes, one line of error, help, and what is printed."""

import importlib.util
import json
import subprocess
import sys

import pytest

from emolib import cli
from emolib.config import preset
from emolib.errors import EmolibError


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
    "name": "demo", "origin": "synthetic", "window_table": [
        {"window": 60, "protocol": "frame", "macro_f1": 0.91, "interval": [0.9, 0.92], "interval_over": "seeds", "seeds": 3,
         "ceiling": 0.96, "paper_validation": 0.3599, "paper_test": 0.32},
        {"window": 90, "protocol": "frame", "macro_f1": 0.91, "interval": [0.9, 0.92], "interval_over": "seeds", "seeds": 3,
         "ceiling": None, "paper_validation": None, "paper_test": None},
    ],
}  # fmt: skip


def test_run_prints_the_window_table_beside_the_papers(call, monkeypatch):
    seen = {}

    def run(experiment, name, **options):
        seen.update(experiment=experiment, name=name, **options)
        return SUMMARY

    monkeypatch.setattr("emolib.pipeline.run", run)
    code, out, err = call("run", "--set", "epochs=3", "--set", "seeds=1,2", "--only", "04,05", "--name", "x")
    assert (code, err) == (0, "")
    assert seen["experiment"] == preset("demo", epochs=3, seeds="1,2") and seen["name"] == "x" and seen["only"] == "04,05"
    assert "SYNTHETIC" in out and "0.910 [0.900, 0.920]" in out and "0.360" in out and "3 seeds" in out
    assert out.split("\n")[3].split()[-4:] == ["–", "|", "–", "–"]
    code, out, _ = call("run", "--json")
    assert code == 0 and json.loads(out) == SUMMARY


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--preset", "dmo"), "unknown preset 'dmo': choose one of paper, released_code, demo; did you mean 'demo'?"),
        (("run", "--set", "epohs=3"), "unknown setting 'epohs'; did you mean 'epochs'?"),
        (("run", "--set", "epochs=three"), "epochs='three': expected int"),
        (("run", "--set", "fusion=concatt"), "did you mean 'concat'"),
        (("run", "--only", "99"), "no notebook '99'"),
        (("evaluate", "--run", "nothing"), "no run 'nothing' here or under"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(call, arguments, message):
    code, out, err = call(*arguments)
    assert (code, out) == (2, "") and message in err and err.startswith("emolib: ") and err.count("\n") == 1


def test_failed_work_is_one_line_and_exit_code_1(call, monkeypatch):
    def fail(*args, **kwargs):
        raise EmolibError("03_training.ipynb: cell 4 failed")

    monkeypatch.setattr("emolib.pipeline.run", fail)
    assert call("run") == (1, "", "emolib: 03_training.ipynb: cell 4 failed\n")


@pytest.mark.parametrize(("arguments", "near"), [(("trian",), "train"), (("run", "--onyl", "4"), "--only")])
def test_unknown_verbs_and_options_name_the_nearest(call, arguments, near):
    code, _, err = call(*arguments)
    assert code == 2 and near in err


def test_no_verb_shows_the_help(call):
    assert "emolib run" in "".join(call()[1:])


def verbs():
    return [command.callback.__name__ for command in cli.app.registered_commands]


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help_with_examples(call, verb):
    code, out, _ = call(verb, "--help")
    assert code == 0 and "Examples:" in out and f"emolib {verb}" in out
    assert ("--json" in out) or verb == "report"


def test_only_verbs_that_exist_are_offered():
    assert {"run", "train", "evaluate", "info"} <= set(verbs())
    assert ("report" in verbs()) == (importlib.util.find_spec("emolib.report") is not None)


def test_another_runs_folder_is_found_by_name_or_path_and_the_nearest_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    preset("demo").save(tmp_path / "demo" / "experiment.json")
    assert cli.run_folder("demo") == tmp_path / "demo" == cli.run_folder(str(tmp_path / "demo"))
    with pytest.raises(EmolibError, match="did you mean 'demo'"):
        cli.run_folder("demos")


def test_info_tells_versions_device_and_sizes(call):
    code, out, _ = call("info", "--json")
    result = json.loads(out)
    assert code == 0 and result["device"] and result["versions"]["torch"] and set(result["bytes"].values()) == {0}


def test_help_is_quick_and_imports_nothing_heavy():
    code = "import sys; import emolib.cli; print([m for m in ('torch', 'pandas', 'papermill', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
