"""Sound through Wav2Vec2: each window's true time span, packed by length, or whole tracks.

Wav2Vec2 base must not see padding (docs/method.md, Audio encoder),
so a batch holds segments of one length only.
"""

import hashlib
from collections.abc import Callable

import numpy as np
import torch

from emolib.data.clip import Clip
from emolib.data.content import content_of_file
from emolib.data.media import SAMPLE_RATE, audible
from emolib.encoders.wav2vec2 import HOP, AudioEncoder
from emolib.errors import EmolibError
from emolib.features.spans import Spans, samples_of
from emolib.features.store import Tensors
from emolib.features.waveforms import decoded_waveforms
from emolib.features.work import check_cosine
from emolib.system.device import size_for
from emolib.system.files import hash_of

SOUND = {"cpu": 16, "cuda": 512}  # seconds of sound a batch
# Whole tracks: steps (20 ms) encoded at once, and steps on either side that only inform them.
CHUNK, CONTEXT = 1000, 100
HELD = 2  # pieces that may wait for others of their length, so that a kill loses little
CHECKED = 4  # windows of the first batch that are encoded again in float32
# seconds by which a window of a constant-rate clip may miss its nominal length,
# for rounded timestamps
JITTER = 0.002


def filled(segment: np.ndarray, samples: int) -> np.ndarray:
    """``segment`` with zeros after its end, as long as ``samples``."""
    return np.pad(segment, (0, samples - len(segment)))


class ClipSound:
    """Steps of one clip's spans on their way."""

    def __init__(
        self, clip: Clip, spans: Spans, width: int, done: Callable[["ClipSound"], None]
    ) -> None:
        self.clip, self.spans, self.width, self.done = clip, spans, width, done
        self.steps: list[np.ndarray] = [np.zeros((0, width), np.float16)] * len(spans)
        self.left = len(spans)

    def settle(self, i: int, steps: np.ndarray | None = None) -> None:
        if steps is not None:
            self.steps[i] = steps
        self.left -= 1
        if not self.left:
            self.done(self)


Segment = tuple[ClipSound, int, np.ndarray]  # whose, which of its spans, and its samples


