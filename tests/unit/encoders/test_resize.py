"""Pillow is the reference: CLIP's images were resized by it."""

import numpy as np
import pytest
import torch
from PIL import Image

from emolib.encoders.resize import PILLOW, fit, normalise


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise on a smooth ground, with saturated corners so that clipping matters."""
    rng = np.random.default_rng(seed)
    ground = np.add.outer(np.linspace(0, 200, height), np.linspace(0, 55, width))[..., None]
    image = np.clip(ground + rng.normal(0, 60, (height, width, 3)), 0, 255).astype(np.uint8)
    image[:10, :10], image[-10:, -10:] = 255, 0
    return image


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("source", "target"), [(112, 224), (112, 64), (150, 224)])
def test_bytes_equal_pillow(resample, source, target):
    images = torch.from_numpy(np.stack([picture(source, source, seed) for seed in range(3)]))
    expected = np.stack(
        [
            np.asarray(Image.fromarray(image).resize((target, target), PILLOW[resample]))
            for image in images.numpy()
        ]
    )
    np.testing.assert_array_equal(fit(images, target, resample, exact=True), expected)
    quick = fit(images, target, resample)
    assert quick.shape == (3, target, target, 3) and quick.is_contiguous()
    difference = np.abs(quick.numpy().astype(int) - expected)
    assert difference.max() <= (1 if source == 112 else 2)
    assert (difference > 0).mean() < 0.05  # torch keeps its weights in fewer bits
    for image, one in zip(images, quick, strict=True):
        # The same bits, whoever stands beside it.
        np.testing.assert_array_equal(fit(image[None], target, resample)[0], one)


def test_fit_equals_open_clip_transform():
    from open_clip.transform import PreprocessCfg, image_transform_v2

    image = picture(150, 97)
    transform = image_transform_v2(
        PreprocessCfg(size=64, mean=(0, 0, 0), std=(1, 1, 1)), is_train=False
    )
    expected = (
        (transform(Image.fromarray(image)).permute(1, 2, 0).numpy() * 255).round().astype(int)
    )
    found = fit(torch.from_numpy(image)[None], 64, "bicubic", exact=True)
    np.testing.assert_array_equal(found[0], expected)
    quick = fit(torch.from_numpy(image)[None], 64, "bicubic")[0].numpy().astype(int)
    assert np.abs(quick - expected).max() <= 1
    same = torch.from_numpy(picture(64, 64))[None]
    assert fit(same, 64, "bicubic") is same


def test_normalise_is_the_formula():
    images = torch.from_numpy(np.stack([picture(20, 20, seed) for seed in range(11)]))
    mean, std = torch.tensor([120.0, 110.0, 100.0]), torch.tensor([60.0, 70.0, 80.0])
    expected = ((images.float() - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(normalise(images, mean, std, torch.float32), expected)
    assert normalise(images, mean, std, torch.bfloat16).dtype == torch.bfloat16
