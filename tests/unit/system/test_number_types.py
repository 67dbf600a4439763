"""The number types that a device gets: fast ones only where its units are fast at them."""

from pathlib import Path

import pytest
import torch

from emolib.system.device import encoder_dtype, fast_bfloat16, training_dtype


@pytest.fixture
def cpu_with(monkeypatch):
    """A function that lets /proc/cpuinfo list other flags."""

    def use(flags: str) -> None:
        monkeypatch.setattr(Path, "is_file", lambda path: True)
        monkeypatch.setattr(Path, "read_text", lambda path: f"flags : fpu {flags} avx2")
        fast_bfloat16.cache_clear()

    yield use
    fast_bfloat16.cache_clear()


@pytest.mark.parametrize(
    ("flags", "fast"),
    [("avx", torch.float32), ("avx512_bf16", torch.bfloat16), ("amx_bf16", torch.bfloat16)],
)
def test_a_cpu_computes_in_bfloat16_only_where_it_has_units_for_it(cpu_with, flags, fast):
    cpu_with(flags)
    assert training_dtype("cpu", "bf16") == encoder_dtype("cpu", "fast") == fast
    assert training_dtype("cpu", "float32") == encoder_dtype("cpu", "strict") == torch.float32


@pytest.mark.parametrize(
    ("capability", "training"),
    [
        ((7, 0), torch.float32),
        ((7, 5), torch.float32),
        ((8, 0), torch.bfloat16),
        ((12, 0), torch.bfloat16),
    ],
)
def test_a_gpu_encodes_in_float16_and_trains_in_bfloat16_from_ampere_on(
    cpu_with, monkeypatch, capability, training
):
    cpu_with("avx")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert (encoder_dtype("cuda", "fast"), training_dtype("cuda:1", "bf16")) == (
        torch.float16,
        training,
    )
    assert training_dtype("cuda", "float32") == encoder_dtype("cuda", "strict") == torch.float32
