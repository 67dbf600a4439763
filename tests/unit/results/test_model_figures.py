"""Figures of the model: what they draw is what the modules compute."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text

from emolib.config import preset
from emolib.results import architecture, error_gallery, model_figures
from emolib.results.spectrogram import BANDS, log_mel
from emolib.system.files import project_root


@pytest.mark.parametrize(("blocks", "kernel"), [(1, 3), (2, 3), (3, 2)])
def test_the_receptive_field_is_that_of_the_network(blocks, kernel):
    """Against the gradient of a stack of dilated convolutions with positive weights."""
    field = model_figures.receptive_field(blocks, kernel)
    steps = 1 + 2 * (kernel - 1) * (2**blocks - 1)
    assert len(field) == 2 * blocks + 1 and len(field[-1]) == steps
    x = torch.ones(1, 1, steps + 3, requires_grad=True)
    y = x
    for block in range(blocks):
        for _ in range(2):
            padded = torch.nn.functional.pad(y, ((kernel - 1) * 2**block, 0))
            y = torch.nn.functional.conv1d(padded, torch.ones(1, 1, kernel), dilation=2**block)
    y[0, 0, -1].backward()
    seen = np.flatnonzero(x.grad[0, 0].numpy()) - (steps + 2)
    assert sorted(field[-1]) == sorted(seen)


def test_every_figure_is_drawn():
    random = np.random.default_rng(0)
    faces = [random.integers(0, 255, (12, 12, 3), dtype=np.uint8) for _ in range(10)]
    ask, answer = random.dirichlet(np.ones(16), 10), random.dirichlet(np.ones(10), 16)
    sound = random.normal(size=1600)
    drawn = [
        model_figures.reach(6, 3, 60),
        model_figures.attention(
            faces, sound, log_mel(sound, 16000), ask, answer, title="Attention", origin="synthetic"
        ),
        model_figures.prompt_similarity(random.normal(size=(8, 16)), origin="synthetic"),
        model_figures.contrastive_targets([0, 0, 1], {"pairs": np.eye(3), "classes": np.eye(3)}),
        model_figures.class_weights([1] * 8, [1.0] * 8, origin="synthetic"),
        model_figures.parameters({"paper": {"tcn": 3, "rest": 1}, "here": {"tcn": 1, "rest": 1}}),
    ]
    for figure in drawn:
        figure.draw_without_rendering()
        assert figure.get_suptitle()
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text()]
        assert min(sizes) >= 7, "smaller than print can show"
    assert "synthetic" in drawn[1].get_suptitle()


def test_a_tone_is_one_bright_band():
    rate = 16000
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    picture = log_mel(tone, rate)
    assert picture.shape[0] == BANDS
    loudest = picture.mean(axis=1).argmax()
    higher = log_mel(np.sin(2 * np.pi * 3000 * np.arange(rate) / rate), rate).mean(axis=1).argmax()
    assert loudest < higher
    assert picture[loudest].mean() > np.median(picture) + 30


def test_the_drawing_has_the_sizes_of_its_experiment_and_is_the_committed_one():
    text = architecture.drawing(preset("paper"))
    assert "60 × 512" in text and "TCN, 6 blocks" in text and "1024 to 8 logits" in text
    assert "prefers-color-scheme: dark" in text
    assert (project_root() / "figures" / "architecture.svg").read_text() == text
    assert "60 × 96" in architecture.drawing(preset("demo"))


def test_sounds_can_be_played_and_silence_is_named():
    mistake = {"label": 1, "prediction": 2, "clip": "a<b"}
    page = error_gallery.players([mistake, mistake], [np.zeros(160, np.float32), np.zeros(0)])
    assert page.count("<audio controls") == 1 and "no sound" in page
    assert "Anger, taken for Disgust" in page and "a&lt;b" in page
