"""Batches in groups of like lengths of sound: the same windows, less padding, the same result."""

import dataclasses

import numpy as np
import pytest
import torch

from emolib.bench.memory import own_memory
from emolib.features.batches import DeviceWindows, limits_of
from emolib.features.rows import Rows, as_rows
from emolib.features.store import FeatureStore
from emolib.training.stacked import Stack
from emolib.training.trainer import Trainer, grouped
from tests.support.windowsets import make, prompts, tiny

STILL = {
    "tcn_dropout": 0.0,
    "adapter_dropout": 0.0,
    "attention_dropout": 0.0,
    "classifier_dropout": 0.0,
}
LONG, SHORT = 40, 10  # steps of sound at a low and at the usual frame rate


def mixed(share: float = 0.25, seed: int = 0):
    """Learnable windows of which ``share`` have four times as much sound; one has none."""
    windows = make(clips=16, steps=LONG, stride=5, seed=seed)
    rng = np.random.default_rng(seed)
    short = rng.random(len(windows.label)) >= share
    windows.audio_length = np.where(short, SHORT, LONG).astype(np.int32)
    windows.audio_length[3] = 0
    return windows


def trainer(windows, **changes):
    experiment = tiny(**{"batch_size": 32, **STILL, **changes})
    return Trainer(experiment, windows, *prompts(), "cpu")


def test_limits_part_lengths_that_differ_by_more_than_a_quarter():
    assert limits_of(np.array([99, 100, 124, 125, 0])) == [125]  # 30, 25 and 24 frames a second
    assert limits_of(np.array([99, 399, 0, 149, 299, 100, 60])) == [399, 299, 149, 100, 60]
    assert limits_of(np.array([0, 0])) == [1] == limits_of(np.zeros(0, int))


@pytest.mark.parametrize("models", [1, 3])
def test_groups_are_the_batch_again_with_less_padding(models):
    """Which windows make a batch is the seeded random order's, whatever their lengths."""
    windows = mixed()
    sets = trainer(windows).windows
    assert sets.limits == [LONG, SHORT]
    order = torch.stack([torch.randperm(len(windows.label)) for _ in range(models)])
    steps = padded = 0
    for rows in order.split(32, dim=1):
        groups = sets.groups(rows)
        assert len(groups) == 2 and groups[0].shape[1] % 8 in (0, rows.shape[1] % 8)
        together = torch.cat(groups, dim=1)
        assert together.sort(dim=1).values.tolist() == rows.sort(dim=1).values.tolist()
        assert (windows.audio_length[groups[1]] <= SHORT).all(), "a long window would be cut"
        steps += sum(part.numel() * limit for part, limit in zip(groups, sets.limits, strict=True))
        padded += rows.numel() * LONG
    assert steps < 0.7 * padded


def test_a_few_odd_windows_change_neither_order_nor_groups():
    windows = make(clips=16, steps=LONG, stride=5)
    windows.audio_length[[3, 40]] = SHORT
    sets, order = trainer(windows).windows, torch.randperm(len(windows.label))
    for rows in order.split(32):
        first, second = sets.groups(rows)
        assert first.tolist() == rows.tolist() and not len(second)


def test_losses_and_gradients_are_those_of_the_batch_in_one_piece():
    windows = mixed()
    in_groups, whole = trainer(windows), trainer(windows)
    whole.windows.limits = [LONG]
    rows = torch.arange(32)
    groups = in_groups.windows.groups(rows)
    assert all(len(part) for part in groups)
    results = [in_groups.losses(*groups), whole.losses(rows)]
    for (losses, _), each in zip(results, (in_groups, whole), strict=True):
        losses.total.backward()
        each.gradients = torch.cat([p.grad.flatten() for p in each.model.parameters()])
    assert results[0][0].total.item() == pytest.approx(results[1][0].total.item(), rel=1e-5)
    assert results[0][1] == results[1][1]
    difference = (in_groups.gradients - whole.gradients).norm() / whole.gradients.norm()
    assert difference < 1e-4
    shuffled = trainer(windows)
    losses, _ = shuffled.learner(
        shuffled.windows.batches(groups), shuffled.windows.labels(torch.cat(groups).flip(0))
    )
    assert losses.total.item() != pytest.approx(results[1][0].total.item(), rel=1e-3)


