"""Same command, same bits: every generator seeded, deterministic kernels, a fixed thread count."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from emolib.errors import WrongCall

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
    torch.set_deterministic_debug_mode(
        "error"
    )  # use_deterministic_algorithms, without its import of the compiler: 3 s
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
    full of them, and takes seven times as long with them.
    (With more, only threads made from now on would count so.)
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
    """``$EMOLIB_DEVICE``, else ``cuda`` where there is one, else ``cpu``."""
    import torch

    return os.environ.get("EMOLIB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
