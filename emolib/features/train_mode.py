"""Encoders left in train mode: the sound of training windows is encoded anew for every epoch.

The released code does so (docs/method.md, The released code), and ``encoder_mode=train`` measures
what it costs. CLIP has neither dropout nor masks, so faces have the same features in either mode.
Validation and prediction take the encoder as it is. Every epoch encodes all of the training sound:
this is for small data.
"""

import numpy as np
import torch

from emolib.config import Experiment
from emolib.encoders.load import load_audio
from emolib.features.protocols import index_of, spans_of
from emolib.features.sound import encode_sound
from emolib.features.window_sets import WindowSet, with_sound
from emolib.system.device import device

# Of the published base model. The benchmark's own encoder was trained without any and takes these.
RATES = {
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "activation_dropout": 0.1,
    "feat_proj_dropout": 0.1,
    "layerdrop": 0.1,
    "mask_time_prob": 0.05,
    "mask_time_length": 10,
    "mask_time_min_masks": 2,
}


def redrawn(experiment: Experiment, windows: WindowSet, seed: int) -> WindowSet:
    """``windows`` of the window protocol with sound encoded in train mode; all that is random
    follows from ``seed``, and the vector for masked steps from ``experiment.seed``.
    """
    rates = RATES if experiment.audio_encoder == "synthetic" else {}
    encoder = load_audio(experiment, device(), **rates)
    encoder.set_train_mode(experiment.seed)
    index = [index_of(experiment, clip, "window") for clip in windows.clips]
    spans = {clip.id: spans_of(own) for clip, own in zip(windows.clips, index, strict=True)}
    before = np.random.get_state()  # transformers draws masks from NumPy's global generator
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        zeros = experiment.fills_with_zeros
        encoded = encode_sound(windows.clips, spans, encoder, zeros=zeros)
    finally:
        np.random.set_state(before)
    return with_sound(windows, index, [encoded[clip.id] for clip in windows.clips])