def test_an_epoch_takes_every_window_once_and_repeats_itself():
    windows, weights = mixed(), []
    for _ in range(2):
        one = trainer(windows, epochs=8, accumulation=2, tcn_dropout=0.1)
        steps = grouped(one.order(0), one.experiment, one.windows)
        assert len(steps) == one.steps and all(len(step) % 2 == 0 for step in steps)
        every = torch.cat([rows for step in steps for rows in step])
        assert every.sort().values.tolist() == list(range(len(windows.label)))
        history = [one.epoch(epoch) for epoch in range(8)]
        assert history[7]["train_loss"] < 0.8 * history[0]["train_loss"]
        weights.append(torch.cat([p.flatten() for p in one.model.parameters()]))
    assert torch.equal(*weights)


def test_a_stack_trains_mixed_lengths_as_each_run_alone():
    windows = mixed()
    experiments = [tiny(batch_size=32, seed=seed, **STILL) for seed in (1, 2)]
    stack = Stack(experiments, windows, *prompts(), "cpu")
    together = stack.epoch(0)
    for experiment, row in zip(experiments, together, strict=True):
        alone = Trainer(experiment, windows, *prompts(), "cpu").epoch(0)
        assert row["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)


def test_rows_of_parts_are_read_as_one_array():
    whole = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float16)
    rows = Rows([whole[:7], whole[7:7], whole[7:30], whole[30:]], 3)
    assert rows.shape == (50, 3) == as_rows(whole).shape and len(Rows([], 3)) == 0
    index = np.random.default_rng(1).integers(0, 50, (4, 9))
    for chosen in (index, index[0], slice(3, 40, 2), slice(None), whole[:, 0] > 0, index[:0]):
        np.testing.assert_array_equal(rows[chosen], whole[chosen])
    np.testing.assert_array_equal(np.asarray(rows, np.float32), whole.astype(np.float32))
    np.testing.assert_array_equal(np.concatenate([part for _, part in rows.blocks(4)]), whole)
    for beyond in ([-1], [50]):
        with pytest.raises(IndexError):
            rows[beyond]


def test_clip_by_clip_or_in_one_piece_is_the_same(tmp_path):
    windows = mixed()
    parts = dataclasses.make_dataclass("Windows", vars(windows))(**vars(windows))
    faces = len(windows.visual) // 16
    parts.visual = Rows([windows.visual[i : i + faces] for i in range(0, 16 * faces, faces)], 512)
    parts.audio = Rows(np.array_split(windows.audio, windows.audio_start[[20, 70]]), 768)
    model = trainer(windows).model
    for rows in torch.randperm(len(windows.label)).split(32):
        one, other = (DeviceWindows(each, model).batch(rows) for each in (windows, parts))
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_stored_features_take_no_memory_of_the_process(tmp_path, monkeypatch):
    """They are mapped, so that workers share them: 92 MB are read, and next to nothing is held."""
    if not own_memory():
        pytest.skip("the system does not tell a process's own memory")
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    store = FeatureStore("audio", {}, {})
    store.write("a", "source", {"audio": np.ones((60_000, 768), np.float16)})
    before = own_memory()
    tensors = store.read("a", "source")
    rows = Rows([tensors["audio"]], 768)
    assert rows[np.arange(0, 60_000, 600)].sum(dtype=np.float64) == 100 * 768
    assert tensors["audio"].sum(dtype=np.float64) == 60_000 * 768
    assert own_memory() - before < 20e6
