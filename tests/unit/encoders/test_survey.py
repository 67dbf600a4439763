"""``emolib weights``: what is there, whether it is whole, and whether it works."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from emolib.encoders import survey
from emolib.errors import EmolibError
from tests.support.small_encoders import (
    OPEN_CLIP,
    clip_model,
    open_clip_model,
    save_open_clip,
    wav2vec,
)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


def test_the_package_s_own_encoders_are_found_and_work_and_others_have_their_command():
    rows = {(row["kind"], row["name"]): row for row in survey.survey()}
    for kind in ("visual", "audio"):
        own = rows[kind, "synthetic"]
        assert (own["presets"] == ["demo"] and "apart" in own["outputs"]) or "tone" in own[
            "outputs"
        ]
    missing = rows["visual", "ViT-B-32-quickgelu/openai"]
    assert "hf download openai/clip-vit-base-patch32" in missing["problem"]
    assert {"paper", "released_code"} <= set(missing["presets"])
    text = survey.table(list(rows.values()))
    assert "checksum" in text and "hf download facebook/wav2vec2-base-960h" in text


def test_weights_below_a_folder_serve_the_presets_that_name_them(tmp_path):
    clip_model().save_pretrained(tmp_path / "openai" / "clip-vit-base-patch32")
    wav2vec(
        tmp_path / "facebook" / "wav2vec2-base-960h",
        hidden_size=96,
        num_conv_pos_embedding_groups=4,
    )
    rows = [row for row in survey.survey(str(tmp_path)) if row["name"] != "synthetic"]
    assert [(row["kind"], row["width"]) for row in rows] == [("visual", 512), ("audio", 96)]
    assert all(row["checksum"] == "not known" and "paper" in row["presets"] for row in rows)


def test_a_known_file_is_named_and_a_damaged_download_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "pytorch_model.bin"
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    name = "ViT-B-32-quickgelu/openai"
    assert survey.checksum(file, name) == "not known"
    known = survey.PUBLISHED["openai/clip-vit-base-patch32"]._replace(sha256=digest)
    monkeypatch.setitem(survey.PUBLISHED, "openai/clip-vit-base-patch32", known)
    assert survey.checksum(file, name) == "as published in openai/clip-vit-base-patch32"
    note = tmp_path / ".cache" / "huggingface" / "download" / "pytorch_model.bin.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{'c' * 40}\n{digest}\n1700000000.0\n")  # commit, hash, time
    assert survey.checksum(file, "another/model") == "as the hub said when it was downloaded"
    note.write_text(f"{'c' * 40}\n{'0' * 64}\n1700000000.0\n")
    with pytest.raises(EmolibError, match=r"pytorch_model\.bin: damaged"):
        survey.checksum(file, "another/model")


def test_a_file_in_the_hub_s_cache_is_named_by_its_checksum(tmp_path):
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "main"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for content, named_by in ((b"whole", b"whole"), (b"cut", b"whole but longer")):
        blob = blobs / hashlib.sha256(named_by).hexdigest()
        blob.write_bytes(content)
        link = snapshot / f"{content.decode()}.safetensors"
        link.symlink_to(blob)
    assert "as the hub said" in survey.checksum(snapshot / "whole.safetensors", "a/b")
    with pytest.raises(EmolibError, match="damaged"):
        survey.checksum(snapshot / "cut.safetensors", "a/b")


def test_weights_that_see_nothing_are_a_problem(tmp_path):
    folder = tmp_path / "ViT-B-32-quickgelu"
    save_open_clip(open_clip_model(), folder, OPEN_CLIP, "open_clip_model.safetensors")
    state = load_file(folder / "open_clip_model.safetensors")
    state["visual.conv1.weight"] = torch.zeros_like(state["visual.conv1.weight"])
    save_file(state, folder / "open_clip_model.safetensors")
    row = survey.examined("visual", "ViT-B-32-quickgelu/openai", str(tmp_path))
    assert "no trained weights" in row["problem"]
    json.dumps(row)
