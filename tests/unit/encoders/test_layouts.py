"""Weights in the layouts in which people get them:
each loads to the same features, or is refused with what it is.

Every file is written by the library whose layout it is, with few random numbers.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from emolib.config import preset
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.folders import find_folder
from emolib.encoders.load import identify, load_visual
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.errors import EmolibError
from tests.support.small_encoders import (
    OPEN_CLIP,
    SMALL_TEXT,
    SMALL_VISION,
    clip_model,
    open_clip_model,
    save_open_clip,
    wav2vec,
)

PAPERS = "ViT-B-32-quickgelu/openai"
COMMAND = (
    r"hf download openai/clip-vit-base-patch32 config\.json preprocessor_config\.json "
    r"pytorch_model\.bin --local-dir "
)


def images(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8, generator=generator)


def tower_of(model, encoder: VisualEncoder, batch: torch.Tensor) -> torch.Tensor:
    """What open_clip's own model gives."""
    pixels = (batch.permute(0, 3, 1, 2) - encoder.mean[:, None, None]) / encoder.std[:, None, None]
    with torch.no_grad():
        return model.encode_image(pixels)


def assert_same(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert (expected - expected.flip(0)).abs().max() > 1e-3


@pytest.mark.parametrize(
    "file",
    [
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
    ],
)
def test_open_clip_s_files_load_under_all_their_names(tmp_path, file):
    model = open_clip_model()
    save_open_clip(model, tmp_path, OPEN_CLIP, file)
    encoder = VisualEncoder(tmp_path)
    assert encoder.width == 96
    assert_same(encoder.images(images(32)), tower_of(model, encoder, images(32)))


def test_what_hf_download_of_clip_brings_loads(tmp_path):
    """config.json with a .bin of transformers' keys, and a constant that old files carry."""
    model = clip_model()
    folder = tmp_path / "openai" / "clip-vit-base-patch32"
    model.save_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    torch.save(state, folder / "pytorch_model.bin")
    encoder = load_visual(preset("paper", weights=str(tmp_path), precision="strict"))
    pixels = (images(64).permute(0, 3, 1, 2) - encoder.mean[:, None, None]) / encoder.std[
        :, None, None
    ]
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=pixels).pooler_output
    assert_same(encoder.images(images(64)), expected)


@pytest.mark.parametrize("cache", [True, False])
def test_open_clip_s_cache_without_a_config_loads(tmp_path, monkeypatch, cache):
    """open_clip fetches the weights alone;
    sizes are in their shapes, the activation in the repository's name.
    """
    model = open_clip_model()
    if cache:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        folder = tmp_path / "models--timm--vit_base_patch32_clip_224.openai" / "snapshots" / "main"
    else:
        folder = tmp_path / "timm" / "vit_base_patch32_clip_224.openai"
    save_open_clip(model, folder, None, "open_clip_model.safetensors")
    experiment = preset("paper", weights="" if cache else str(tmp_path), precision="strict")
    encoder = load_visual(experiment)
    assert encoder.width == 96 and encoder.image_size == 32
    assert_same(encoder.images(images(32)), tower_of(model, encoder, images(32)))


def test_weights_without_a_config_under_a_name_that_says_nothing_are_refused(tmp_path):
    save_open_clip(open_clip_model(), tmp_path / "x" / "y", None, "open_clip_model.safetensors")
    with pytest.raises(EmolibError, match=rf"which activation.*{COMMAND}"):
        VisualEncoder(tmp_path / "x" / "y")


def test_openai_s_state_dict_loads(tmp_path):
    """Half precision, open_clip's keys and three sizes among them,
    in a file that is named as OpenAI's archive.
    """
    model = open_clip_model()
    state = {key: value.half() for key, value in model.state_dict().items()}
    sizes = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}
    state |= {key: torch.tensor(value) for key, value in sizes.items()}
    torch.save(state, tmp_path / "ViT-B-32.pt")
    encoder = load_visual(preset("paper", weights=str(tmp_path), precision="strict"))
    rounded = {key: value.float() for key, value in state.items() if key not in sizes}
    model.load_state_dict(rounded)
    assert_same(encoder.images(images(32)), tower_of(model, encoder, images(32)))
    torch.save(state, tmp_path / "ViT-L-14.pt")
    with pytest.raises(EmolibError, match=r"ViT-B-32\.pt, ViT-L-14\.pt: which one"):
        find_folder(PAPERS, str(tmp_path), "visual")


