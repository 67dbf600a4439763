"""Loading is exact: the reference classes (open_clip's factory,
transformers' CLIPModel and Wav2Vec2) agree on the same weights.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from emolib.config import preset
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.folders import checkpoint_of, find_folder
from emolib.encoders.load import identify, load_audio, load_visual
from emolib.encoders.wav2vec2 import IN_CACHE, AudioEncoder
from emolib.encoders.weights import hash_of_weights
from emolib.errors import EmolibError, WrongCall
from emolib.labels import prompts
from tests.support.small_encoders import clip_model, images, wav2vec

SMALL_CLIP = {
    "embed_dim": 512,
    "quick_gelu": False,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 514,
        "width": 64,
        "heads": 4,
        "layers": 1,
        "tokenizer_kwargs": {"bpe_path": "merges.txt.gz"},
    },
}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}


@pytest.fixture(scope="module")
def open_clip_folder(module_path) -> Path:
    """A small random ResNet CLIP in open_clip's hub layout, with a byte vocabulary."""
    import gzip

    from open_clip.model import CLIP  # seconds, which not every process need spend

    torch.manual_seed(0)
    folder = module_path / "open_clip"
    folder.mkdir()
    model = CLIP(**SMALL_CLIP)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.3, 0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": SMALL_CLIP, "preprocess_cfg": PREPROCESS})
    )
    (folder / "merges.txt.gz").write_bytes(gzip.compress(b"#version"))
    return folder


@pytest.fixture(scope="module")
def hub_clip(module_path):
    folder = module_path / "clip"
    model = clip_model()
    model.save_pretrained(folder)
    return folder, model


@pytest.fixture(scope="module")
def hub_audio(module_path):
    folder = module_path / "wav2vec2"
    return folder, wav2vec(folder)


