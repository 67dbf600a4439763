"""The eight expression classes of the EXPR task and their text prompts
(docs/method.md, Classes).
"""

import numpy as np

EXPRESSIONS = ("Neutral", "Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Other")
NUM_CLASSES = len(EXPRESSIONS)
NOT_ANNOTATED = -1
PROMPT_TEMPLATE = "A face expressing {}"


def prompts(template: str = PROMPT_TEMPLATE) -> list[str]:
    """The eight prompts in class order (paper section 3.1;
    names capitalised as in the released code).
    """
    return [template.format(name) for name in EXPRESSIONS]


def class_counts(labels: np.ndarray) -> np.ndarray:
    """Number of frames or windows of each class, ``[8]`` int64; -1 is not counted."""
    return np.bincount(labels[labels >= 0], minlength=NUM_CLASSES)
