"""What both encoders share: they stay frozen, and what they depend on is named or refused."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from emolib.errors import EmolibError
from emolib.system.device import exact_float32
from emolib.system.files import hash_file, hash_of

# raised when the same weights and precision give other bits than before, so that stores never mix
ARITHMETIC = 6

CONFIGS = ("open_clip_config.json", "config.json", "preprocessor_config.json")


def hash_of_configs(folder: Path) -> str:
    """A hash of the files that say how the folder's weights are to be used:
    activation, epsilon, mean and so on.
    """
    present = [name for name in CONFIGS if (folder / name).is_file()]
    return hash_of({name: hash_file(folder / name) for name in present})


def in_halves(encode: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """``encode(batch)``; where the device's memory lacks, in halves of it, and halves of those.

    Each item is encoded by itself, so that only rounding may tell. Raises EmolibError where the
    memory does not hold one item.
    """
    try:
        return encode(batch)
    except torch.OutOfMemoryError as error:
        if len(batch) < 2:
            raise EmolibError(
                f"{batch.device}: out of memory in an encoder with a single item; end other "
                "programs on the device, or set EMOLIB_DEVICE=cpu"
            ) from error
    if batch.device.type == "cuda":
        torch.cuda.empty_cache()
    return torch.cat([in_halves(encode, half) for half in batch.tensor_split(2)])


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes with one thread: a sum that threads share has other last bits, and
    what is computed from weights must not depend on a machine's cores.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def config_named(folder: Path) -> Iterator[None]:
    """Turn what a library raises for a config that describes no model of its own into an
    EmolibError naming the folder.
    """
    try:
        yield
    except EmolibError:
        raise
    except Exception as error:  # libraries raise anything for a value that they do not expect
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise EmolibError(
            f"{folder}: no model can be made as its configs say ({reason}); "
            "get all of the folder's files again from one place"
        ) from error


class Frozen(nn.Module):
    """A module that stays in eval mode and takes no gradient,
    whatever a training loop asks of it.
    """

    def freeze(self) -> None:
        exact_float32()
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Frozen":
        super().train(False)
        return self

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device
