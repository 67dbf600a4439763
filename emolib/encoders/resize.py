"""Images to the encoder's size, as Pillow resizes them, on the threads that decode them,
and normalised.

CLIP was trained with Pillow's antialiased bicubic (docs/method.md, Visual encoder). Pillow itself
is the reference. torch has its algorithm for bytes in vector instructions with coarser weights, in
the thread that calls and without Python's lock: 0.06 ms an image 112 -> 224 against 0.55 ms; about
1 % of the pixels differ, by one grey level (two at odd scales).
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from emolib.errors import chosen

PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def fit(
    images: torch.Tensor, size: int, resample: str, shape: str = "crop", *, exact: bool = False
) -> torch.Tensor:
    """Uint8 ``[B, H, W, 3]`` -> ``[B, size, size, 3]``.

    ``shape``: ``crop`` as CLIP does, the shorter side to ``size``, then the centre cut out; or
    ``stretch``, both sides to ``size``. ``exact``: by Pillow, else by torch; images of that size
    stay as they are.
    """
    pillow = chosen("resize", resample, PILLOW)
    keeps_aspect = chosen("image_fit", shape, {"crop": True, "stretch": False})
    height, width = images.shape[1:3]
    if (height, width) == (size, size):
        return images
    short = min(height, width)
    tall = wide = size
    if keeps_aspect:  # torchvision truncates the longer side
        tall, wide = int(height * size / short), int(width * size / short)
    if exact:
        scaled = [
            np.asarray(Image.fromarray(image.numpy()).resize((wide, tall), pillow))
            for image in images.cpu()
        ]
        pixels = torch.from_numpy(np.stack(scaled)).to(images.device)
    else:
        # A view: the kernel works on bytes that lie pixel by pixel.
        channels_first = images.permute(0, 3, 1, 2)
        pixels = F.interpolate(
            channels_first, size=(tall, wide), mode=resample, antialias=True, align_corners=False
        ).permute(0, 2, 3, 1)
    top, left = round((tall - size) / 2), round((wide - size) / 2)
    return pixels[:, top : top + size, left : left + size].contiguous()


def normalise(
    images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Uint8 ``[B, H, W, 3]`` -> (images - mean) / std in float32, kept as ``dtype``,
    ``[B, 3, H, W]`` channels last; ``mean``, ``std``: ``[3]``.

    A row of pixels is one long vector, and a few images at a time stay in the cache: on a CPU half
    the time of the same arithmetic on whole batches; the conversion by itself is a vector
    instruction, as part of a subtraction it is not (0.07 against 0.13 ms an image).
    """
    batch, height, width, channels = images.shape
    rows = images.reshape(batch * height, width * channels)
    result = torch.empty(rows.shape, dtype=dtype, device=rows.device)
    step = len(rows) if rows.is_cuda else 8 * height
    scratch = (
        None
        if dtype == torch.float32
        else torch.empty(min(step, len(rows)), rows.shape[1], device=rows.device)
    )
    for first in range(0, len(rows), step):
        part, kept = rows[first : first + step], result[first : first + step]
        values = kept if scratch is None else scratch[: len(part)]
        values.copy_(part).sub_(mean.repeat(width)).div_(std.repeat(width))
        if values is not kept:
            kept.copy_(values)
    return result.view(batch, height, width, channels).permute(0, 3, 1, 2)
