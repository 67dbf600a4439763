"""Full-size encoders with random numbers instead of weights,
in exactly the layouts that the hub publishes.
"""

import json
from pathlib import Path

import torch


def save_random_weights(root: Path) -> Path:
    """``root``/openai/clip-vit-base-patch32 and ``root``/facebook/wav2vec2-base-960h;
    returns ``root``.

    Both ``config.json`` carry ``"random_weights": true``,
    so that every figure made from them says so.
    """
    from transformers import (
        CLIPConfig,
        CLIPModel,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
    )

    torch.manual_seed(0)
    clip = root / "openai" / "clip-vit-base-patch32"
    CLIPModel(CLIPConfig()).save_pretrained(clip)  # the defaults are ViT-B/32's
    audio = root / "facebook" / "wav2vec2-base-960h"
    # With a CTC head, as the published file has it.
    Wav2Vec2ForCTC(Wav2Vec2Config()).save_pretrained(audio)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(audio)
    for folder in (clip, audio):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "random_weights": True}))
    return root
