"""Several GPUs of one machine: which, and the environment of a process for each."""

import os

from emolib.errors import WrongCall


def devices() -> list[str]:
    """``$EMOLIB_DEVICES``, such as ``cuda:0,cuda:1``: work is shared out among processes, one for
    each. Empty where it is not set: then ``device()`` does everything.

    Raises WrongCall for what torch does not know.
    """
    import torch

    names = [name.strip() for name in os.environ.get("EMOLIB_DEVICES", "").split(",")]
    for name in filter(None, names):
        try:
            torch.device(name)
        except RuntimeError as error:
            raise WrongCall(
                f"EMOLIB_DEVICES: torch has no device {name}; give names such as cuda:0,cuda:1"
            ) from error
    return [name for name in names if name]


def environment_on(device: str) -> dict[str, str]:
    """This process's environment for a child that works on ``device`` alone."""
    return {**os.environ, "EMOLIB_DEVICE": device, "EMOLIB_DEVICES": ""}
