"""Stacked runs against the same runs trained alone."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from emolib import model
from emolib.errors import EmolibError, WrongCall
from emolib.fusion import KINDS, masked_mean
from emolib.system.files import hash_file
from emolib.training import fit as fitting
from emolib.training import trainer
from emolib.training.fit import fit, fit_stack
from emolib.training.stacked import Stack
from emolib.training.trainer import Trainer
from tests.support.windowsets import make, prompts, tiny

STILL = {
    "classifier_dropout": 0.0,
    "tcn_dropout": 0.0,
    "adapter_dropout": 0.0,
    "attention_dropout": 0.0,
}
VISUAL = {"modalities": "visual", "fusion": "concat"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulation": 2, "contrastive_targets": "classes", "logit_adjustment": 0.5},
        *({"fusion": kind} for kind in KINDS),
        {"fusion": "concat", "audio_pooling": "statistics", "standardise": True},
        {"tcn_blocks": 0, "fusion": "concat"},
        VISUAL,
        {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0},
    ],
)
def test_stack_equals_runs_alone_over_20_steps(changes):
    windows = make(ragged=True)
    experiments = [
        tiny(**{**STILL, "learning_rate": 1e-3, **changes}, seed=1),
        tiny(**{**STILL, "learning_rate": 1e-3, **changes}, seed=2),
        tiny(**{**STILL, **changes, "learning_rate": 5e-4, "weight_decay": 0.1}, seed=3),
    ]
    alone = [Trainer(experiment, windows, *prompts(), "cpu") for experiment in experiments]
    stack = Stack(experiments, windows, *prompts(), "cpu")
    order = torch.stack([single.order(0) for single in alone])
    losses = np.zeros((2, 20, 3))
    for step in range(20):
        rows = order[:, 8 * (step % 6) : 8 * (step % 6) + 8]
        stacked_losses, stacked_hits = stack.losses(rows)
        stacked_losses.total.sum().backward()
        stack.step([experiment.learning_rate for experiment in experiments])
        losses[0, step] = stacked_losses.total.detach()
        for m, single in enumerate(alone):
            single_losses, hits = single.losses(rows[m])
            single_losses.total.backward()
            single.step(experiments[m].learning_rate)
            losses[1, step, m] = single_losses.total.detach()
            assert hits == stacked_hits[m]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert losses[1][-5:].mean() < losses[1][:5].mean() and np.ptp(losses[1][5]) > 1e-3


def test_dropout_differs_between_models_and_has_the_law_of_single_runs():
    rates = {
        "classifier_dropout": 0.5,
        "tcn_dropout": 0.3,
        "adapter_dropout": 0.5,
        "attention_dropout": 0.2,
    }
    windows, experiment = make(), tiny(seed=1, **rates)
    stack = Stack([experiment, experiment], windows, *prompts(), "cpu")
    for epoch in range(3):  # before training the loss is near log 8 with and without dropout
        stack.epoch(epoch)
    for parameter in stack.parameters.values():
        parameter.data[1] = parameter.data[0]
    rows = torch.arange(56).repeat(2, 1)
    torch.manual_seed(0)
    stacked = torch.stack([stack.losses(rows)[0].total.detach() for _ in range(60)])
    assert (stacked[:, 0] != stacked[:, 1]).all()
    single = stack.trainers[0]
    single.learner.train()
    alone = torch.stack([single.losses(rows[0])[0].total.detach() for _ in range(60)])
    single.learner.eval()
    without = torch.stack([single.losses(rows[0])[0].total.detach() for _ in range(2)])
    error = 4 * alone.std().item() / np.sqrt(60)
    assert stacked[:, 0].mean().item() == pytest.approx(alone.mean().item(), abs=error)
    assert stacked[:, 1].std().item() == pytest.approx(alone.std().item(), rel=0.5)
    assert without[0] == without[1], "dropout was on"
    assert alone.mean().item() - without[0].item() > error and alone.std() > 0.01


class ProductFusion(nn.Module):
    """A fusion that the package does not know: each stream times the other's mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, width)

    def forward(self, visual, audio, audio_length=None):
        heard = self.gate(masked_mean(audio, audio_length))[:, None]
        return visual * heard, audio * torch.tanh(self.gate(visual.mean(dim=1)))[:, None]


