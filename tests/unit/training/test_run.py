"""Training on small sets in memory: it learns, resumes to the bit, and names what is wrong."""

import signal
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.utils import parameters_to_vector

from emolib.errors import EmolibError, WrongCall
from emolib.evaluation.identity import LOADED, Identity
from emolib.evaluation.predictions import predict_windows
from emolib.features import batches
from emolib.features.batches import DeviceWindows, fit_statistics, moments
from emolib.features.prepare import Data
from emolib.losses import Classification
from emolib.model import EmotionModel
from emolib.system.device import run_threads
from emolib.system.files import hash_file, read_json
from emolib.training import fit as fitting
from emolib.training import run as training
from emolib.training.fit import fit
from emolib.training.run import load_model, train_and_evaluate
from emolib.training.trainer import Trainer
from tests.support.forks import exit_code_and_seconds, fork
from tests.support.windowsets import make, prompts, tiny

TODAY = Identity(LOADED, "of-memory", "of-none")


def data(**options):
    text, scale = prompts()
    return Data(
        make(**options), make(seed=1, **options), [make(seed=1, stride=3, **options)], text, scale
    )


def complete(experiment, folder, of=None):
    training.claim(experiment, folder, TODAY)
    return train_and_evaluate(experiment, of or data(), folder, progress=False)


def hashes(folder):
    names = ["model.safetensors", "history.csv", "metrics.json", "predictions/clip0.parquet"]
    return {name: hash_file(folder / name) for name in names}


def test_learns_and_writes_every_file(tmp_path):
    experiment = tiny(epochs=4, width=32, learning_rate=1e-2)
    metrics = complete(experiment, tmp_path)
    assert metrics["window"]["macro_f1"] > 0.8 and metrics["frame"]["macro_f1"] > 0.6
    assert read_json(tmp_path / "metrics.json") == metrics
    assert metrics["by_frame"] == ", window that ends nearest to the frame, a window every 5 frames"
    assert metrics["face_shares"] == {"train": 1.0}, "both sets are clips of this split here"
    history = pd.read_csv(tmp_path / "history.csv")
    assert (
        list(history.epoch) == [1, 2, 3, 4]
        and history.train_loss.iloc[-1] < history.train_loss.iloc[0]
    )
    assert metrics["best_epoch"] == history.validation_macro_f1.idxmax() + 1
    assert history.validation_macro_f1.max() == pytest.approx(metrics["window"]["macro_f1"])
    assert history.validation_loss.iloc[-1] < history.validation_loss.iloc[0]
    rows = pd.read_parquet(tmp_path / "predictions" / "clip3.parquet")
    assert list(rows.frame) == list(range(1, 41)) and rows.filter(like="p_").sum(
        axis=1
    ).to_numpy() == pytest.approx(1, abs=1e-5)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("kind", ["inverse", "none"])
def test_the_validation_loss_is_the_losses_own_on_validation(kind):
    torch.manual_seed(0)
    logits, labels = torch.randn(40, 8), torch.arange(40) % 8
    model = EmotionModel(tiny(class_weights=kind), 512, 768)
    model.class_prior.copy_(torch.linspace(0.05, 0.2, 8))
    weights = 1 / (8 * model.class_prior) if kind == "inverse" else torch.ones(8)
    expected = Classification(weights, model.class_prior)(logits, labels).item()
    scores = logits.softmax(dim=1).numpy()
    assert fitting.validation_loss(model, labels.numpy(), scores) == pytest.approx(expected)
    scores[0] = 0, 1, 0, 0, 0, 0, 0, 0  # a class that is sure to be another
    assert np.isfinite(fitting.validation_loss(model, labels.numpy(), scores))


