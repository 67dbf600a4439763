"""Encoders of other widths and builds load by their own config,
and give what the library's own class gives.
"""

import numpy as np
import pytest
import torch

from emolib.config import preset
from emolib.encoders.load import load_audio, load_visual, sound_width
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.errors import EmolibError
from emolib.labels import prompts
from tests.support.small_encoders import clip_model, wav2vec

LARGE = {  # what Wav2Vec2-large-lv60 and XLSR differ in, besides their sizes
    "hidden_size": 96,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
}
BUILDS = {
    "layer norm in the convolutions": ("Wav2Vec2Model", LARGE),
    "group norm, another width": (
        "Wav2Vec2Model",
        {"hidden_size": 96, "num_conv_pos_embedding_groups": 4},
    ),
    "HuBERT": ("HubertModel", {"hidden_size": 96, "num_conv_pos_embedding_groups": 4}),
    "HuBERT large": ("HubertModel", LARGE),
    "HuBERT with batch norm": (
        "HubertModel",
        LARGE | {"conv_pos_batch_norm": True, "feat_proj_layer_norm": False},
    ),
}


@pytest.mark.parametrize(("kind", "options"), BUILDS.values(), ids=BUILDS.keys())
def test_sound_of_any_width(tmp_path, kind, options):
    from transformers import Wav2Vec2FeatureExtractor

    model = wav2vec(tmp_path, kind, **options)
    waves = np.random.default_rng(4).normal(0.1, 0.05, (2, 8000)).astype(np.float32)
    inputs = Wav2Vec2FeatureExtractor.from_pretrained(tmp_path)(
        list(waves), sampling_rate=16000, return_tensors="pt"
    ).input_values
    with torch.no_grad():
        expected = model(inputs).last_hidden_state
    experiment = preset("demo", audio_encoder=str(tmp_path), precision="strict")
    encoder = load_audio(experiment)
    steps = encoder.waveforms(torch.from_numpy(waves))
    assert encoder.width == sound_width(experiment) == 96 and steps.shape == (2, 24, 96)
    torch.testing.assert_close(steps, expected, rtol=1e-4, atol=1e-5)
    assert (expected - expected.flip(0)).abs().max() > 1e-2
    low = AudioEncoder(tmp_path, dtype=torch.bfloat16).waveforms(torch.from_numpy(waves))
    assert 0.999 < torch.cosine_similarity(low, expected, dim=-1).min() < 1


def test_faces_of_any_width(tmp_path):
    model = clip_model(projection_dim=192)
    model.save_pretrained(tmp_path)
    experiment = preset("demo", visual_encoder=str(tmp_path), precision="strict")
    encoder = load_visual(experiment)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8, generator=generator)
    pixels = (images.permute(0, 3, 1, 2) - encoder.mean[:, None, None]) / encoder.std[:, None, None]
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=pixels).pooler_output
        texts = model.get_text_features(input_ids=encoder.tokenizer(prompts())).pooler_output
    assert encoder.width == 192 and expected.shape == (3, 192)
    torch.testing.assert_close(encoder.images(images), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.prompts(prompts()), texts, rtol=1e-4, atol=1e-5)
    assert (expected - expected.flip(0)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"conv_stride": (5, 2, 2, 2, 2, 2, 1)}, "20 ms"),
        ({"add_adapter": True}, "20 ms"),
    ],
)
def test_steps_that_are_not_20_ms_are_refused(tmp_path, options, words):
    wav2vec(tmp_path, **options)
    with pytest.raises(EmolibError, match=words):
        AudioEncoder(tmp_path)


def test_another_class_of_model_is_refused(tmp_path):
    wav2vec(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"wav2vec2"', '"wavlm"'))
    with pytest.raises(EmolibError, match=r"wavlm.*wav2vec2 and hubert.*hf download facebook/"):
        AudioEncoder(tmp_path)