def test_openai_s_archive_is_refused_with_the_command(tmp_path):
    """A program in TorchScript, as it is downloaded."""
    torch.jit.save(
        torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "ViT-B-32.pt"
    )
    with pytest.raises(EmolibError, match=rf"TorchScript.*{COMMAND}"):
        load_visual(preset("paper", weights=str(tmp_path)))


@pytest.mark.parametrize("own_first", [True, False])
def test_both_layouts_in_one_folder_are_told_apart(tmp_path, own_first):
    """Config and weights that belong together, whichever layout is whole."""
    theirs, own = clip_model(), open_clip_model()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": OPEN_CLIP}))
    if own_first:
        save_open_clip(own, tmp_path, OPEN_CLIP, "open_clip_pytorch_model.bin")
    encoder = VisualEncoder(tmp_path)
    assert (encoder.width, encoder.image_size) == ((96, 32) if own_first else (512, 64))


def test_timm_s_image_tower_is_refused_with_what_it_is(tmp_path, monkeypatch):
    timm = pytest.importorskip("timm")
    tower = timm.create_model("vit_tiny_patch16_224", embed_dim=24, depth=1, num_heads=1)
    folder = tmp_path / "timm" / "vit_base_patch32_clip_224.openai"
    folder.mkdir(parents=True)
    save_file(tower.state_dict(), folder / "model.safetensors")
    experiment = preset("paper", weights=str(tmp_path))
    with pytest.raises(
        EmolibError, match=rf"timm's image tower, without the text tower.*{COMMAND}"
    ):
        load_visual(experiment)
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_base_patch32_clip_224"}))
    with pytest.raises(
        EmolibError, match=rf"timm's image tower, without the text tower.*{COMMAND}"
    ):
        load_visual(experiment)
    own = open_clip_model()  # what `hf download` of that repository brings: both, and both configs
    save_open_clip(own, folder, OPEN_CLIP, "open_clip_model.safetensors")
    assert load_visual(experiment).width == 96


def test_half_of_clip_is_refused(tmp_path):
    from transformers import CLIPVisionModelWithProjection

    model = clip_model()
    model.save_pretrained(tmp_path)
    vision = CLIPVisionModelWithProjection(model.config.vision_config).state_dict()
    save_file(vision, tmp_path / "model.safetensors")
    with pytest.raises(EmolibError, match=rf"half of CLIP, without text_model.*{COMMAND}"):
        VisualEncoder(tmp_path)


