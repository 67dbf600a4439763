"""Readers of planted colours and pitches, in the place of the encoders."""

import torch

from tests.support.planted import APART, LOWEST

STEP, SEEN = 320 / 16000, 400 / 16000  # seconds between steps of sound, and that a step hears
SETTINGS = {
    "width": 16,
    "attention_heads": 2,
    "tcn_blocks": 1,
    "epochs": 8,
    "learning_rate": 0.02,
    "amp": "float32",
    "precision": "strict",
    "contrastive_weight": 0.0,
    "frame_stride": 1,
}


class Colours:
    """In the place of CLIP: the class, and the frame's number modulo 256, as colours say them."""

    width, image_size, dtype, device, logit_scale = (
        10,
        16,
        torch.float32,
        torch.device("cpu"),
        100.0,
    )

    def fit(self, images):
        assert images.shape[1:] == (16, 16, 3)
        return images

    def prepare(self, images):
        return images

    def encode(self, images):
        levels = images.float().mean(dim=(1, 2))  # (B, 3)
        shown = ((levels[:, 0] - 16) / 32).round().long()
        numbers = ((levels[:, 1:] - 8) / 16).round()
        return torch.cat([torch.nn.functional.one_hot(shown, 8).float(), numbers], dim=1)

    images = encode

    def prompts(self, texts):
        return torch.eye(len(texts), self.width)


class Pitches:
    """In the place of Wav2Vec2: which pitch each step of 20 ms has."""

    width, dtype, device = 2, torch.float32, torch.device("cpu")

    @staticmethod
    def steps(samples):
        return 0 if samples < 400 else (samples - 400) // 320 + 1

    def waveforms(self, batch):
        parts = batch.unfold(1, 400, 320) * torch.hann_window(400)  # (B, steps, 400)
        strongest = torch.fft.rfft(parts, n=4096).abs().argmax(dim=-1) * 16000 / 4096
        pitch = ((strongest - LOWEST) / APART).round()
        return torch.stack([pitch, torch.ones_like(pitch)], dim=-1)
