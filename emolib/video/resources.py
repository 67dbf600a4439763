"""The device and the cores that predicting takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

from emolib.errors import WrongCall
from emolib.system.device import device


def checked_device(wanted: str) -> str:
    """``wanted``, or the device that there is where it is empty.

    Raises WrongCall for one that torch does not know or that is not there.
    """
    import torch

    if not wanted:
        return device()
    try:
        kind = torch.device(wanted).type
    except RuntimeError as error:
        raise WrongCall(f"device={wanted}: torch has no such device; try cpu") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise WrongCall(f"device={wanted}: there is no GPU that torch can use; try cpu")
    return wanted


@contextmanager
def torch_threads(wanted: int) -> Iterator[None]:
    """Inside, torch and OpenCV use ``wanted`` threads; for 0 a core less than there are, since
    another process decodes.
    """
    import torch

    before, before_cv2 = torch.get_num_threads(), cv2.getNumThreads()
    count = wanted or max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(count)
    cv2.setNumThreads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv2)