def test_weights_of_something_else_are_refused(tmp_path):
    clip_model().save_pretrained(tmp_path)
    save_file({"encoder.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(
        EmolibError, match=rf"not CLIP's weights \(first encoder\.weight\).*{COMMAND}"
    ):
        VisualEncoder(tmp_path)


def test_a_revision_with_safetensors_is_found_beside_the_main_branch(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--openai--clip-vit-base-patch32"
    main, conversion = (repository / "snapshots" / name for name in ("b" * 40, "a" * 40))
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(main.name)
    clip_model(projection_dim=64).save_pretrained(conversion)
    main.mkdir()
    (main / "config.json").write_bytes((conversion / "config.json").read_bytes())
    assert find_folder(PAPERS, "", "visual") == conversion  # main has no weights
    clip_model(projection_dim=32).save_pretrained(main)
    assert find_folder(PAPERS, "", "visual") == main  # though the other comes first by name
    (main / "model.safetensors").unlink()
    (conversion / "config.json").unlink()
    with pytest.raises(EmolibError, match=rf"config\.json and no weights.*without its.*{COMMAND}"):
        find_folder(PAPERS, "", "visual")


def test_names_from_parallel_training_load(tmp_path):
    model = open_clip_model()
    save_open_clip(model, tmp_path, OPEN_CLIP, "open_clip_pytorch_model.bin")
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    checkpoint = {"epoch": 3, "name": "run", "state_dict": state}
    torch.save(checkpoint, tmp_path / "open_clip_pytorch_model.bin")
    encoder = VisualEncoder(tmp_path)
    assert_same(encoder.images(images(32)), tower_of(model, encoder, images(32)))


def test_content_that_is_not_tensors_is_refused(tmp_path):
    save_open_clip(open_clip_model(), tmp_path, OPEN_CLIP, "open_clip_pytorch_model.bin")
    for content, words in (
        ({"weights": Path("/")}, "more than tensors"),
        ([torch.zeros(2)], "not a dictionary of named tensors"),
        ({"epoch": 3}, "not a dictionary of named tensors"),
        ({}, "not a dictionary of named tensors"),
    ):
        torch.save(content, tmp_path / "open_clip_pytorch_model.bin")
        with pytest.raises(EmolibError, match=rf"{words}.*{COMMAND}"):
            VisualEncoder(tmp_path)
    for content in (b"", b"<html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"):
        (tmp_path / "open_clip_pytorch_model.bin").write_bytes(content)
        with pytest.raises(EmolibError, match=rf"open_clip_pytorch_model\.bin: .*{COMMAND}"):
            VisualEncoder(tmp_path)


@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_epsilon_of_a_config_is_used(tmp_path, eps):
    vision, text = SMALL_VISION | {"layer_norm_eps": eps}, SMALL_TEXT | {"layer_norm_eps": eps}
    model = clip_model(vision, text)
    model.save_pretrained(tmp_path)
    encoder = VisualEncoder(tmp_path)
    pixels = (images(64).permute(0, 3, 1, 2) - encoder.mean[:, None, None]) / encoder.std[
        :, None, None
    ]
    tokens = encoder.tokenizer(["a face"])
    with torch.no_grad():
        expected = model(pixel_values=pixels, input_ids=tokens)
    found = torch.nn.functional.normalize(encoder.images(images(64)), dim=-1)
    torch.testing.assert_close(found, expected.image_embeds, rtol=1e-4, atol=1e-5)
    found = torch.nn.functional.normalize(encoder.prompts(["a face"]), dim=-1)
    torch.testing.assert_close(found, expected.text_embeds, rtol=1e-4, atol=1e-5)


def test_epsilon_matters_and_is_part_of_the_identity(tmp_path):
    identities, features = [], []
    for eps in (1e-5, 1e-2):
        folder = tmp_path / str(eps)
        clip_model(SMALL_VISION | {"layer_norm_eps": eps}).save_pretrained(folder)
        encoder = VisualEncoder(folder)
        features.append(encoder.images(images(64)))
        identities.append(encoder.identity)
        assert encoder.identity == identify(
            preset("demo", visual_encoder=str(folder), precision="strict"), "visual"
        )
    assert (features[0] - features[1]).abs().max() > 1e-3
    assert identities[0] != identities[1]
    assert identities[0]["weights_sha256"] == identities[1]["weights_sha256"]


@pytest.mark.parametrize("stated", [True, None, False])
@pytest.mark.parametrize("owner", ["openai", "laion"])
def test_the_activation_follows_the_config_and_the_name(tmp_path, owner, stated):
    """Silent configs: OpenAI's weights have quick GELU, others open_clip's default;
    a contradiction is refused.
    """
    folder = tmp_path / owner / "small"
    config = {key: value for key, value in OPEN_CLIP.items() if key != "quick_gelu"}
    if stated is not None:
        config["quick_gelu"] = stated
    quick = stated or (stated is None and owner == "openai")
    model = open_clip_model(quick_gelu=quick)
    save_open_clip(model, folder, config, "open_clip_model.safetensors")
    if stated is False and owner == "openai":
        with pytest.raises(EmolibError, match="quick_gelu false"):
            VisualEncoder(folder)
        return
    encoder = VisualEncoder(folder)
    assert_same(encoder.images(images(32)), tower_of(model, encoder, images(32)))
    other = open_clip_model(quick_gelu=not quick)
    difference = tower_of(other, encoder, images(32)) - tower_of(model, encoder, images(32))
    assert difference.abs().max() > 1e-3


def test_a_name_that_says_quick_gelu_holds_for_the_experiment_s_name_too(tmp_path):
    folder = tmp_path / "ViT-B-32-quickgelu"
    save_open_clip(
        open_clip_model(), folder, OPEN_CLIP | {"quick_gelu": False}, "open_clip_model.safetensors"
    )
    with pytest.raises(EmolibError, match="quick_gelu false"):
        load_visual(preset("paper", weights=str(tmp_path)))


@pytest.mark.parametrize("kind", ["Wav2Vec2ForSequenceClassification", "Wav2Vec2ForPreTraining"])
def test_heads_of_other_tasks_are_left_out(tmp_path, kind):
    options = {"use_weighted_layer_sum": True} if "Sequence" in kind else {"codevector_dim": 32}
    model = wav2vec(tmp_path, kind, hidden_size=96, num_conv_pos_embedding_groups=4, **options)
    keys = load_file(tmp_path / "model.safetensors")
    heads = {"projector.weight", "classifier.weight", "layer_weights"}
    assert heads < keys.keys() if "Sequence" in kind else "quantizer.codevectors" in keys
    waves = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = model.wav2vec2(waves).last_hidden_state
    assert_same(AudioEncoder(tmp_path, normalise=False).waveforms(waves), expected)


def test_a_bin_of_sound_with_prefixes_loads(tmp_path):
    model = wav2vec(tmp_path, "Wav2Vec2ForCTC")
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(
        {f"module.{key}": value for key, value in state.items()}, tmp_path / "pytorch_model.bin"
    )
    waves = 0.1 * torch.randn(2, 4000, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = model.wav2vec2(waves).last_hidden_state
    assert_same(AudioEncoder(tmp_path, normalise=False).waveforms(waves), expected)


def changed_config(file: Path, *path: str, **values) -> None:
    """The JSON in ``file`` with ``values`` put where ``path`` leads; None: removed."""
    content = json.loads(file.read_text())
    place = content
    for name in path:
        place = place[name]
    place |= values
    for name in [name for name, value in values.items() if value is None]:
        del place[name]
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("where", "values"),
    [
        (["vision_cfg"], {"image_size": "32"}),
        (["vision_cfg"], {"mmage_size": 32}),
        (["vision_cfg"], {"width": "128"}),
        (["text_cfg"], {"heads": 0}),
        (["text_cfg"], {"heads": 7}),
        ([], {"embed_dim": None}),
        ([], {"text_cfg": []}),
        ([], {"tower": 1}),
    ],
)
def test_a_config_that_describes_no_clip_is_refused(tmp_path, where, values):
    save_open_clip(open_clip_model(), tmp_path, OPEN_CLIP, "open_clip_model.safetensors")
    changed_config(tmp_path / "open_clip_config.json", "model_cfg", *where, **values)
    with pytest.raises(EmolibError, match=r"test_a_config.*get all of the folder's files again"):
        VisualEncoder(tmp_path)


def test_means_of_another_number_of_channels_are_refused(tmp_path):
    save_open_clip(open_clip_model(), tmp_path, OPEN_CLIP, "open_clip_model.safetensors")
    changed_config(tmp_path / "open_clip_config.json", "preprocess_cfg", mean=[0.5, 0.5])
    with pytest.raises(EmolibError, match="get all of the folder's files again"):
        VisualEncoder(tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        {"hidden_act": "gelv"},
        {"num_attention_heads": 7},
        {"conv_dim": 16},
        {"hidden_size": "wide"},
        {"feat_extract_norm": 1},
    ],
)
def test_a_config_that_describes_no_wav2vec2_is_refused(tmp_path, values):
    wav2vec(tmp_path)
    changed_config(tmp_path / "config.json", **values)
    with pytest.raises(EmolibError, match="get all of the folder's files again"):
        AudioEncoder(tmp_path)


@pytest.mark.parametrize(
    ("file", "where", "values"),
    [
        ("preprocessor_config.json", [], {"sampling_rate": 8000}),
        ("preprocessor_config.json", [], {"do_normalize": "false"}),
        ("config.json", [], {"num_hidden_layers": 10**9}),
        ("open_clip_config.json", ["model_cfg"], {"quick_gelu": "no"}),
        ("open_clip_config.json", ["model_cfg", "text_cfg"], {"layers": 10**9}),
    ],
)
def test_a_config_that_asks_for_what_is_not_given_is_refused(tmp_path, file, where, values):
    """Each would load and give other features than the model was trained for, or never load."""
    if file == "open_clip_config.json":
        save_open_clip(open_clip_model(), tmp_path, OPEN_CLIP, "open_clip_model.safetensors")
    else:
        wav2vec(tmp_path)
    changed_config(tmp_path / file, *where, **values)
    encoder = VisualEncoder if file == "open_clip_config.json" else AudioEncoder
    with pytest.raises(EmolibError, match=rf"{file}: (sampling_rate|do_norm|quick_gelu|asks for)"):
        encoder(tmp_path)


@pytest.mark.parametrize("content", ["[]", "3", '"model_type"', "null"])
@pytest.mark.parametrize("encoder", [VisualEncoder, AudioEncoder])
def test_a_config_without_settings_is_refused(tmp_path, encoder, content):
    clip_model().save_pretrained(tmp_path) if encoder is VisualEncoder else wav2vec(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(EmolibError, match=r"config\.json: holds no settings by name"):
        encoder(tmp_path)
