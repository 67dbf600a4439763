"""``emolib bench extract``: the sound's part. Ours and a plain loop over the same waveforms."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from emolib.bench.extract_faces import Size, profiled
from emolib.bench.side_by_side import interleaved
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.features.work import gflop_of
from emolib.system.device import encoder_dtype


def measure_sound(
    peer: ModuleType, weights: Path, seconds: float, size: Size, place: str
) -> dict[str, Any]:
    """Encoding ``size.segments`` waveforms of ``seconds``, ours and the peer's, on ``place``."""
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    fast = AudioEncoder(weights, dtype=encoder_dtype(place, "fast")).to(place)
    model: Any = Wav2Vec2Model.from_pretrained(weights).eval().to(place)
    processor = Wav2Vec2FeatureExtractor.from_pretrained(weights)
    rng = np.random.default_rng(0)
    waves = [
        rng.normal(0, 0.1, round(seconds * 16000)).astype(np.float32) for _ in range(size.segments)
    ]
    batch = torch.from_numpy(np.stack(waves))
    times = interleaved(
        {
            "peer audio": lambda: peer.usual_audio(waves, processor, model, place),
            "audio": lambda: fast.waveforms(batch).cpu(),
        },
        size.repeats,
        size.budget / 2,
    )
    expected = torch.from_numpy(np.stack(peer.usual_audio(waves, processor, model, place)))
    cosine = float(
        torch.cosine_similarity(
            fast.waveforms(batch).cpu().double(), expected.double(), dim=-1
        ).min()
    )
    gflop = gflop_of(lambda: fast.waveforms(batch))
    return {
        "audio_ratio": times["peer audio"] / times["audio"],
        "audio_seconds_per_second": seconds * size.segments / times["audio"],
        "gflop_per_second_of_sound": gflop / (seconds * size.segments),
        "gflops_audio": gflop / times["audio"],
        "gflops_peer_audio": gflop / times["peer audio"],
        "minimum_cosine_audio": cosine,
        "profile_audio": profiled(lambda: fast.waveforms(batch)),
    }
