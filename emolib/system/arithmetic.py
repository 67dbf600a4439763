"""Moved to ``emolib.system.device``."""

from emolib.system.device import encoder_dtype, fast_bfloat16, training_dtype

__all__ = ["encoder_dtype", "fast_bfloat16", "training_dtype"]
