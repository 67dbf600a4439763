"""EmotionModel: size at the paper's values, every switch, missing sound, standardising."""

import pytest
import torch

from emolib.config import preset
from emolib.errors import WrongCall
from emolib.fusion import KINDS
from emolib.model import EmotionModel

SMALL = {"width": 16, "attention_heads": 2, "tcn_blocks": 2}


def small(**changes):
    torch.manual_seed(0)
    return EmotionModel(preset("demo", **{**SMALL, **changes})).eval()


def test_parameter_count_of_the_paper():
    assert EmotionModel(preset("paper")).parameter_count() == 12_863_240


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *({"fusion": kind} for kind in KINDS),
        {"tcn_blocks": 0},
        {"tcn_blocks": 0, "width": 512},
        {"visual_frames": "centre"},
        {"modalities": "visual", "fusion": "concat"},
        {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0},
    ],
)
def test_every_switch_gives_logits_and_gradients_everywhere(changes):
    model = small(**changes)
    logits, embedding = model(
        torch.randn(3, 10, 512), torch.randn(3, 7, 768), torch.tensor([7, 0, 3])
    )
    assert logits.shape == (3, 8) and logits.isfinite().all()
    if model.sees:
        torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))
        assert embedding.shape == (3, 512)
    else:
        assert embedding is None
    (logits.square().sum() + (embedding.sum() if model.sees else 0)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("fusion", KINDS)
def test_sound_is_a_set_of_steps_to_the_model_and_faces_a_sequence(fusion):
    """Attention has no positions of its own: no relation in time to sound can be learned from
    features that do not themselves tell their time (docs/benchmark.md, The related pair).
    """
    model, order = small(fusion=fusion), torch.randperm(7)
    visual, audio = torch.randn(2, 10, 512), torch.randn(2, 7, 768)
    logits = model(visual, audio)[0]
    torch.testing.assert_close(model(visual, audio[:, order])[0], logits, rtol=1e-4, atol=1e-5)
    assert (model(visual, audio.roll(1, dims=0))[0] - logits).abs().max() > 1e-3
    assert (model(visual.flip(1), audio)[0] - logits).abs().max() > 1e-3


def test_switches_cut_what_they_say():
    visual, audio = torch.randn(2, 10, 512), torch.randn(2, 7, 768)
    other_visual, other_audio = torch.randn(2, 10, 512), torch.randn(2, 7, 768)
    full = small()
    assert not torch.allclose(full(visual, audio)[0], full(other_visual, audio)[0])
    assert not torch.allclose(full(visual, audio)[0], full(visual, other_audio)[0])
    eyes = small(modalities="visual", fusion="concat")
    assert torch.equal(eyes(visual, audio)[0], eyes(visual, None)[0])
    ears = small(modalities="audio", fusion="concat", contrastive_weight=0.0)
    assert torch.equal(ears(visual, audio)[0], ears(None, audio)[0])
    still = small(visual_frames="centre")
    torch.testing.assert_close(
        still(visual, audio)[0], still(visual[:, visual.shape[1] // 2 :][:, :1], audio)[0]
    )


def test_a_row_does_not_depend_on_its_batch():
    model, length = small(), torch.tensor([7, 0, 3])
    visual, audio = torch.randn(3, 10, 512), torch.randn(3, 7, 768)
    together = model(visual, audio, length)[0]
    for row in range(3):
        steps = max(int(length[row]), 1)
        alone = model(visual[row : row + 1], audio[row : row + 1, :steps], length[row : row + 1])[0]
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


def test_buffers_standardise():
    model = small()
    visual, audio = torch.randn(2, 10, 512), torch.randn(2, 7, 768)
    raw = model(visual, audio)[0]
    model.visual_mean += 2.0
    model.audio_std *= 3.0
    torch.testing.assert_close(model(visual + 2.0, audio * 3.0)[0], raw, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(visual, audio)[0], raw)


def test_pooled_sound_has_no_steps_to_attend_to():
    with pytest.raises(WrongCall, match="fusion=concat"):
        preset("demo", audio_pooling="statistics")