def test_saved_model_is_complete(tmp_path):
    sets = data()
    complete(tiny(), tmp_path, sets)
    model, experiment = load_model(tmp_path)
    assert experiment.fingerprint("train") == tiny().fingerprint("train")
    w = sets.validation
    visual = torch.from_numpy(w.visual[w.frames[:5]])
    audio = torch.from_numpy(w.audio[w.audio_start[:5, None] + np.arange(6)])
    with torch.no_grad():
        raw = model(visual, audio)[0].softmax(dim=1).numpy()
    assert raw == pytest.approx(predict_windows(model, w)[:5], abs=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "tcn_dropout": 0.2,
            "classifier_dropout": 0.3,
            "amp": "bf16",
            "accumulation": 2,
            "schedule": "epoch",
            "sampling": "balanced",
        },
    ],
)
def test_resumed_equals_undisturbed_to_the_bit(tmp_path, monkeypatch, changes):
    experiment, sets = tiny(**changes), data(ragged=True)
    complete(experiment, tmp_path / "whole", sets)

    class Stopped(Exception):
        pass

    saved = fitting.save_state
    for epoch in range(1, 4):  # one epoch in each attempt

        def save_then_stop(path, trainer, state, epoch=epoch):
            saved(path, trainer, state)
            if len(state["history"]) == epoch:
                raise Stopped

        monkeypatch.setattr(fitting, "save_state", save_then_stop)
        with pytest.raises(Stopped):
            complete(experiment, tmp_path / "pieces", sets)
    monkeypatch.setattr(fitting, "save_state", saved)
    complete(experiment, tmp_path / "pieces", sets)
    whole = hashes(tmp_path / "whole")
    assert hashes(tmp_path / "pieces") == whole
    other = tmp_path / "other"
    complete(experiment.replace(seed=43), other, sets)
    assert hashes(other)["model.safetensors"] != whole["model.safetensors"]


def attempt(folder, kill_after=None):
    """Train in a forked process, killed after so many seconds of its own (None: never);
    whether it ended by itself, and the seconds that it took.
    """
    child = fork(lambda: complete(tiny(epochs=6), folder), kill_after)
    code, seconds = exit_code_and_seconds(child)
    assert code in (0, -signal.SIGPROF)
    return code == 0, seconds


RUNS = [2, pytest.param(10, marks=pytest.mark.slow)]  # five stops each


@pytest.mark.parametrize("runs", [1, pytest.param(10, marks=pytest.mark.slow)])  # five kills each
def test_sigkills_at_random_moments_change_no_bit(tmp_path, runs):
    ended, seconds = attempt(tmp_path / "whole")
    assert ended
    # Early moments first: what an attempt has done makes the next one shorter.
    delays = np.sort(np.random.default_rng(50).uniform(0.01, 0.8 * seconds, (runs, 5)), axis=1)
    hits = 0
    for run, in_this_run in enumerate(delays):
        folder = tmp_path / f"killed{run}"
        for delay in in_this_run:
            hits += not attempt(folder, float(delay))[0]
        assert attempt(folder)[0]
        assert hashes(folder) == hashes(tmp_path / "whole")
        assert not list(folder.glob(".*"))
    assert hits >= 2 * runs, "too few were killed before they had ended"


@pytest.mark.parametrize("runs", RUNS)
def test_stops_at_random_steps_change_no_bit(tmp_path, monkeypatch, runs):
    """Runs, each stopped five times between a step's gradient and its update,
    at a step drawn by chance.
    """
    experiment, sets, step, generator = (
        tiny(epochs=8),
        data(),
        Trainer.step,
        np.random.default_rng(0),
    )
    complete(experiment, tmp_path / "whole", sets)
    an_epoch = Trainer(experiment, sets.train, *prompts(), "cpu").steps
    left = {"steps": -1}

    class Stopped(Exception):
        pass

    def stop_at_last(self, learning_rate):
        left["steps"] -= 1
        if left["steps"] == 0:
            raise Stopped
        step(self, learning_rate)

    monkeypatch.setattr(Trainer, "step", stop_at_last)
    stops = 0
    for run in range(runs):
        for _ in range(5):
            # An attempt gets one epoch further, or none.
            left["steps"] = int(generator.integers(1, 2 * an_epoch))
            try:
                complete(experiment, tmp_path / f"run{run}", sets)
            except Stopped:
                stops += 1
        left["steps"] = -1
        complete(experiment, tmp_path / f"run{run}", sets)
        assert hashes(tmp_path / f"run{run}") == hashes(tmp_path / "whole")
    assert stops == 5 * runs


def vector(trainer):
    return parameters_to_vector(trainer.model.parameters()).detach().clone()


def gradient(trainer):
    return parameters_to_vector(
        torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for parameter in trainer.model.parameters()
    )


def trainer(experiment, train):
    return Trainer(experiment, train, *prompts(), "cpu")


def test_batches_do_not_depend_on_raggedness_of_others():
    windows = make(ragged=True)
    model = EmotionModel(tiny())
    fit_statistics(model, windows)
    model.eval()
    together = predict_windows(model, windows)
    resident = DeviceWindows(windows, model)
    for row in (0, 3, 11):
        alone = model(*resident.batch(torch.tensor([row])))[0].softmax(dim=1)[0]
        assert alone.detach().numpy() == pytest.approx(together[row], abs=1e-5)


