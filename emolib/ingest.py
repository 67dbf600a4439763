"""JPEG files to uint8 batches of one shape, decoded in threads ahead of the encoder, in constant memory.

Batches are packed across clips and always full size (the last one padded), so what an image becomes does not depend
on which images stand beside it. libjpeg-turbo decodes outside Python's lock: one thread does about 20,000 crops of
112 px a second, many times what a CPU encodes.
"""

from collections import deque
from collections.abc import Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import torch

from emolib.data.media import read_jpeg
from emolib.errors import EmolibError
from emolib.resize import fit

Key = TypeVar("Key", bound=Hashable)


class Slab(NamedTuple, Generic[Key]):
    """One batch: ``images`` uint8 ``[B, H, W, 3]``; image ``i`` belongs to ``keys[i]``, None where the row is padding.

    ``damaged``: (key, message naming the file) of images that could not be read.
    """

    images: torch.Tensor
    keys: list[Key | None]
    damaged: list[tuple[Key, str]]


def shape_of(path: Path, image_size: int) -> tuple[int, int]:
    """(height, width) in which a tree's images are handed to the encoder, from one of them: their own where they are
    square (aligned crops all are alike), else the encoder's, to which every image is then fitted while it is read."""
    try:
        height, width = read_jpeg(path).shape[:2]
    except EmolibError:
        height, width = 112, 112  # Aff-Wild2's aligned crops; the damage is told when the image's turn comes
    return (height, width) if height == width else (image_size, image_size)


def slabs(
    items: Iterable[tuple[Key, Path]],
    *,
    batch: int,
    shape: tuple[int, int],
    image_size: int,
    resample: str,
    workers: int,
    pin: bool = False,
) -> Iterator[Slab[Key]]:
    """Decode ``items`` (key, path of a JPEG) into slabs of ``batch`` images, in order, at most ``workers + 2`` ahead.

    Images of another shape than ``shape`` are first fitted to the encoder's ``image_size`` as CLIP does and come in
    slabs of that shape. ``pin``: page-locked memory, for copies to a GPU that overlap with its work.
    """
    queue: deque[Future] = deque()
    odd: list[tuple[Key, torch.Tensor]] = []
    rest = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="ingest") as pool:
        try:
            while True:
                while len(queue) < workers + 2 and (part := list(islice(rest, batch))):
                    queue.append(pool.submit(_decode, part, batch, shape, image_size, resample, pin))
                if not queue:
                    break
                slab, others = queue.popleft().result()
                odd += others
                yield slab
                while len(odd) >= batch:
                    yield _gather(odd[:batch], batch, image_size, pin)
                    del odd[:batch]
        finally:
            for future in queue:
                future.cancel()
    if odd:
        yield _gather(odd, batch, image_size, pin)


def _decode(
    items: list[tuple[Key, Path]], batch: int, shape: tuple[int, int], image_size: int, resample: str, pin: bool
) -> tuple[Slab[Key], list[tuple[Key, torch.Tensor]]]:
    images = torch.zeros(batch, *shape, 3, dtype=torch.uint8, pin_memory=pin)
    rows = images.numpy()
    slab: Slab[Key] = Slab(images, [None] * batch, [])
    odd = []
    for row, (key, path) in enumerate(items):
        try:
            image = read_jpeg(path)
        except EmolibError as error:
            slab.damaged.append((key, str(error)))
            continue
        if image.shape[:2] != shape:
            image = fit(image, image_size, resample)
        if image.shape[:2] == shape:
            rows[row] = image
            slab.keys[row] = key
        else:
            odd.append((key, torch.from_numpy(image)))
    return slab, odd


def _gather(items: list[tuple[Key, torch.Tensor]], batch: int, image_size: int, pin: bool) -> Slab[Key]:
    images = torch.zeros(batch, image_size, image_size, 3, dtype=torch.uint8, pin_memory=pin)
    images[: len(items)] = torch.stack([image for _, image in items])
    return Slab(images, [key for key, _ in items] + [None] * (batch - len(items)), [])
