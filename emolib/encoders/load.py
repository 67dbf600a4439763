"""The encoders that an experiment names, loaded or only identified."""

from typing import Any

import torch

from emolib.config import Experiment
from emolib.encoders.clip import VisualEncoder, visual_identity
from emolib.encoders.folders import find_folder
from emolib.encoders.wav2vec2 import AudioEncoder, audio_identity, does_normalise, width_of
from emolib.errors import chosen
from emolib.system.device import encoder_dtype


def identify(
    experiment: Experiment, kind: str, device: str | torch.device = "cpu"
) -> dict[str, Any]:
    """The identity that the experiment's ``visual`` or ``audio`` encoder would have,
    without loading it.
    """
    dtype = encoder_dtype(device, experiment.precision)
    if kind == "visual":
        return visual_identity(
            find_folder(experiment.visual_encoder, experiment.weights, kind),
            experiment.resize,
            dtype,
        )
    folder = find_folder(experiment.audio_encoder, experiment.weights, kind)
    return audio_identity(folder, by_config(experiment) and does_normalise(folder), dtype)


def by_config(experiment: Experiment) -> bool:
    """Whether the model's feature-extractor config says how to normalise sound."""
    return chosen("waveform_norm", experiment.waveform_norm, {"config": True, "none": False})


def sound_width(experiment: Experiment) -> int:
    """Numbers per step of sound, D_a, that the experiment's audio encoder gives,
    without loading it.
    """
    return width_of(find_folder(experiment.audio_encoder, experiment.weights, "audio"))


def load_visual(experiment: Experiment, device: str | torch.device = "cpu") -> VisualEncoder:
    """The experiment's visual encoder on ``device``.

    Raises EmolibError when weights are missing or do not fit.
    """
    folder = find_folder(experiment.visual_encoder, experiment.weights, "visual")
    encoder = VisualEncoder(
        folder,
        name=experiment.visual_encoder,
        resample=experiment.resize,
        image_fit=experiment.image_fit,
        dtype=encoder_dtype(device, experiment.precision),
    )
    return encoder.to(device)


def load_audio(
    experiment: Experiment, device: str | torch.device = "cpu", **changes: Any
) -> AudioEncoder:
    """The experiment's audio encoder on ``device``, its config with ``changes``.

    Raises EmolibError when weights are missing or do not fit.
    """
    folder = find_folder(experiment.audio_encoder, experiment.weights, "audio")
    normalise = None if by_config(experiment) else False
    dtype = encoder_dtype(device, experiment.precision)
    layers = experiment.audio_layers
    return AudioEncoder(folder, normalise=normalise, dtype=dtype, layers=layers, **changes).to(
        device
    )
