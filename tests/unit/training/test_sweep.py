"""Sweeps over in-memory data: the table, what is not repeated, what fails, stacks.

Worker processes and SLURM: tests/integration/test_sweep_processes.py.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
import torch

from emolib.errors import EmolibError, EmolibWarning, WrongCall
from emolib.evaluation.identity import LOADED, Identity
from emolib.features import prepare as inputs
from emolib.features.sources import Sources
from emolib.system.files import read_json, write_json
from emolib.system.runs import writing
from emolib.training import fit as fitting
from emolib.training import run as training
from emolib.training import stacks, sweep, unit, workers
from emolib.training.claim import is_complete
from tests.support.forks import exit_code, fork
from tests.support.sweeps import SOURCES, TODAY, keep_in_memory, same_bits
from tests.support.windowsets import make, prompts, tiny

GRID = {"width": [16, 32], "seed": [1, 2]}


@pytest.fixture
def prepared(monkeypatch):
    """The experiments whose data were asked for."""
    return keep_in_memory(monkeypatch)


def test_table_and_nothing_is_repeated(tmp_path, prepared):
    table = sweep.run(tiny(), GRID, tmp_path / "sweep", workers=0, progress=False)
    assert table[["width", "seed"]].to_numpy().tolist() == [[16, 1], [16, 2], [32, 1], [32, 2]]
    assert (table.frame_macro_f1_low <= table.frame_macro_f1).all() and (
        table.window_macro_f1_high >= table.window_macro_f1
    ).all()
    assert table.frame_macro_f1.nunique() > 1 and (table.error == "").all() and len(prepared) == 4
    again = sweep.run(
        tiny(), {"width": [32, 16], "seed": [2]}, tmp_path / "sweep", workers=0, progress=False
    )
    assert len(prepared) == 4
    assert again.frame_macro_f1.tolist() == table.frame_macro_f1.iloc[[3, 1]].tolist()
    stored = pd.read_parquet(tmp_path / "sweep" / "results.parquet")
    pd.testing.assert_frame_equal(stored, again)
    assert (
        pd.read_csv(tmp_path / "sweep" / "results.csv").fingerprint.tolist()
        == again.fingerprint.tolist()
    )


def test_sweeps_share_runs_and_keep_their_own_records(tmp_path, prepared):
    first = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path, workers=0, progress=False)
    second = sweep.run_variants(
        tiny(),
        [{"seed": 2}, {"width": 32, "seed": 1}],
        tmp_path,
        record="other",
        workers=0,
        progress=False,
    )
    assert len(prepared) == 3, "seed 2 is shared"
    assert pd.read_csv(tmp_path / "results.csv").fingerprint.tolist() == first.fingerprint.tolist()
    assert (
        pd.read_csv(tmp_path / "other.csv").fingerprint.tolist()
        == second.fingerprint.tolist()
        != first.fingerprint.tolist()
    )


def test_the_run_around_the_sweep_counts(tmp_path, prepared):
    training.run(tiny(seed=2), tmp_path, progress=False)
    table = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path / "sweep", workers=0, progress=False)
    assert len(prepared) == 2 and table.folder.iloc[1] == str(tmp_path)


def test_a_failed_run_is_named_and_the_others_go_on(tmp_path, prepared):
    with pytest.raises(EmolibError, match=r"1 of 3 runs failed \(epochs=1: no such weights\)"):
        sweep.run(tiny(), {"epochs": [2, 1, 3]}, tmp_path, workers=0, progress=False)
    stored = pd.read_parquet(tmp_path / "results.parquet")
    assert stored.error.tolist() == [
        "",
        "no such weights",
        "",
    ] and stored.frame_macro_f1.isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory.\nTried 3 GiB"),
        MemoryError(),
        KeyError("a bug"),
        AttributeError("a bug"),
    ],
)
def test_no_failure_of_a_run_ends_the_others(tmp_path, prepared, monkeypatch, capsys, error):
    fit = training.fit

    def failing(experiment, *arguments, **options):
        if experiment.width == 32:
            raise error
        return fit(experiment, *arguments, **options)

    monkeypatch.setattr(training, "fit", failing)
    with pytest.raises(
        EmolibError, match=rf"1 of 2 runs failed \(width=32: {type(error).__name__}"
    ):
        sweep.run(tiny(), {"width": [32, 16]}, tmp_path, workers=0, progress=False)
    assert pd.read_csv(tmp_path / "results.csv").frame_macro_f1.notna().tolist() == [False, True]
    assert "Traceback" in capsys.readouterr().err
    assert unit.reason(error) in (
        f"{type(error).__name__}: {str(error).splitlines()[-1]}" if str(error) else "MemoryError",
    )


def test_wrong_grids_are_refused_before_any_work(tmp_path, prepared):
    for grid, message in (
        ({"windw": [1]}, "did you mean 'window'"),
        ({"modalities": ["audio"]}, "nothing to fuse"),
        ({"seed": []}, "seed has no values"),
        ({"epochs": [1, 2], "seed": [42, 43, 42]}, "seed=42 stands there twice"),
    ):
        with pytest.raises(WrongCall, match=message):
            sweep.run(tiny(), grid, tmp_path / "none", progress=False)
    with pytest.raises(WrongCall, match="executor='cloud'"):
        sweep.run(tiny(), GRID, tmp_path / "none", executor="cloud")
    assert not prepared and not (tmp_path / "none").exists()


# Run by each Python before anything else: a worker that answers at once, or dies over a run.
ANSWERING = """
import json, os, signal, sys
if "emolib.training.workers" in sys.orig_argv:
    for line in sys.stdin:
        if os.path.basename(line).startswith("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        print(json.dumps(""), flush=True)
    os._exit(0)
"""


def test_a_worker_that_dies_fails_its_own_run_alone(tmp_path, prepared, monkeypatch):
    """Two workers, of which each is killed over one run; four runs were to come after those."""
    (tmp_path / "sitecustomize.py").write_text(ANSWERING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = ["dies_first", "dies_second", "a", "b", "c", "d"]
    experiments = {tmp_path / name: tiny(seed=seed) for seed, name in enumerate(names)}
    reports: dict[str, str] = {}

    def report(path, why):
        reports[path.name] = why

    workers.train_here(list(experiments), experiments, 2, report, progress=False)
    assert {name: why[:17] for name, why in reports.items() if why} == {
        "dies_first": "its process ended",
        "dies_second": "its process ended",
    }
    assert set(reports) == set(names)


# Run by each Python before anything else: a worker that notes its device beside each run, and an
# extraction on the second device that has nothing to do.
NOTING = """
import json, os, sys, time
if "emolib.features.shared_out" in sys.orig_argv:
    os._exit(0)
if "emolib.training.workers" in sys.orig_argv:
    for line in sys.stdin:
        with open(line.strip(), "w") as file:
            file.write(os.environ["EMOLIB_DEVICE"] + os.environ["EMOLIB_DEVICES"])
        time.sleep(0.2)
        print(json.dumps(""), flush=True)
    os._exit(0)
"""


def test_several_devices_share_the_runs(tmp_path, prepared, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(NOTING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("EMOLIB_DEVICES", "cuda:0,cuda:1")
    monkeypatch.setattr(sweep, "train_stacks", lambda *_: pytest.fail("stacked on one device"))
    monkeypatch.setattr(sweep, "device", lambda: "cuda:0")
    experiments = {tmp_path / f"run{seed}": tiny(seed=seed) for seed in range(8)}
    reported: list[str] = []

    def report(path, why):
        reported.append(why)

    sweep._here(list(experiments), experiments, tmp_path, None, None, report, progress=False)
    assert reported == [""] * 8
    assert {path.read_text() for path in experiments} == {"cuda:0", "cuda:1"}


def test_stacked_runs_give_the_table_of_single_runs(tmp_path, prepared):
    still = dict.fromkeys(
        ("classifier_dropout", "tcn_dropout", "adapter_dropout", "attention_dropout"), 0.0
    )
    grid = {"width": [16, 32], "seed": [1, 2]}
    alone = sweep.run(tiny(**still), grid, tmp_path / "alone", workers=0, progress=False)
    together = sweep.run(
        tiny(**still), grid, tmp_path / "stacked", workers=0, stack=True, progress=False
    )
    same = ["width", "seed", "best_epoch", "parameters", "fingerprint", "error"]
    pd.testing.assert_frame_equal(alone[same], together[same])
    assert together.window_macro_f1.to_numpy() == pytest.approx(
        alone.window_macro_f1.to_numpy(), abs=0.03
    )
    assert alone.window_macro_f1.nunique() > 1
    for folder in together.folder:
        assert training.load_model(Path(folder), "cpu")[1].fingerprint("train") == Path(folder).name
        assert (Path(folder) / "predictions" / "clip0.parquet").is_file() and (
            Path(folder) / "provenance.json"
        ).is_file()
    assert not list((tmp_path / "stacked").glob("stack-*"))


def test_a_stack_that_was_stopped_goes_on_with_its_members(tmp_path, prepared, monkeypatch):
    """Stopped after two epochs, and again between its two runs' last files;
    asked for with one run more and one less.
    """
    whole = sweep.run(
        tiny(), {"seed": [1, 2]}, tmp_path / "whole", workers=0, stack=True, progress=False
    )
    calls = []

    class Stopped(Exception):
        pass

    def stop_at(module, name, number):
        function = getattr(module, name)

        def counted(*arguments, **options):
            calls.append(name)
            if calls.count(name) == number:
                raise Stopped
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, counted)

    stop_at(fitting, "save_file", 3)
    stop_at(training, "finish", 2)
    for grid in ([1, 2], [1, 2, 3]):
        with pytest.raises(Stopped):
            sweep.run(
                tiny(), {"seed": grid}, tmp_path / "pieces", workers=0, stack=True, progress=False
            )
    assert calls.count("save_file") == 4, "two epochs, then the third again and no more"
    pieces = sweep.run(
        tiny(), {"seed": [2, 3]}, tmp_path / "pieces", workers=0, stack=True, progress=False
    )
    same_bits(whole.iloc[[1]].reset_index(drop=True), pieces.iloc[[0]].reset_index(drop=True))
    assert (tmp_path / "pieces" / whole.fingerprint[0] / "metrics.json").is_file() and len(
        pieces
    ) == 2


def test_a_stack_too_large_for_the_memory_is_halved(tmp_path, prepared, monkeypatch):
    sizes, fit_stack = [], stacks.fit_stack

    def tight(experiments, *arguments, **options):
        sizes.append(len(experiments))
        if len(experiments) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return fit_stack(experiments, *arguments, **options)

    monkeypatch.setattr(stacks, "fit_stack", tight)
    table = sweep.run(
        tiny(), {"seed": [1, 2, 3, 4, 5]}, tmp_path, workers=0, stack=True, progress=False
    )
    # 5 into 2 and 3, 3 into 1 and 2; the one is trained alone.
    assert sizes == [5, 2, 3, 2] and table.frame_macro_f1.notna().all()
    assert [len(names) for names in read_json(tmp_path / "stacks.json")] == [2, 2]


def test_an_error_in_a_stack_is_that_of_its_runs(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr(stacks, "fit_stack", lambda experiments, *_, **__: {}["a bug"])
    with pytest.raises(
        EmolibError,
        match=r"2 of 3 runs failed \(width=16,seed=1: KeyError: 'a bug'; width=16,seed=2: KeyError",
    ):
        sweep.run_variants(
            tiny(),
            [{"width": 16, "seed": 1}, {"width": 16, "seed": 2}, {"width": 32, "seed": 1}],
            tmp_path,
            stack=True,
            workers=0,
            progress=False,
        )


def test_a_stack_that_lost_a_member_is_formed_anew(tmp_path, prepared):
    """A run of a stack begun earlier was deleted:
    the others do not fail for want of its experiment.json.
    """
    lost = tiny(seed=9).fingerprint("train")
    write_json(
        tmp_path / "stacks.json",
        [[lost, *(tiny(seed=seed).fingerprint("train") for seed in (1, 2))]],
    )
    table = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path, workers=0, stack=True, progress=False)
    assert table.frame_macro_f1.notna().all() and read_json(tmp_path / "stacks.json") == [
        table.fingerprint.tolist()
    ]


def test_a_stack_goes_through_the_frames_once(tmp_path, prepared, monkeypatch):
    passes = []

    class Frames(list):
        def __iter__(self):
            passes.append(1)
            return super().__iter__()

    monkeypatch.setattr(
        inputs,
        "prepare",
        lambda e, *, progress=True: inputs.Data(
            make(), make(seed=1), Frames([make(seed=1), make(seed=2)]), *prompts()
        ),
    )
    table = sweep.run(tiny(), {"seed": [1, 2, 3]}, tmp_path, workers=0, stack=True, progress=False)
    assert len(passes) == 1 and table.frame_macro_f1.nunique() > 1


def test_a_stack_holds_its_runs_while_it_trains(tmp_path, prepared, monkeypatch):
    refused, fit_stack = [], stacks.fit_stack

    def watched(experiments, data, *arguments, **options):
        for experiment in experiments:
            with pytest.raises(EmolibError, match=f"in use by process {os.getpid()}"):
                training.run(experiment, tmp_path / experiment.fingerprint("train"))
            refused.append(experiment.seed)
        return fit_stack(experiments, data, *arguments, **options)

    monkeypatch.setattr(stacks, "fit_stack", watched)
    table = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path, workers=0, stack=True, progress=False)
    assert refused == [1, 2] and table.frame_macro_f1.notna().all()
    for folder in table.folder:
        with writing(Path(folder)):  # and gives them back
            pass


def test_a_stack_with_a_run_in_use_fails_and_names_its_user(tmp_path, prepared):
    sweep.run(tiny(), {"seed": [1]}, tmp_path, workers=0, progress=False)
    names = [tiny(seed=seed).fingerprint("train") for seed in (1, 2)]
    write_json(tmp_path / "stacks.json", [names])
    tiny(seed=2).save(tmp_path / names[1] / "experiment.json", **asdict(TODAY))
    # Finished, so that the sweep does not claim it, but a member of the other's stack.
    with (
        writing(tmp_path / names[0]),
        pytest.raises(EmolibError, match=rf"1 of 1 runs failed \(seed=2: .*{names[0]} is in use"),
    ):
        sweep.run(tiny(), {"seed": [2]}, tmp_path, workers=0, stack=True, progress=False)


def test_states_of_stacks_by_other_code_are_deleted(tmp_path, prepared):
    for name in ("stack-0123-4567.pt", f"stack-0123-{LOADED}.pt", "stack-0123.pt"):
        (tmp_path / name).touch()
    sweep.run(tiny(), {"seed": [1, 2]}, tmp_path, workers=0, stack=True, progress=False)
    assert [path.name for path in tmp_path.glob("stack-*")] == [f"stack-0123-{LOADED}.pt"]


def test_a_member_of_a_stack_that_other_code_made_is_put_aside(tmp_path, prepared):
    """The sweep asks for one of the stack's two runs; the other is trained again beside it."""
    both = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path, workers=0, stack=True, progress=False)
    other = Path(both.folder[1])
    before = Identity("of-before", SOURCES.data, SOURCES.encoders)
    tiny(seed=2).save(other / "experiment.json", **asdict(before))
    (Path(both.folder[0]) / "metrics.json").unlink()
    with pytest.warns(EmolibWarning, match="was made by other code"):
        sweep.run(tiny(), {"seed": [1]}, tmp_path, workers=0, stack=True, progress=False)
    assert (other / "earlier" / before.key / "metrics.json").is_file()
    assert is_complete(other, TODAY)