class SoundEncoder:
    """Segments packed by length into batches of a fixed shape;
    a clip is done when its last segment is, and waits for few others.
    """

    def __init__(
        self,
        encoder: AudioEncoder,
        check: Callable[[], AudioEncoder] | None = None,
        *,
        zeros: bool = False,
    ) -> None:
        """``zeros``: they are encoded where there is no sound (``missing_sound``)."""
        self.encoder, self.check, self.zeros = encoder, check, zeros
        self.waiting: dict[int, list[Segment]] = {}
        self.held: list[ClipSound] = []  # with segments in `waiting`, the oldest first
        self.samples = 0  # encoded so far, rows of silence included

    def add(self, sound: ClipSound, wave: np.ndarray) -> None:
        """Cut the spans out of ``wave`` (int16), encode what fills a batch.

        Spans beyond its end have no steps, nor has one that is digital silence throughout: a muted
        video and one without a sound track are the same to hear. With ``zeros`` every span has the
        steps of its length.
        """
        if not sound.left:
            sound.done(sound)
            return
        begin, count = samples_of(sound.clip, sound.spans)
        nominal = (sound.spans[:, 1] - sound.spans[:, 0] + 1) / sound.clip.fps
        # Variable rate: hardly another clip has windows of these lengths.
        odd = np.abs(count / SAMPLE_RATE - nominal) > JITTER
        own: dict[int, list[Segment]] = {}
        for i in range(len(begin)):
            segment = wave[begin[i] : begin[i] + count[i]]
            if self.zeros:
                segment = filled(segment, count[i])
            heard = self.zeros or audible(segment).any()
            if self.encoder.steps(len(segment)) == 0 or not heard:
                sound.settle(i)
            elif odd[i] or len(segment) < count[i]:
                own.setdefault(len(segment), []).append((sound, i, segment))
            else:
                group = self.waiting.setdefault(len(segment), [])
                group.append((sound, i, segment))
                if len(group) == self.batch(len(segment)):
                    self._encode(self.waiting.pop(len(segment)), len(group))
        for length, group in sorted(own.items()):
            size = self.batch(length)
            for first in range(0, len(group), size):
                part = group[first : first + size]
                self._encode(part, len(part))
        self.held.append(sound)
        self._let_go()

    def _let_go(self) -> None:
        """Encode what the oldest still wait for, until at most HELD wait."""
        self.held = [sound for sound in self.held if sound.left]
        while len(self.held) > HELD:
            oldest = self.held[0]
            for length, group in sorted(self.waiting.items()):
                if any(sound is oldest for sound, *_ in group):
                    self._encode(self.waiting.pop(length), self.batch(length))
            self.held = [sound for sound in self.held if sound.left]

    def batch(self, n_samples: int) -> int:
        """Segments a batch; depends on their length alone."""
        return max(1, size_for(self.encoder.device, SOUND) * SAMPLE_RATE // n_samples)

    def finish(self) -> None:
        """Encode what is left, padded with rows of silence."""
        for length in sorted(self.waiting):
            self._encode(self.waiting.pop(length), self.batch(length))

    def _encode(self, group: list[Segment], size: int) -> None:
        batch = np.zeros((size, len(group[0][2])), np.float32)
        for row, (_, _, segment) in enumerate(group):
            batch[row] = segment
        waves = torch.from_numpy(batch / np.float32(32767))
        steps = self.encoder.waveforms(waves)
        self.samples += waves.numel()
        if self.check is not None:
            few = min(CHECKED, len(group))  # a GPU's whole batch takes 10 GB in float32
            check_cosine(
                "audio",
                steps[:few].flatten(0, 1),
                self.check().waveforms(waves[:few]).flatten(0, 1),
            )
            self.check = None
        result = steps[: len(group)].to(torch.float16).cpu().numpy()
        for row, (sound, i, _) in enumerate(group):
            sound.settle(i, result[row])

    def track(self, wave: np.ndarray) -> np.ndarray:
        """Float16 ``[steps, 768]`` of a whole track, int16 or within -1 to 1, in constant memory:
        in chunks of 20 s that see 2 s more on either side. A track of up to 20 s is encoded as one.
        """
        total = self.encoder.steps(len(wave))
        parts = [np.zeros((0, self.encoder.width), np.float16)]
        for first in range(0, total, CHUNK):
            last = min(first + CHUNK, total)
            left, right = max(0, first - CONTEXT), min(total, last + CONTEXT)
            segment = wave[left * HOP : len(wave) if right == total else right * HOP + 80]
            samples = (
                segment.astype(np.float32) / 32767
                if wave.dtype == np.int16
                else segment.astype(np.float32)
            )
            steps = self.encoder.waveforms(torch.from_numpy(samples)[None])[0]
            self.samples += len(segment)
            parts.append(steps[first - left : last - left].to(torch.float16).cpu().numpy())
        return np.concatenate(parts)


def merged(stored: Tensors | None, sound: ClipSound) -> Tensors:
    """A clip's audio file: ``spans`` int32 [m, 2] in order of end and start, ``lengths`` int32 [m],
    ``audio`` float16 [sum of lengths, D_a]; what is ``stored`` and the spans computed now.
    """
    every, parts = list(map(tuple, sound.spans.tolist())), list(sound.steps)
    if stored is not None and len(stored["lengths"]):
        every += list(map(tuple, stored["spans"].tolist()))
        parts += np.split(stored["audio"], np.cumsum(stored["lengths"])[:-1])
    order = sorted(range(len(every)), key=lambda i: (every[i][1], every[i][0]))
    nothing = np.zeros((0, sound.width), np.float16)
    return {
        "spans": np.array([every[i] for i in order], np.int32).reshape(-1, 2),
        "lengths": np.array([len(parts[i]) for i in order], np.int32),
        "audio": np.concatenate([nothing, *(parts[i] for i in order)]),
    }


def source_of(clip: Clip, track: bool) -> str:
    """The content that a clip's sound features are made from: its video, none included, and the
    sample at which each frame begins, of which whole tracks know nothing.
    """
    edges = np.zeros(0) if track else np.append(clip.frame_times, 1 / clip.fps) * SAMPLE_RATE
    edges_hash = hashlib.sha256(np.rint(edges).astype(np.int64).tobytes()).hexdigest()
    return hash_of([content_of_file(clip.video), edges_hash])


def encode_sound(
    clips: list[Clip], wanted: dict[str, Spans], encoder: AudioEncoder, *, zeros: bool = False
) -> dict[str, Tensors]:
    """Audio features of spans that are not stored, by clip id; ``zeros``:
    as :class:`SoundEncoder` has it.

    Raises EmolibError when a video cannot be decoded.
    """
    result: dict[str, Tensors] = {}

    def done(sound: ClipSound) -> None:
        result[sound.clip.id] = merged(None, sound)

    sounds = SoundEncoder(encoder, zeros=zeros)
    for clip, wave in decoded_waveforms(clips, lambda clip: clip.video):
        if isinstance(wave, str):
            raise EmolibError(wave)
        sounds.add(ClipSound(clip, wanted[clip.id], encoder.width, done), wave)
    sounds.finish()
    return result