class SignDescent(torch.optim.Optimizer):
    """An optimiser that the package does not know: the sign of a running mean of the gradient."""

    def __init__(self, parameters) -> None:
        super().__init__(parameters, {"lr": 0.0})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    mean = self.state[parameter].setdefault("mean", torch.zeros_like(parameter))
                    mean.mul_(0.9).add_(parameter.grad)
                    parameter.sub_(group["lr"] * mean.sign())


def test_the_stack_trains_whatever_model_and_optimiser_there_are(monkeypatch):
    monkeypatch.setattr(model, "Fusion", lambda kind, width, *_: ProductFusion(width))
    monkeypatch.setattr(
        trainer, "make_optimiser", lambda _, learner: SignDescent(learner.parameters())
    )
    windows, experiments = make(ragged=True), [tiny(**STILL, seed=seed) for seed in (1, 2, 3)]
    alone = [Trainer(experiment, windows, *prompts(), "cpu") for experiment in experiments]
    stack = Stack(experiments, windows, *prompts(), "cpu")
    order = torch.stack([single.order(0) for single in alone])
    start = {name: value.detach().clone() for name, value in stack.parameters.items()}
    for step in range(20):
        rows = order[:, 8 * (step % 6) : 8 * (step % 6) + 8]
        together = stack.losses(rows)[0].total
        expected = torch.stack([single.losses(rows[m])[0].total for m, single in enumerate(alone)])
        torch.testing.assert_close(together, expected, atol=1e-5, rtol=0)
        stack.advance([1e-4] * 3, rows)
        for m, single in enumerate(alone):
            single.advance(1e-4, rows[m])
    gates = stack.parameters["model.fusion.gate.weight"]
    assert (gates - start["model.fusion.gate.weight"]).abs().mean() > 1e-4
    for m, single in enumerate(alone):
        torch.testing.assert_close(gates[m], single.model.fusion.gate.weight, atol=1e-5, rtol=0)
        assert any(
            value.abs().sum() for value in single.optimiser.state_dict()["state"][0].values()
        )