def test_a_sweep_over_data_or_weights_is_refused(tmp_path, prepared):
    """Its runs would share a folder, because settings alone tell them apart."""
    for name in ("data", "weights"):
        with pytest.raises(WrongCall, match=f"{name} cannot vary within a sweep"):
            sweep.run(tiny(), {name: ["/a", "/b"]}, tmp_path, workers=0, progress=False)
    assert not prepared


@pytest.mark.parametrize("stack", [False, True])
def test_a_sweep_is_made_anew_from_other_weights(tmp_path, prepared, monkeypatch, stack):
    def scores():
        options = {"workers": 0, "stack": stack, "progress": False}
        return sweep.run(tiny(epochs=2), {"seed": [1, 2]}, tmp_path, **options).frame_macro_f1

    first, again = scores().tolist(), scores().tolist()
    assert first == again
    calls = len(prepared)
    others = Sources(SOURCES.data, encoders="of-others")
    monkeypatch.setattr(inputs, "sources", lambda experiment, *, progress=True: others)
    with pytest.warns(EmolibWarning, match="made with other weights"):
        assert scores().tolist() == first, "the data in memory are the same"
    assert len(prepared) > calls, "and were trained on anew"


@pytest.mark.parametrize("score", [[], {"macro_f1": 0.5, "macro_f1_interval": 0.5}])
def test_metrics_of_another_form_are_refused_by_name(tmp_path, prepared, score):
    table = sweep.run(tiny(), {"seed": [1]}, tmp_path, workers=0, progress=False)
    path = Path(table.folder[0]) / "metrics.json"
    write_json(path, {**read_json(path), "frame": score})
    with pytest.raises(EmolibError, match=r"metrics\.json: holds values of another form"):
        sweep.run(tiny(), {"seed": [1]}, tmp_path, workers=0, progress=False)


