"""The benchmark's own claims that need no clock: the plain loop computes the same,
operations are counted right.
"""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from emolib.bench import train as bench_train
from emolib.bench.noise import AUDIO_STEPS, windows_of_noise
from emolib.bench.side_by_side import plain_code
from emolib.bench.train_runs import counted_encoding
from emolib.bench.train_steps import equal_losses, flops_a_window
from emolib.config import preset
from emolib.errors import EmolibError
from emolib.model import EmotionModel
from emolib.system.files import read_json


def test_plain_loop_gives_our_losses():
    difference, losses = equal_losses(plain_code("plain_training"), steps=4)
    assert difference < 1e-5 and np.ptp(losses) > 1e-3


def test_operations_are_counted_right():
    experiment = preset("demo", window=10)
    model = EmotionModel(experiment)
    with FlopCounterMode(display=False) as counter:
        sum(
            part.sum()
            for part in model(torch.randn(1, 10, 512), torch.randn(1, AUDIO_STEPS[10], 768))
        ).backward()
    assert flops_a_window(experiment) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_noise_has_the_shapes_of_the_demo():
    windows = windows_of_noise(60, clips=4)
    assert windows.frames.shape == (4 * 17, 60) and windows.frames.max() < len(windows.visual)
    assert len(windows.audio) == windows.audio_length.sum() and set(windows.label) == set(range(8))
    assert np.ptp(windows.visual.astype(np.float32)) > 1


def test_released_code_encodes_a_frame_230_times():
    assert counted_encoding() == pytest.approx(230, rel=0.01)


def test_small_benchmark_runs_and_writes_after_each_part(tmp_path, monkeypatch):
    """What ``make gpu`` does without a GPU; a part that fails leaves the earlier ones."""

    def no_time():
        written.update(read_json(tmp_path / "train.json"))
        return True

    written = {}
    monkeypatch.setenv("EMOLIB_DEVICE", "cpu")
    monkeypatch.setattr(bench_train, "resume_equal", no_time)
    result = bench_train.run(tmp_path, small=True)
    assert written["step"]["T=10"]["arithmetic"] in ("float32", "bfloat16")
    assert written["step"]["T=10"]["step_ratio"] > 0 and "resume_equal" not in written
    assert read_json(tmp_path / "train.json") == result
    assert result["small"] and result["targets"]["resume_equal"] == "met"
    assert "step_ratio" in bench_train.table(result)


def test_losses_that_differ_stop_the_benchmark(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_DEVICE", "cpu")
    monkeypatch.setattr(bench_train, "equal_losses", lambda *arguments: (float("nan"), None))
    with pytest.raises(EmolibError, match="no ratio counts"):
        bench_train.run(tmp_path, small=True)


def test_targets_are_of_what_was_measured():
    graph = {"T=60": {"graph_ratio": 3.0, "same_bits": False}}
    stacks = {"T=60, M=8": 2.9, "paper, T=60, M=8": 1.0, "T=60, M=4": 1.0}
    verdicts = bench_train.judged({"graph": graph, "sweep_ratio": stacks, "resume_equal": False})
    assert verdicts == {
        "sweep_ratio, T=60, M=8": "2.90, target 3: missed",
        "same_bits, T=60": "missed",
        "resume_equal": "missed",
    }
    assert bench_train.judged({"sweep_ratio": stacks}) == {}  # a CPU gains nothing by stacking
