"""The device: which one, what it is fast at, and same command, same bits on it.

torch is imported where it is used, so that a command with nothing to compute is quick.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emolib.errors import WrongCall, chosen

if TYPE_CHECKING:
    import torch

# of a training run on a CPU: its bits depend on the number,
# and more cores serve more runs better than one
THREADS = 1


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and torch and ask torch for deterministic kernels.

    CUBLAS_WORKSPACE_CONFIG is set when ``emolib`` is imported, before CUDA starts.
    """
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    # As use_deterministic_algorithms, without its import of the compiler: 3 s.
    torch.set_deterministic_debug_mode("error")
    # Filling fresh memory with NaN shows reads of it;
    # every result here is written before it is read: 15 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    exact_float32()


def exact_float32() -> None:
    """Float32 products and convolutions on a GPU in float32:
    torch's default rounds convolutions to TF32's 10 bits.
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def run_threads() -> Iterator[None]:
    """Inside, torch uses THREADS threads, or ``$EMOLIB_THREADS``:
    alone, in a sweep's worker and on a cluster alike.

    Sums over a matrix product's inner axis are split by thread, so another number gives other
    roundings. With one thread numbers below 1e-38 count as zero: a trained attention's softmax is
    full of them, and takes seven times as long with them. (With more, only threads made from now on
    would count so.)
    """
    import torch

    wanted = os.environ.get("EMOLIB_THREADS") or str(THREADS)
    if not wanted.isdecimal() or int(wanted) < 1:
        raise WrongCall(f"EMOLIB_THREADS={wanted}: must be a whole number, 1 or more")
    threads, flushed = torch.get_num_threads(), bool(torch.tensor(1e-30) * 1e-10 == 0)
    torch.set_num_threads(int(wanted))
    torch.set_flush_denormal(flushed or int(wanted) == 1)
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


def device() -> str:
    """``$EMOLIB_DEVICE``, else ``cuda`` where there is one, else ``cpu``.

    Raises WrongCall for what torch does not know.
    """
    import torch

    wanted = os.environ.get("EMOLIB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.device(wanted)
    except RuntimeError as error:
        raise WrongCall(f"EMOLIB_DEVICE={wanted}: torch has no such device; try cpu") from error
    return wanted


def size_for(device: str | torch.device, sizes: Mapping[str, int]) -> int:
    """The size that ``sizes`` has for the type of ``device``;
    the CPU's for a type that it does not list, such as mps.
    """
    import torch

    return sizes.get(torch.device(device).type, sizes["cpu"])


@cache
def fast_bfloat16(device: str | torch.device) -> bool:
    """Whether ``device`` has units for bfloat16 matrix products.

    GPUs of compute capability 8.0 (Ampere) and up have, and CPUs with AVX512-BF16 or AMX. Without
    them torch computes bfloat16 products in loops: 2 to 9 GFLOP/s a core where float32 runs at 42
    (Zen 1).
    """
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    flags = Path("/proc/cpuinfo")
    text = flags.read_text() if flags.is_file() else ""
    on_cpu = torch.device(device).type == "cpu"
    return on_cpu and ("avx512_bf16" in text or "amx_bf16" in text)


def encoder_dtype(device: str | torch.device, precision: str) -> torch.dtype:
    """The type of ``Experiment.precision`` on ``device``.

    ``strict`` is float32; ``fast`` is float16 on CUDA, bfloat16 on CPUs with units for it (measured
    2.6 times float32 there), float32 elsewhere.
    """
    import torch

    fast = chosen("precision", precision, {"fast": True, "strict": False})
    if fast and torch.device(device).type == "cuda":
        return torch.float16
    return torch.bfloat16 if fast and fast_bfloat16(device) else torch.float32


def autocast(device: str | torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Inside, matrix products on ``device`` are computed in ``dtype``; in float32 as they are.

    ``torch.autocast`` is not asked for float32, not even switched off: versions of torch warn of
    that on mps, and it refuses a device that it does not know.
    """
    import torch

    if dtype is torch.float32:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype)


def training_arithmetic(device: str | torch.device, amp: str) -> str:
    """What ``Experiment.amp`` comes to on ``device``: ``float32``, ``tf32`` or ``bfloat16``.

    Both short ones are float32 where they are slow, and on mps, where macOS before 14 does not have
    bfloat16; TF32 is of GPUs alone.
    """
    import torch

    names = {"float32": "float32", "tf32": "tf32", "bf16": "bfloat16"}
    name = chosen("amp", amp, names)
    lacking = name == "tf32" and torch.device(device).type != "cuda"
    return "float32" if lacking or not fast_bfloat16(device) else name


def training_dtype(device: str | torch.device, amp: str) -> torch.dtype:
    """The type that autocast takes for ``amp`` on ``device``."""
    import torch

    short = training_arithmetic(device, amp) == "bfloat16"
    return torch.bfloat16 if short else torch.float32


@contextmanager
def products(device: str | torch.device, amp: str) -> Iterator[None]:
    """Inside, float32 products and convolutions on a GPU are rounded to TF32 where ``amp`` says so,
    in backward passes as well; elsewhere they are exact.
    """
    import torch

    short = training_arithmetic(device, amp) == "tf32"
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = short
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