def test_the_table_names_the_code_of_each_run(tmp_path, prepared):
    table = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path, workers=0, progress=False)
    assert table.code.tolist() == [LOADED, LOADED]
    metrics = read_json(Path(table.folder[0]) / "metrics.json")
    assert metrics["code"] == LOADED, "as the run itself says"


def test_a_run_that_diverges_in_a_stack_is_named(tmp_path, prepared):
    with pytest.raises(
        EmolibError, match=r"1 of 2 runs failed \(learning_rate=1e\+38: .*not finite"
    ):
        sweep.run(
            tiny(), {"learning_rate": [1e-3, 1e38]}, tmp_path, workers=0, stack=True, progress=False
        )
    assert pd.read_csv(tmp_path / "results.csv").frame_macro_f1.notna().tolist() == [True, False]


def test_a_worker_ends_when_its_input_does(tmp_path):
    asked, answers = tmp_path / "asked", tmp_path / "answers"
    asked.write_text("/no/such/run\n")

    def worker():
        os.dup2(os.open(asked, os.O_RDONLY), 0)
        os.dup2(os.open(answers, os.O_WRONLY | os.O_CREAT), 1)
        sys.stdin = os.fdopen(0)
        workers.work(os.getppid())

    assert exit_code(fork(worker)) == 0
    assert "/no/such/run/experiment.json: no such file" in answers.read_text()