def test_open_clip_layout_equals_open_clip_with_pillow(open_clip_folder):
    import open_clip

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{open_clip_folder}")
    encoder = VisualEncoder(open_clip_folder)
    batch = images()
    with torch.no_grad():
        expected = model.eval().encode_image(
            torch.stack([transform(Image.fromarray(image.numpy())) for image in batch])
        )
        # resizing 112 -> 64 by Pillow, normalising by the folder's own mean, then the tower
    torch.testing.assert_close(encoder.images(batch), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        texts = model.encode_text(encoder.tokenizer(prompts()))
    torch.testing.assert_close(encoder.prompts(prompts()), texts)
    assert texts.shape == (8, 512)
    assert texts.std(dim=0).min() > 0
    assert encoder.logit_scale == pytest.approx(float(model.logit_scale.detach().exp()))
    assert encoder.tokenizer.vocab_size == 514


def test_hub_layout_equals_transformers_clip(hub_clip):
    folder, model = hub_clip
    encoder = VisualEncoder(folder)
    batch = images(size=64)
    pixels = (
        batch.permute(0, 3, 1, 2) / 255
        - torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    ) / torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    tokens = encoder.tokenizer(prompts())
    with torch.no_grad():
        expected = model(pixel_values=pixels, input_ids=tokens)
    found = torch.nn.functional.normalize(encoder.images(batch), dim=-1)
    torch.testing.assert_close(found, expected.image_embeds, rtol=1e-4, atol=1e-5)
    text = torch.nn.functional.normalize(encoder.prompts(prompts()), dim=-1)
    torch.testing.assert_close(text, expected.text_embeds, rtol=1e-4, atol=1e-5)
    assert (expected.image_embeds[0] @ expected.image_embeds[1]).abs() < 0.999999
    assert encoder.image_size == 64


def test_only_the_first_convolution_of_sound_stays_in_float32(hub_audio):
    encoder = AudioEncoder(hub_audio[0], dtype=torch.bfloat16)
    convolutions = encoder.model.feature_extractor
    assert {p.dtype for p in convolutions.first.parameters()} == {torch.float32}
    assert {p.dtype for p in convolutions.rest.parameters()} == {torch.bfloat16}
    waves = torch.randn(5, 9000, generator=torch.Generator().manual_seed(7))
    # Three waves at a time, or all.
    in_parts, together = convolutions(waves), convolutions._steps(waves)
    torch.testing.assert_close(in_parts, together, rtol=0.02, atol=1e-3)
    assert len(waves) * waves.shape[1] > IN_CACHE and in_parts.std(dim=0).min() > 0
    half = AudioEncoder(hub_audio[0], dtype=torch.float16).model.feature_extractor
    assert {p.dtype for p in half.parameters()} == {torch.float16}


def test_pytorch_bin_with_old_keys_is_read_without_unpickling(hub_clip, tmp_path):
    folder, _ = hub_clip
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    state = load_file(folder / "model.safetensors")
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    torch.save(state, tmp_path / "pytorch_model.bin")
    batch = images(size=64)
    torch.testing.assert_close(
        VisualEncoder(tmp_path).images(batch), VisualEncoder(folder).images(batch)
    )
    torch.save({"weights": Path("/")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(EmolibError, match="more than tensors"):
        VisualEncoder(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "unknown", "shape", "no query"])
def test_weights_that_do_not_fit_are_refused(hub_clip, tmp_path, damage):
    folder, _ = hub_clip
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    state = load_file(folder / "model.safetensors")
    if damage == "missing":
        del state["vision_model.post_layernorm.weight"]
    if damage == "unknown":
        state["vision_model.surprise"] = torch.zeros(2)
    if damage == "shape":
        state["visual_projection.weight"] = torch.zeros(512, 64)
    if damage == "no query":
        del state["vision_model.encoder.layers.0.self_attn.k_proj.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(EmolibError, match=r"missing|unknown|do not fit|projections"):
        VisualEncoder(tmp_path)


def test_audio_equals_transformers_with_its_feature_extractor(hub_audio):
    from transformers import Wav2Vec2FeatureExtractor

    folder, model = hub_audio
    waves = np.random.default_rng(4).normal(0.1, 0.05, (2, 8000)).astype(np.float32)
    with torch.no_grad():
        inputs = Wav2Vec2FeatureExtractor.from_pretrained(folder)(
            list(waves), sampling_rate=16000, return_tensors="pt"
        ).input_values
        expected = model(inputs).last_hidden_state
        raw = model(torch.from_numpy(waves)).last_hidden_state
    encoder = AudioEncoder(folder)
    assert encoder.normalise
    torch.testing.assert_close(
        encoder.waveforms(torch.from_numpy(waves)), expected, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        AudioEncoder(folder, normalise=False).waveforms(torch.from_numpy(waves)),
        raw,
        rtol=1e-4,
        atol=1e-5,
    )
    assert (expected - raw).abs().max() > 1e-3


def test_every_published_key_variant_of_wav2vec2_loads(tmp_path):
    model = wav2vec(tmp_path, "Wav2Vec2ForCTC")
    state = load_file(tmp_path / "model.safetensors")
    assert any(key.startswith("wav2vec2.") for key in state)
    waves = torch.randn(1, 4000, generator=torch.Generator().manual_seed(5)) * 0.1
    with torch.no_grad():
        expected = model.wav2vec2(waves).last_hidden_state
    del state["wav2vec2.masked_spec_embed"]  # the 960h checkpoint has none
    old = {}
    for key, value in state.items():
        key = key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        )
        old[key] = value
    assert any(key.endswith("weight_g") for key in old)
    for variant in (
        state,
        old,
        {k.removeprefix("wav2vec2."): v for k, v in old.items() if not k.startswith("lm_head")},
    ):
        save_file(variant, tmp_path / "model.safetensors")
        torch.testing.assert_close(
            AudioEncoder(tmp_path, normalise=False).waveforms(waves), expected, rtol=1e-4, atol=1e-5
        )
    del state["wav2vec2.encoder.layer_norm.weight"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(EmolibError, match=r"1 missing, first encoder\.layer_norm\.weight"):
        AudioEncoder(tmp_path)


def test_a_mean_of_the_last_layers_is_of_the_models_own_hidden_states(tmp_path):
    folder = tmp_path
    wav2vec(folder, num_hidden_layers=3)
    waves = torch.randn(2, 8000, generator=torch.Generator().manual_seed(3))
    last, both = AudioEncoder(folder), AudioEncoder(folder, layers=2)
    plain = (waves - waves.mean(1, keepdim=True)) / waves.std(1, correction=0, keepdim=True)
    states = last.model(plain, output_hidden_states=True).hidden_states
    expected = (states[-1] + states[-2]) / 2
    torch.testing.assert_close(both.waveforms(waves), expected, rtol=1e-4, atol=1e-4)
    assert (both.waveforms(waves) - last.waveforms(waves)).abs().mean() > 0.01
    with pytest.raises(WrongCall, match="audio_layers=99: the encoder in"):
        AudioEncoder(folder, layers=99)


def test_steps_are_what_the_model_gives(hub_audio):
    encoder = AudioEncoder(hub_audio[0])
    # Source of the expected lengths: docs/method.md, Audio encoder.
    assert [AudioEncoder.steps(round(16000 * t / 30)) for t in (10, 15, 30, 60)] == [16, 24, 49, 99]
    assert AudioEncoder.steps(399) == 0
    for n in (400, 719, 720, 5339, 40040):
        assert encoder.waveforms(torch.zeros(1, n)).shape == (1, AudioEncoder.steps(n), 768)


def test_frozen_whatever_a_training_loop_does(open_clip_folder, hub_audio):
    for encoder in (VisualEncoder(open_clip_folder), AudioEncoder(hub_audio[0])):
        encoder.train(True)
        assert not any(module.training for module in encoder.modules())
        assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_fast_arithmetic_keeps_the_cosine(open_clip_folder, hub_clip, hub_audio, dtype):
    batch = images(8)
    for folder in (open_clip_folder, hub_clip[0]):
        strict, fast = (
            VisualEncoder(folder).images(batch),
            VisualEncoder(folder, dtype=dtype).images(batch),
        )
        assert fast.dtype == torch.float32
        assert 0.999 < torch.cosine_similarity(strict, fast).min() < 1
    waves = torch.randn(2, 8000, generator=torch.Generator().manual_seed(6)) * 0.1
    # One convolution of both has 8 channels a group.
    for folder in (hub_audio[0], find_folder("synthetic", "", "audio")):
        strict, fast = AudioEncoder(folder), AudioEncoder(folder, dtype=dtype)
        assert (
            0.999
            < torch.cosine_similarity(strict.waveforms(waves), fast.waveforms(waves), dim=-1).min()
            < 1
        )
        kinds = [type(encoder.model.encoder.pos_conv_embed).__name__ for encoder in (strict, fast)]
        assert kinds == ["Wav2Vec2PositionalConvEmbedding", "_InFloat32"], (
            "on machines without AMX only this can tell"
        )


def test_experiment_chooses_encoder_precision_and_identity(open_clip_folder, hub_audio):
    experiment = preset(
        "demo",
        visual_encoder=str(open_clip_folder),
        audio_encoder=str(hub_audio[0]),
        precision="strict",
    )
    assert load_visual(experiment).identity == identify(experiment, "visual")
    assert load_audio(experiment).identity == identify(experiment, "audio")
    assert identify(experiment, "visual")["weights_sha256"] == hash_of_weights(
        checkpoint_of(open_clip_folder, "visual").weights
    )
    assert identify(experiment.replace(waveform_norm="none"), "audio")["normalise"] is False
    assert load_audio(experiment.replace(waveform_norm="none")).normalise is False
    quick = load_visual(experiment.replace(resize="bilinear")).images(images())
    assert (quick - load_visual(experiment).images(images())).abs().max() > 1e-4


def test_features_do_not_depend_on_the_number_of_threads():
    """The norms of Wav2Vec2's convolution over positions are sums, which threads may share."""
    waves = torch.randn(2, 32_000, generator=torch.Generator().manual_seed(0))

    def encoded(threads: int) -> tuple[torch.Tensor, torch.Tensor]:
        torch.set_num_threads(threads)
        voices, faces = load_audio(preset("demo")), load_visual(preset("demo"))
        return voices.waveforms(waves), faces.images(images())

    for alone, shared in zip(encoded(1), encoded(2), strict=True):
        assert torch.equal(alone, shared) and alone.std() > 0.1


def test_missing_weights_say_what_to_get_and_where(tmp_path, hub_clip):
    experiment = preset("paper", weights=str(tmp_path))
    with pytest.raises(EmolibError, match=r"hf download openai/clip-vit-base-patch32 config\.json"):
        load_visual(experiment)
    with pytest.raises(EmolibError, match=r"hf download facebook/wav2vec2-base-960h config\.json"):
        load_audio(experiment)
    for name in (
        "openai/clip-vit-base-patch32",
        "clip-vit-base-patch32",
        "ViT-B-32-quickgelu/openai",
    ):
        target = tmp_path / "w" / name.replace("/", "-") / name
        target.parent.mkdir(parents=True)
        target.symlink_to(hub_clip[0])
        assert (
            find_folder(
                "ViT-B-32-quickgelu/openai", str(tmp_path / "w" / name.replace("/", "-")), "visual"
            )
            == target
        )
