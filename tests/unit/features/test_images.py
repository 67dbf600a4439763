"""Images come in order, whole, of one size, and are the same whoever stands beside them."""

import threading
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch

from emolib.data.media import read_jpeg
from emolib.encoders.resize import fit
from emolib.features.images import slabs

SIZE = 32


def fitted(images: torch.Tensor) -> torch.Tensor:
    return fit(images, SIZE, "bicubic")


@pytest.fixture
def paths(tmp_path) -> list[Path]:
    """Eleven noise images: most 20 px wide, two of other shapes, one no JPEG, one truncated."""
    rng = np.random.default_rng(0)
    shapes = {3: (20, 31), 7: (40, 40)}
    for i in range(11):
        content = simplejpeg.encode_jpeg(
            rng.integers(0, 256, (*shapes.get(i, (20, 20)), 3), dtype=np.uint8), quality=95
        )
        (tmp_path / f"{i:02d}.jpg").write_bytes({4: b"GIF89a", 9: content[:-50]}.get(i, content))
    return sorted(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch", [1, 4, 11, 64])
def test_every_image_in_its_place_and_the_damaged_named(paths, batch, workers):
    found, damaged = {}, {}
    for slab in slabs(enumerate(paths), batch=batch, size=SIZE, fit=fitted, workers=workers):
        assert slab.images.shape == (batch, SIZE, SIZE, 3) and slab.images.dtype == torch.uint8
        damaged |= dict(slab.damaged)
        for key, image in zip(slab.keys, slab.images.numpy(), strict=True):
            if key is None:
                assert not image.any()  # padding, or the place of a damaged image
            else:
                found[key] = image.copy()
    assert sorted(damaged) == [4, 9]
    assert all(str(paths[i]) in message for i, message in damaged.items())
    assert list(found) == [0, 1, 2, 3, 5, 6, 7, 8, 10]
    for key, image in found.items():
        np.testing.assert_array_equal(
            image, fitted(torch.from_numpy(read_jpeg(paths[key]))[None])[0].numpy()
        )
    assert len({image.tobytes() for image in found.values()}) == 9


def test_reading_stays_a_few_slabs_ahead(paths):
    taken = []

    def items():
        for i in range(400):
            taken.append(i)
            yield i, paths[0]

    ready = slabs(items(), batch=4, size=SIZE, fit=fitted, workers=2)
    next(ready)
    assert len(taken) <= 4 * (2 + 2)
    next(ready)
    assert len(taken) <= 4 * (2 + 3)
    ready.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ingest")]


def test_a_mistake_in_a_thread_is_raised(paths):
    def broken(images: torch.Tensor) -> torch.Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(slabs(enumerate(paths), batch=4, size=SIZE, fit=broken, workers=2))