def test_slurm_units_through_submitit(tmp_path, prepared, monkeypatch):
    """The executor's path without a cluster: submitit runs the jobs in this process."""
    submitit = pytest.importorskip("submitit")
    real = submitit.AutoExecutor
    monkeypatch.setattr(
        submitit, "AutoExecutor", lambda folder, cluster: real(folder, cluster="debug")
    )
    here = sweep.run(tiny(), {"seed": [1, 2]}, tmp_path / "here", workers=0, progress=False)
    there = sweep.run(
        tiny(), {"seed": [1, 2]}, tmp_path / "there", executor="slurm", progress=False
    )
    pd.testing.assert_frame_equal(here.drop(columns="folder"), there.drop(columns="folder"))
    with pytest.raises(EmolibError, match="1 of 2 runs failed"):
        sweep.run(tiny(), {"epochs": [1, 2]}, tmp_path / "there", executor="slurm", progress=False)


def test_without_slurm_a_sweep_on_it_is_a_wrong_call(tmp_path, prepared, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WrongCall, match="no SLURM on this machine"):
        sweep.run(tiny(), {"seed": [1, 2]}, tmp_path / "there", executor="slurm", progress=False)


def test_jobs_that_slurm_refuses_are_told_in_one_line(tmp_path, prepared, monkeypatch):
    submitit = pytest.importorskip("submitit")
    asked = {}

    class Refusing:
        def __init__(self, folder, cluster):
            assert (folder, cluster) == (tmp_path / "there" / "slurm", "slurm")

        def update_parameters(self, **parameters):
            asked.update(parameters)

        def map_array(self, call, arguments):
            raise submitit.core.utils.FailedJobError(
                "Command failed\nsbatch: error: invalid partition specified: gpu"
            )

    monkeypatch.setattr(submitit, "AutoExecutor", Refusing)
    wanted = {"gpus": 1, "options": {"partition": "gpu"}, "parallel": 3}
    with pytest.raises(
        EmolibError,
        match=r"^SLURM refused the jobs: sbatch: error: invalid partition specified: gpu$",
    ):
        sweep.run(
            tiny(),
            {"seed": [1, 2]},
            tmp_path / "there",
            executor="slurm",
            slurm=wanted,
            progress=False,
        )
    assert asked == {
        "name": "emolib",
        "timeout_min": 240,
        "cpus_per_task": 1,
        "gpus_per_node": 1,
        "slurm_array_parallelism": 3,
        "slurm_additional_parameters": {"partition": "gpu"},
    }
