"""What a number is made from, said wherever it appears:
generated data, generated or random weights, or the real thing.
"""

from pathlib import Path

from emolib.config import Experiment
from emolib.data.mark import is_synthetic


def origin(experiment: Experiment) -> str:
    """``synthetic``, ``random weights``, both with a comma,
    or empty for real data and real pre-trained weights.

    Generated encoders count as synthetic. Weights are random where their ``config.json`` has
    ``"random_weights": true``. Raises EmolibError when the weights are missing.
    """
    generated = not experiment.data or is_synthetic(Path(experiment.data))
    parts = (
        ["synthetic"]
        if generated or "synthetic" in (experiment.visual_encoder, experiment.audio_encoder)
        else []
    )
    return ", ".join(parts + ["random weights"] * has_random_weights(experiment))


def has_random_weights(experiment: Experiment) -> bool:
    """Whether an encoder that the experiment uses holds random numbers instead
    of trained weights.
    """
    used = {
        "visual": experiment.visual_encoder if "visual" in experiment.streams else "synthetic",
        "audio": experiment.audio_encoder if "audio" in experiment.streams else "synthetic",
    }
    trained_here = [kind for kind, name in used.items() if name != "synthetic"]
    if not trained_here:
        return False
    from emolib.encoders.folders import find_folder, read_config

    folders = [find_folder(used[kind], experiment.weights, kind) for kind in trained_here]
    configs = [
        folder / name for folder in folders for name in ("config.json", "open_clip_config.json")
    ]
    return any(read_config(path).get("random_weights", False) for path in configs if path.is_file())


def labelled(text: str, origin: str) -> str:
    """``text`` with its origin in brackets, for titles and captions;
    as it is where the origin is real.
    """
    return f"{text} ({origin})" if origin else text