def test_moments_in_one_pass():
    features = np.random.default_rng(0).normal(5, 3, (40_000, 4)).astype(np.float16)
    mean, std = moments(features)
    assert mean.numpy() == pytest.approx(features.astype(np.float64).mean(0), rel=1e-5)
    assert std.numpy() == pytest.approx(features.astype(np.float64).std(0), rel=1e-5)


def test_accumulation_of_halves_equals_one_batch():
    windows, flat = (
        make(),
        {
            "epochs": 1,
            "classifier_dropout": 0.0,
            "tcn_dropout": 0.0,
            "adapter_dropout": 0.0,
            "attention_dropout": 0.0,
        },
    )
    flat |= {"contrastive_weight": 0.0, "class_weights": "none", "clip_norm": 1e9}
    whole, halves = (
        trainer(tiny(batch_size=28, **flat), windows),
        trainer(tiny(batch_size=14, accumulation=2, **flat), windows),
    )
    rows = torch.arange(28)
    whole.losses(rows)[0].total.backward()
    for half in rows.split(14):
        (halves.losses(half)[0].total / 2).backward()
    assert gradient(whole).norm() > 0.1
    torch.testing.assert_close(gradient(halves), gradient(whole), rtol=1e-4, atol=1e-6)


def test_schedules():
    by_epoch = trainer(
        tiny(schedule="epoch", learning_rate=1.0, min_learning_rate=0.0, epochs=4), make()
    )
    assert [by_epoch.learning_rate(e, 0) for e in range(4)] == pytest.approx(
        [1, 0.853553, 0.5, 0.146447], abs=1e-5
    )
    by_step = trainer(tiny(learning_rate=1.0, min_learning_rate=0.0), make())
    assert by_step.learning_rate(0, 1) < 1 and by_step.learning_rate(2, by_step.steps - 1) < 0.02


