"""provenance.json's content, inside and outside a checkout."""

import json
import subprocess

import torch

from emolib.system import provenance as module
from emolib.system.provenance import provenance


def test_names_code_versions_and_device():
    found = provenance("cpu", seed=3)
    assert found["seed"] == 3 and found["packages"]["torch"][0] == "2" and found["threads"] >= 1
    json.dumps(found, allow_nan=False)


def test_the_gpu_named_is_the_one_used(monkeypatch):
    monkeypatch.setattr(
        torch.cuda,
        "get_device_name",
        lambda device=None: f"GPU {torch.device(device or 'cuda:0').index}",
    )
    assert provenance("cuda:1")["device"] == "GPU 1"


def test_commit_and_dirty_flag(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    assert provenance("cpu")["git_commit"] is None and provenance("cpu")["git_dirty"] is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("1")
    for command in (["init", "-q"], ["add", "file"], ["commit", "-qm", "one", "--no-verify"]):
        subprocess.run([*git, *command], check=True)
    clean = provenance("cpu")
    assert len(clean["git_commit"]) == 40 and clean["git_dirty"] is False
    (tmp_path / "file").write_text("2")
    assert provenance("cpu")["git_dirty"] is True
