"""Random features in the store in the place of encoded ones, for ``emolib bench paper``.

They have the encoders' widths and the windows' true lengths, so that everything behind the encoders
meets what it would meet: files, sizes, memory.
"""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.encoders.load import sound_width
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.features.extraction import store_of
from emolib.features.faces import source_of as source_of_faces
from emolib.features.protocols import index_of, spans_of
from emolib.features.sound import source_of as source_of_sound
from emolib.features.spans import samples_of

BLOCK = 1 << 16  # rows drawn at once
FACE_WIDTH = 512  # of CLIP ViT-B/32


def fill(experiment: Experiment, clips: Sequence[Clip], *, progress: bool = True) -> int:
    """Write what the store lacks of the window protocol's features; the bytes written."""
    faces, sounds = store_of(experiment, "visual"), store_of(experiment, "audio")
    width, written = sound_width(experiment), 0
    for clip in tqdm(clips, desc="random features", unit="clip", disable=not progress):
        rng = np.random.default_rng([3, *clip.id.encode()])
        source = source_of_faces(clip)
        if not faces.has(clip.id, source):
            frames = (np.flatnonzero(clip.face_present) + 1).astype(np.int32)
            visual = noise(rng, len(frames), FACE_WIDTH)
            faces.write(clip.id, source, {"frames": frames, "visual": visual})
            written += visual.nbytes
        source = source_of_sound(clip, track=False)
        if clip.split != "test" and not sounds.has(clip.id, source):
            spans = spans_of(index_of(experiment, clip, "window"))
            lengths = [AudioEncoder.steps(n) for n in samples_of(clip, spans)[1].tolist()]
            audio = noise(rng, sum(lengths), width)
            tensors = {"spans": spans, "lengths": np.array(lengths, np.int32), "audio": audio}
            sounds.write(clip.id, source, tensors)
            written += audio.nbytes
    return written


def noise(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    """float16 ``[rows, width]`` around 0: one block of normal numbers, turned for each repeat."""
    block = rng.standard_normal((min(rows, BLOCK), width), np.float32).astype(np.float16)
    result = np.empty((rows, width), np.float16)
    for first in range(0, rows, BLOCK):
        count = min(BLOCK, rows - first)
        result[first : first + count] = np.roll(block, first // BLOCK, axis=1)[:count]
    return result


class RandomSound:
    """In the place of the sound encoder: the same steps of noise, at once."""

    def __init__(self, encoder: AudioEncoder) -> None:
        self.width, self.device, self.dtype = encoder.width, encoder.device, encoder.dtype
        self.steps = encoder.steps

    def waveforms(self, waves: torch.Tensor) -> torch.Tensor:
        """float32 [B, n] to [B, steps, D_a]."""
        generator = torch.Generator().manual_seed(len(waves))
        shape = (len(waves), self.steps(waves.shape[1]), self.width)
        return torch.randn(shape, generator=generator).to(self.device)
