"""What peers do, in short plain code, as fair as it gets: eval mode, no gradients, the thread count
of the caller, the model on the same device.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision import transforms


def usual_transform(size: int, mean: list[float], std: list[float]) -> transforms.Compose:
    """Resize, ToTensor, Normalize on a Pillow image."""
    return transforms.Compose(
        [
            transforms.Resize((size, size), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


def usual_loop(
    paths: list[Path],
    transform: transforms.Compose,
    model: torch.nn.Module | None,
    batch: int,
    device: str,
) -> np.ndarray:
    """Open, transform, stack and (with a model) encode images, ``batch`` at a time;
    float32 ``[n, 512]`` or a pixel of each.
    """
    results = []
    with torch.no_grad():
        for first in range(0, len(paths), batch):
            images = torch.stack(
                [
                    transform(Image.open(path).convert("RGB"))
                    for path in paths[first : first + batch]
                ]
            )
            results.append(
                (model(images.to(device)).cpu() if model else images[:, :, 0, 0]).numpy()
            )
    return np.concatenate(results)


def usual_audio(
    waves: list[np.ndarray], processor, model: torch.nn.Module, device: str
) -> list[np.ndarray]:
    """Feature extractor and model, one waveform after another."""
    with torch.no_grad():
        inputs = (
            processor(wave, sampling_rate=16000, return_tensors="pt").input_values.to(device)
            for wave in waves
        )
        return [model(values).last_hidden_state[0].cpu().numpy() for values in inputs]
