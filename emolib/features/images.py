"""JPEG files to uint8 batches of the encoder's size,
decoded and resized in threads ahead of the encoder, in constant memory.

Batches are packed across clips and always full size (the last one padded), so what an image becomes
does not depend on which images stand beside it. libjpeg-turbo decodes and torch resizes outside
Python's lock: one thread makes about 6,000 crops of 112 px a second ready, many times what it could
encode.
"""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import torch

from emolib.data.media import read_jpeg
from emolib.errors import EmolibError

Key = TypeVar("Key", bound=Hashable)
Fit = Callable[[torch.Tensor], torch.Tensor]  # uint8 [B, H, W, 3] of any size -> [B, size, size, 3]


class Slab(NamedTuple, Generic[Key]):
    """One batch: ``images`` uint8 ``[B, size, size, 3]``;
    image ``i`` belongs to ``keys[i]``, None where the row is padding.

    ``damaged``: (key, message naming the file) of images that could not be read.
    """

    images: torch.Tensor
    keys: list[Key | None]
    damaged: list[tuple[Key, str]]


def slabs(
    items: Iterable[tuple[Key, Path]],
    *,
    batch: int,
    size: int,
    fit: Fit,
    workers: int,
    pin: bool = False,
) -> Iterator[Slab[Key]]:
    """Decode ``items`` (key, path of a JPEG) into slabs of ``batch`` images, in order,
    at most ``workers + 2`` ahead.

    ``fit`` brings images of any size to ``size``, in the threads. ``pin``: page-locked memory, for
    copies to a GPU that overlap with its work.
    """
    queue: deque[Future] = deque()
    rest = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="ingest") as pool:
        try:
            while True:
                while len(queue) < workers + 2 and (part := list(islice(rest, batch))):
                    queue.append(pool.submit(_decode, part, batch, size, fit, pin))
                if not queue:
                    return
                yield queue.popleft().result()
        finally:
            for future in queue:
                future.cancel()


def _decode(items: list[tuple[Key, Path]], batch: int, size: int, fit: Fit, pin: bool) -> Slab[Key]:
    keys: list[Key | None] = [None] * batch
    damaged: list[tuple[Key, str]] = []
    alike: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}  # shape -> (row, image)
    for row, (key, path) in enumerate(items):
        try:
            image = read_jpeg(path)
        except EmolibError as error:
            damaged.append((key, str(error)))
            continue
        keys[row] = key
        alike.setdefault(image.shape, []).append((row, image))
    fitted = [
        ([row for row, _ in group], fit(torch.from_numpy(np.stack([image for _, image in group]))))
        for group in alike.values()
    ]
    if len(fitted) == 1 and len(fitted[0][0]) == batch:
        images = fitted[0][1]
    else:
        images = torch.zeros(batch, size, size, 3, dtype=torch.uint8)
        for rows, part in fitted:
            images.numpy()[rows] = part.numpy()
    return Slab(images.pin_memory() if pin else images, keys, damaged)
