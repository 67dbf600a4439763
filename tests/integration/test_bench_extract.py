"""``emolib bench extract`` whole, with tiny encoders: its gates fail where they should.

No figure here says anything.
"""

import json

import pytest
import torch

from emolib.bench import extract as bench_extract
from emolib.bench.extract_faces import Size, make_faces
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.wav2vec2 import AudioEncoder


@pytest.fixture
def tiny(monkeypatch):
    """No programs for the memory's peak."""
    monkeypatch.setenv("EMOLIB_DEVICE", "cpu")
    monkeypatch.setattr(
        bench_extract, "_memory", lambda root: {"peak_memory_mb": 1.0, "memory_ratio_at_10x": 1.0}
    )


def measured(tmp_path):
    return bench_extract.run(
        tmp_path,
        small=True,
        size=Size(12, 4, 2, repeats=1, ingested=8, extracted=1, budget=60.0),
        seconds=0.25,
    )


def test_ratios_are_of_the_times_of_one_run(tmp_path, tiny):
    result = measured(tmp_path)
    assert json.loads((tmp_path / "extract.json").read_text()) == result
    seconds = result["seconds"]
    assert result["ingest_ratio"] == seconds["peer ingest"] / seconds["ingest"]
    best = min(seconds[f"peer extract, batch {size}"] for size in (1, 4))
    assert result["extract_ratio"] == pytest.approx(best / seconds["extract"])
    assert result["pipeline_efficiency"] == pytest.approx(seconds["encoder"] / seconds["extract"])
    assert result["gflops_encoder"] == pytest.approx(
        12 * result["gflop_per_frame"] / seconds["encoder"]
    )
    assert result["fraction_of_peak"] == pytest.approx(
        result["gflops_encoder"] / (2 * 2048**3 / 1e9 / seconds["matrix product"])
    )
    assert result["bytes_per_frame"] == 2 * 512
    assert 2000 < result["bytes_per_jpeg"] < 4000
    assert result["fidelity_holds"]
    assert (
        result["minimum_cosine_strict"] > 1 - 1e-9 > result["minimum_cosine_fast"]
        or result["precision"] == "float32"
    )
    assert 0.5 < sum(result["profile_visual"].values()) <= 1.01
    text = bench_extract.table(result)
    assert all(name in text for name in bench_extract.TARGETS) and "fidelity holds" in text


@pytest.mark.parametrize("fault", ["noise", "zero", "neighbours", "strict", "sound", "memory"])
def test_a_broken_encoder_counts_for_nothing(tmp_path, tiny, monkeypatch, fault):
    encode, waveforms = VisualEncoder.encode, AudioEncoder.waveforms

    def broken(self, prepared):
        features = encode(self, prepared)
        if fault == "strict" and self.dtype == torch.float32:
            return features + 0.02 * features.std() * torch.randn(features.shape)
        if fault == "noise":
            return features + 0.1 * features.std() * torch.randn(features.shape)
        if fault == "zero":
            return torch.zeros_like(features)
        return features.roll(1, 0) if fault == "neighbours" else features

    monkeypatch.setattr(VisualEncoder, "encode", broken)
    if fault == "sound":
        monkeypatch.setattr(
            AudioEncoder, "waveforms", lambda self, batch: waveforms(self, batch).roll(1, 1)
        )
    if fault == "memory":
        monkeypatch.setattr(
            bench_extract,
            "_memory",
            lambda root: {"peak_memory_mb": 1.0, "memory_ratio_at_10x": 1.2},
        )
    result = measured(tmp_path)
    assert result["fidelity_holds"] is False
    assert "the ratios do not count" in bench_extract.table(result)


def test_each_part_is_on_the_disk_when_it_ends(tmp_path, tiny, monkeypatch):
    def broken(*arguments):
        written.update(json.loads((tmp_path / "extract.json").read_text()))
        raise RuntimeError("out of time")

    written = {}
    monkeypatch.setattr(bench_extract, "measure_sound", broken)
    with pytest.raises(RuntimeError, match="out of time"):
        measured(tmp_path)
    assert written["extract_ratio"] > 0 and "audio_ratio" not in written
    assert written["fidelity_holds"] is False  # nothing counts before every gate was seen
    assert "extract_ratio" in bench_extract.table(written)


def test_memory_is_that_of_a_program_of_its_own(tmp_path):
    make_faces(tmp_path / "images", 8)
    result = bench_extract._memory(tmp_path)
    assert 50 < result["peak_memory_mb"] < 4000
    assert 0.9 < result["memory_ratio_at_10x"] < 1.1
