"""Which number types a device is fast at: the encoders' ``precision`` and
training's ``amp`` choose by it.
"""

from functools import cache
from pathlib import Path

import torch


@cache
def fast_bfloat16(device: str | torch.device) -> bool:
    """Whether ``device`` has units for bfloat16 matrix products: GPUs of compute capability 8.0
    (Ampere) and up, CPUs with AVX512-BF16 or AMX. Without them torch computes bfloat16 products in
    loops: 2 to 9 GFLOP/s a core where float32 runs at 42 (Zen 1).
    """
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    flags = Path("/proc/cpuinfo")
    text = flags.read_text() if flags.is_file() else ""
    return "avx512_bf16" in text or "amx_bf16" in text


def encoder_dtype(device: str | torch.device, precision: str) -> torch.dtype:
    """The type of ``Experiment.precision`` on ``device``: ``strict`` is float32; ``fast`` is
    float16 on CUDA, bfloat16 on CPUs with units for it (measured 2.6 times float32 there),
    float32 elsewhere.
    """
    if precision == "fast" and torch.device(device).type == "cuda":
        return torch.float16
    return torch.bfloat16 if precision == "fast" and fast_bfloat16(device) else torch.float32


def training_dtype(device: str | torch.device, amp: str) -> torch.dtype:
    """The type of ``Experiment.amp`` on ``device``: ``bf16`` is float32 where bfloat16 is slow."""
    return torch.bfloat16 if amp == "bf16" and fast_bfloat16(device) else torch.float32
