"""Pillow is the reference: CLIP's images were resized by it."""

import numpy as np
import pytest
import torch
from PIL import Image

from emolib.resize import fit, resize, resize_exactly, resize_matrix

PILLOW = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise on a smooth ground, with saturated corners so that clipping matters."""
    rng = np.random.default_rng(seed)
    ground = np.add.outer(np.linspace(0, 200, height), np.linspace(0, 55, width))[..., None]
    image = np.clip(ground + rng.normal(0, 60, (height, width, 3)), 0, 255).astype(np.uint8)
    image[:10, :10], image[-10:, -10:] = 255, 0
    return image


@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("source", "target"), [((112, 112), (224, 224)), ((112, 112), (64, 64)), ((150, 97), (224, 224)), ((50, 61), (64, 64))]
)
def test_bytes_equal_pillow(resample, source, target):
    images = np.stack([picture(*source, seed) for seed in range(3)])
    expected = np.stack([np.asarray(Image.fromarray(image).resize(target[::-1], PILLOW[resample])) for image in images]).astype(int)
    exact = resize_exactly(torch.from_numpy(images), target, resample).permute(0, 2, 3, 1).numpy().astype(int)
    quick = resize(torch.from_numpy(images), target, resample).permute(0, 2, 3, 1).numpy().astype(int)
    np.testing.assert_array_equal(exact, expected)
    assert np.abs(quick - expected).max() <= 2
    assert (quick != expected).mean() < 0.05  # torch keeps its weights in fewer bits


def test_weights_sum_to_one_and_are_local():
    matrix = resize_matrix(112, 224, "bicubic")
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    assert (np.count_nonzero(matrix, axis=1) <= 4).all()
    assert resize_matrix(112, 64, "bicubic")[30].astype(bool).sum() >= 7  # shrinking averages over more pixels


def test_fit_equals_open_clip_transform():
    from open_clip.transform import PreprocessCfg, image_transform_v2

    image = picture(150, 97)
    transform = image_transform_v2(PreprocessCfg(size=64, mean=(0, 0, 0), std=(1, 1, 1)), is_train=False)
    expected = (transform(Image.fromarray(image)).permute(1, 2, 0).numpy() * 255).round().astype(int)
    np.testing.assert_array_equal(fit(image, 64, "bicubic"), expected)
    assert fit(picture(64, 64), 64, "bicubic").shape == (64, 64, 3)