def test_balanced_sampling_is_balanced_and_order_repeats():
    windows = make()
    windows.label[: len(windows.label) // 2] = 4
    windows.label[-8:] = np.arange(8)
    balanced = trainer(tiny(sampling="balanced"), windows)
    drawn = np.concatenate([windows.label[balanced.order(epoch).numpy()] for epoch in range(60)])
    assert np.bincount(drawn, minlength=8) / len(drawn) == pytest.approx(1 / 8, abs=0.03)
    assert torch.equal(balanced.order(3), balanced.order(3)) and not torch.equal(
        balanced.order(3), balanced.order(4)
    )
    assert sorted(trainer(tiny(), windows).order(0).tolist()) == list(range(len(windows.label)))


@pytest.mark.parametrize("stream", ["visual", "audio"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_features_name_the_clip(monkeypatch, stream, value):
    """Also when the first rows to be converted are whole, and only the statistics make them NaN."""
    monkeypatch.setattr(batches, "CHUNK", 8)
    windows = make()
    row = (
        windows.frames[windows.clip == 5][0, 0]
        if stream == "visual"
        else windows.audio_start[windows.clip == 5][0]
    )
    getattr(windows, stream)[row, 7] = value
    with pytest.raises(EmolibError, match=f"clip5: NaN or infinite {stream}"):
        trainer(tiny(standardise=False), windows)
    with pytest.raises(EmolibError, match=f"clip5: NaN or infinite {stream}"):
        trainer(tiny(), windows)


def test_bad_sets_are_named():
    with pytest.raises(EmolibError, match="batch_size=999"):
        trainer(tiny(batch_size=999), make())
    with pytest.raises(EmolibError, match="no training window"):
        trainer(tiny(), make(frames=8))
    with pytest.raises(EmolibError, match="Happiness, Sadness, Surprise, Other"):
        trainer(tiny(), make(clips=2))


def test_divergence_keeps_the_last_good_state(tmp_path, monkeypatch):
    experiment = tiny(epochs=3)
    epoch = Trainer.epoch

    def diverging(self, number):
        row = epoch(self, number)
        return {**row, "train_loss": float("nan")} if number == 2 else row

    monkeypatch.setattr(Trainer, "epoch", diverging)
    with pytest.raises(EmolibError, match="epoch 3 is not finite; state"):
        complete(experiment, tmp_path)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert len(state["history"]) == 2 and all(
        value.isfinite().all() for value in state["learner"].values()
    )
    assert not (tmp_path / "metrics.json").exists()


def test_a_batch_that_does_not_fit_is_named_with_what_helps(tmp_path, monkeypatch):
    experiment, epoch = tiny(epochs=3), Trainer.epoch

    def full(self, number):
        if number == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return epoch(self, number)

    monkeypatch.setattr(Trainer, "epoch", full)
    with pytest.raises(EmolibError, match=r"out of memory with batch_size=.*halve batch_size"):
        complete(experiment, tmp_path)
    assert len(torch.load(tmp_path / "state.pt", weights_only=True)["history"]) == 1


def test_wrong_states_are_refused(tmp_path, monkeypatch):
    complete(tiny(), tmp_path)
    with pytest.raises(WrongCall, match="another experiment"):
        training.claim(tiny(seed=1), tmp_path, TODAY)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save({**state, "fingerprint": tiny(width=32).fingerprint("train")}, tmp_path / "state.pt")
    with pytest.raises(EmolibError, match=r"state\.pt: damaged, or of another shape"):
        fit(tiny(width=32), make(), make(), *prompts(), tmp_path, progress=False)
    (tmp_path / "state.pt").write_bytes((tmp_path / "state.pt").read_bytes()[:1000])
    with pytest.raises(EmolibError, match=r"state\.pt: damaged"):
        fit(tiny(), make(), make(), *prompts(), tmp_path, progress=False)
    tiny(width=32).save(tmp_path / "experiment.json")
    with pytest.raises(EmolibError, match=r"model\.safetensors: damaged, or of another shape"):
        load_model(tmp_path)


def test_full_disk_is_named(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(EmolibError, match=r"No space left"):
        fit(tiny(), make(), make(), *prompts(), tmp_path, progress=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_repeats_itself_and_agrees_with_the_cpu():
    first, second = (Trainer(tiny(), make(), *prompts(), "cuda").epoch(0) for _ in range(2))
    assert first == second
    flat = {
        "classifier_dropout": 0.0,
        "tcn_dropout": 0.0,
        "adapter_dropout": 0.0,
        "attention_dropout": 0.0,
    }
    on_gpu = Trainer(tiny(**flat), make(), *prompts(), "cuda").epoch(0)
    on_cpu = trainer(tiny(**flat), make()).epoch(0)
    assert on_gpu["train_loss"] == pytest.approx(on_cpu["train_loss"], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tf32_on_a_gpu_rounds_and_is_gone_afterwards(tmp_path):
    losses = []
    for number, amp in enumerate(("float32", "tf32", "float32")):
        complete(tiny(amp=amp), tmp_path / str(number))
        losses.append(pd.read_csv(tmp_path / str(number) / "history.csv")["train_loss"].iloc[0])
    assert losses[0] == losses[2] != losses[1] == pytest.approx(losses[0], rel=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"amp": "bf16", "accumulation": 2, "contrastive_targets": "classes"},
        {"sampling": "balanced"},
    ],
)
def test_replayed_steps_on_a_gpu_have_the_bits_of_eager_ones(changes):
    experiment = tiny(epochs=4, tcn_dropout=0.2, attention_dropout=0.1, **changes)
    replayed, eager = (Trainer(experiment, make(ragged=True), *prompts(), "cuda") for _ in range(2))
    eager.replays = None
    start = vector(replayed)
    for epoch in range(4):
        assert replayed.epoch(epoch) == eager.epoch(epoch)
        assert torch.equal(vector(replayed), vector(eager))
    assert replayed.replays.graphs and all(replayed.replays.graphs.values()), (
        "every shape was captured"
    )
    assert (vector(replayed) - start).abs().max() > 1e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_host_does_not_wait_for_the_gpu_within_an_epoch():
    experiment, waits = tiny(batch_size=2), []
    for clips in (24, 8):
        each = Trainer(experiment, make(clips=clips), *prompts(), "cuda")
        for epoch in range(2):
            each.epoch(epoch)  # captures
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            each.epoch(2)
        torch.cuda.set_sync_debug_mode("default")
        waits.append(len([one for one in caught if "synchroniz" in str(one.message)]))
    assert 1 <= waits[0] <= 3, "its order, its learning rates, its losses"
    assert waits[0] == waits[1], "three times the steps, no wait more"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_without_room_for_the_features_trains_the_same(monkeypatch):
    first = Trainer(tiny(), make(ragged=True), *prompts(), "cuda")
    monkeypatch.setattr(batches, "SHARE_OF_MEMORY", 0.0)
    second = Trainer(tiny(), make(ragged=True), *prompts(), "cuda")
    assert first.windows.visual.is_cuda and not second.windows.visual.is_cuda
    assert first.replays and not second.replays
    for epoch in range(2):
        assert first.epoch(epoch) == second.epoch(epoch)


def test_numbers_too_small_count_as_zero_inside_a_run_alone():
    small = torch.full((8,), 1e-30)
    with run_threads():
        with run_threads():
            assert not (small * 1e-10).any()
        assert not (small * 1e-10).any(), "the inner one leaves the outer one as it was"
    assert (small * 1e-10).all()
