"""``emolib weights``: which encoders are on this machine, whether their files are whole,
and whether they work.

A file is verified by its SHA-256 where that is known: from the package's own table, or from the
hub, whose cache names a large file by it. An encoder is verified by what it makes of two pictures
or two sounds.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from emolib.config import PRESETS, preset
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.folders import checkpoint_of, find_folder
from emolib.encoders.published import PUBLISHED, hub_names
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.encoders.weights import hash_of_weights
from emolib.errors import EmolibError

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
}
ALIKE = 1 - 1e-4  # cosine from which two features say nothing about what differs


def survey(weights: str = "") -> list[dict[str, Any]]:
    """One row for each encoder that a preset names: ``kind``, ``name``, ``presets``, and
    ``folder``, ``file``, ``checksum``, ``width`` and ``outputs`` as far as they are known;
    else why not, as ``problem``.
    """
    used: dict[tuple[str, str], list[str]] = {}
    for name in PRESETS:
        experiment = preset(name)
        for key in (("visual", experiment.visual_encoder), ("audio", experiment.audio_encoder)):
            used.setdefault(key, []).append(name)
    return [
        {"kind": kind, "name": name, "presets": presets} | examined(kind, name, weights)
        for (kind, name), presets in used.items()
    ]


def examined(kind: str, name: str, weights: str) -> dict[str, Any]:
    """What is known of encoder ``name``; a ``problem`` instead of an error."""
    found: dict[str, Any] = {}
    try:
        folder = find_folder(name, weights, kind)
        file = checkpoint_of(folder, kind).weights
        found |= {"folder": str(folder), "file": file.name}
        found["checksum"] = checksum(file, name)
        if kind == "visual":
            clip = VisualEncoder(folder, name=name)
            return found | {"width": clip.width, "outputs": visual_outputs(clip)}
        wav2vec2 = AudioEncoder(folder)
        return found | {"width": wav2vec2.width, "outputs": audio_outputs(wav2vec2)}
    except EmolibError as error:
        return found | {"problem": str(error)}


def checksum(file: Path, name: str) -> str:
    """How far the file's SHA-256 vouches for it.

    Raises EmolibError where it is another than the hub said.
    """
    actual = hash_of_weights(file)
    for hub in hub_names(name):
        if hub in PUBLISHED and actual == PUBLISHED[hub].sha256:
            return f"as published in {hub}"
    stated = stated_hash(file)
    if stated == actual:
        return "as the hub said when it was downloaded"
    if stated:
        raise EmolibError(
            f"{file}: damaged: its SHA-256 starts {actual[:12]}, the hub said {stated[:12]}; "
            "delete it and get it again"
        )
    return "not known"


def stated_hash(file: Path) -> str:
    """The SHA-256 that the hub gave for a large file it sent: the name of the cache's blob, or what
    ``hf download --local-dir`` noted; empty where there is none."""
    blob = file.resolve().name
    note = file.parent / ".cache" / "huggingface" / "download" / f"{file.name}.metadata"
    lines = note.read_text().split() if note.is_file() else []
    return next((text for text in (blob, *lines) if _is_sha256(text)), "")


def _is_sha256(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def visual_outputs(encoder: VisualEncoder) -> str:
    """What the encoder makes of plain pictures. Raises EmolibError where it cannot tell two apart.

    OpenAI's CLIP names the colour of a plain picture; random weights name one of six.
    """
    size = encoder.image_size
    pictures = torch.tensor(list(COLOURS.values()), dtype=torch.uint8)
    images = pictures[:, None, None].expand(-1, size, size, 3).contiguous()
    features = torch.nn.functional.normalize(encoder.images(images), dim=1)
    texts = encoder.prompts([f"a {colour} picture" for colour in COLOURS])
    named = (features @ torch.nn.functional.normalize(texts, dim=1).T).argmax(dim=1)
    _told_apart(features, "two pictures")
    right = int((named == torch.arange(len(COLOURS))).sum())
    return f"tells pictures apart, names {right} of {len(COLOURS)} colours"


def audio_outputs(encoder: AudioEncoder) -> str:
    """What the encoder makes of a tone and of noise.

    Raises EmolibError where it cannot tell them apart.
    """
    times = np.arange(16000) / 16000
    tone = 0.1 * np.sin(2 * np.pi * 220 * times)
    noise = np.random.default_rng(0).normal(0, 0.1, len(times))
    waves = torch.from_numpy(np.stack([tone, noise]).astype(np.float32))
    _told_apart(encoder.waveforms(waves).mean(dim=1), "a tone and noise")
    return "tells a tone from noise"


def _told_apart(features: torch.Tensor, what: str) -> None:
    cosine = float(torch.cosine_similarity(features[0], features[1], dim=0))
    if not features.isfinite().all() or not cosine < ALIKE:
        raise EmolibError(
            f"loads, and its features of {what} are the same (cosine {cosine:.5f}) or not finite: "
            "these are no trained weights"
        )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for people: three lines each."""
    lines = []
    for row in rows:
        lines.append(f"{row['kind']} {row['name']}: for {', '.join(row['presets'])}")
        if "problem" in row:
            lines.append(f"  {row['problem']}")
            continue
        lines.append(f"  {row['folder']}/{row['file']}, {row['width']} wide")
        lines.append(f"  checksum {row['checksum']}; {row['outputs']}")
    return "\n".join(lines)