class NormalisedFusion(nn.Module):
    """A fusion with buffers that training changes: a batch norm of the faces."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width)

    def forward(self, visual, audio, audio_length=None):
        return self.norm(visual.transpose(1, 2)).transpose(1, 2), audio


def test_buffers_that_training_changes_are_those_of_each_run(monkeypatch):
    monkeypatch.setattr(model, "Fusion", lambda kind, width, *_: NormalisedFusion(width))
    windows, experiments = make(ragged=True), [tiny(**STILL, seed=seed) for seed in (1, 2)]
    stack = Stack(experiments, windows, *prompts(), "cpu")
    stack.epoch(0)
    for experiment, stacked in zip(experiments, stack.trainers, strict=True):
        alone = Trainer(experiment, windows, *prompts(), "cpu")
        alone.epoch(0)
        expected, norm = alone.model.fusion.norm, stacked.model.fusion.norm
        assert expected.running_mean.abs().mean() > 0.1
        torch.testing.assert_close(norm.running_mean, expected.running_mean, atol=0.01, rtol=0.01)
        assert norm.num_batches_tracked == expected.num_batches_tracked == 7


def together(experiments, folder, **options):
    folders = [folder / str(experiment.seed) for experiment in experiments]
    return fit_stack(
        experiments,
        make(),
        make(seed=1),
        *prompts(),
        folders,
        folder / "stack.pt",
        "cpu",
        progress=False,
        **options,
    )


def test_fitted_stack_has_each_models_own_best(tmp_path):
    experiments = [tiny(**STILL, seed=seed, learning_rate=2e-3) for seed in (1, 2)]
    for experiment, ours in zip(
        experiments, together(experiments, tmp_path / "stack"), strict=True
    ):
        alone = fit(
            experiment,
            make(),
            make(seed=1),
            *prompts(),
            tmp_path / str(experiment.seed),
            progress=False,
        )
        for mine, theirs in zip(ours.history, alone.history, strict=True):
            assert mine == pytest.approx(theirs, abs=2e-3)
        assert ours.best_epoch == alone.best_epoch
        stored = load_file(tmp_path / "stack" / str(experiment.seed) / "model.safetensors")
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(ours.model.state_dict()[name], value, rtol=1e-2, atol=1e-3)
            assert torch.equal(stored[name], ours.model.state_dict()[name])
    weights = [
        load_file(tmp_path / "stack" / seed / "model.safetensors")["classifier.0.weight"]
        for seed in "12"
    ]
    assert (weights[0] - weights[1]).abs().mean() > 0.01


@pytest.mark.parametrize("amp", ["float32", "bf16"])
def test_stack_resumes_to_the_same_bits(tmp_path, monkeypatch, amp):
    experiments = [tiny(seed=seed, epochs=4, amp=amp) for seed in (1, 2)]
    together(experiments, tmp_path / "whole")

    class Stopped(Exception):
        pass

    written = fitting.save_file

    def write_then_stop(path, state):
        written(path, state)
        raise Stopped

    monkeypatch.setattr(fitting, "save_file", write_then_stop)
    for _ in range(3):  # an epoch in each attempt
        with pytest.raises(Stopped):
            together(experiments, tmp_path / "pieces")
    monkeypatch.setattr(fitting, "save_file", written)
    together(experiments, tmp_path / "pieces")
    for file in ("1/model.safetensors", "2/model.safetensors", "1/history.csv", "2/history.csv"):
        assert hash_file(tmp_path / "whole" / file) == hash_file(tmp_path / "pieces" / file)
    with pytest.raises(EmolibError, match=r"stack\.pt: damaged, or of another shape"):
        together(
            [tiny(seed=seed, epochs=4, amp=amp, width=32) for seed in (1, 2)], tmp_path / "pieces"
        )


def test_a_model_that_diverges_does_not_stop_the_others(tmp_path):
    experiments = [tiny(seed=1), tiny(seed=2, learning_rate=1e38), tiny(seed=3)]
    first, second, third = together(experiments, tmp_path)
    assert (
        isinstance(second, str) and "/2: the loss of epoch" in second and "is not finite" in second
    )
    assert (
        len(first.history) == len(third.history) == 3
        and first.history[-1]["train_loss"] < first.history[0]["train_loss"]
    )
    assert not (tmp_path / "2" / "model.safetensors").exists()


def test_models_of_other_shapes_are_refused():
    with pytest.raises(WrongCall, match="differ in"):
        Stack([tiny(), tiny(width=32)], make(), *prompts(), "cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_stack_agrees_with_runs_alone_on_the_cpu():
    experiments = [tiny(**STILL, seed=seed) for seed in (1, 2)]
    rows = Stack(experiments, make(), *prompts(), "cuda").epoch(0)
    for experiment, row in zip(experiments, rows, strict=True):
        assert row["train_loss"] == pytest.approx(
            Trainer(experiment, make(), *prompts(), "cpu").epoch(0)["train_loss"], rel=1e-3
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_stack_replayed_on_a_gpu_has_the_bits_of_an_eager_one():
    experiments = [
        tiny(seed=seed, epochs=3, tcn_dropout=0.2, weight_decay=0.1 * seed) for seed in (1, 2)
    ]
    replayed, eager = (Stack(experiments, make(ragged=True), *prompts(), "cuda") for _ in range(2))
    eager.replays = None
    for epoch in range(3):
        assert replayed.epoch(epoch) == eager.epoch(epoch)
        assert all(
            torch.equal(replayed.parameters[name], eager.parameters[name])
            for name in eager.parameters
        )
    assert all(replayed.replays.graphs.values())
