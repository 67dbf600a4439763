"""emolib: multimodal emotion recognition with bi-directional cross-attention
and temporal modelling.

A thin library under numbered notebooks;
implements arXiv 2603.11971 (10th ABAW, EXPR task on Aff-Wild2).
"""

import os
from typing import Any

# cuBLAS reads this once, when CUDA starts; without it its matrix products are not repeatable.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``emolib.predict``, imported when it is first asked for:
    importing emolib itself stays cheap.
    """
    if name == "predict":
        from emolib.video.dataframe import predict

        return predict
    raise AttributeError(f"module 'emolib' has no attribute {name!r}")
