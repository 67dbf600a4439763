"""Sound features into the feature store: the spans of a clip's windows, or its whole track."""

import itertools
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.data.clip import Clip
from emolib.data.media import SAMPLE_RATE, audible
from emolib.encoders.wav2vec2 import HOP, AudioEncoder
from emolib.features.sound import ClipSound, SoundEncoder, merged, source_of
from emolib.features.spans import Spans, missing_spans, samples_of
from emolib.features.store import FeatureStore, Tensors
from emolib.features.waveforms import decoded_waveforms
from emolib.features.work import Report, Stream, Work, gflop_of, in_turns

PIECE = 256  # windows of a clip that are stored together; a long clip is stored piece by piece
ENDS_EARLY = 0.1  # seconds of sound that a clip may lack at its end without a word


def extract_sound(
    store: FeatureStore,
    wanted: dict[str, Spans],
    clips: list[Clip],
    load: Callable[[bool], AudioEncoder],
    report: Report,
    *,
    track: bool,
    zeros: bool = False,
    progress: bool = True,
) -> None:
    """Compute the audio features that ``store`` lacks: the ``wanted`` spans of each clip, or with
    ``track`` whole tracks.

    ``load(strict)`` loads the encoder, only when there is work; ``zeros``:
    as :class:`SoundEncoder` has it.
    """

    def source(clip: Clip) -> str:
        return source_of(clip, track)

    def is_done(clip_id: str, source: str) -> bool:
        if track or not store.has(clip_id, source):
            return store.has(clip_id, source)
        return not len(missing_spans(store.read(clip_id, source, "spans"), wanted[clip_id]))

    missing = [clip for clip in clips if not is_done(clip.id, source(clip))]
    if not missing:
        return
    missing.sort(key=lambda clip: clip.fps)  # windows of one length come one after another
    encoder = load(False)
    store.check_room(2 * encoder.width * sum(_steps(clip, wanted, track) for clip in missing))
    stream = Stream("sound", "tracks" if track else "windows", encoder.dtype, encoder.device)
    report.streams.append(stream)
    gflop = gflop_of(lambda: encoder.waveforms(torch.zeros(1, SAMPLE_RATE))) / SAMPLE_RATE
    begin = time.perf_counter()
    check = None if encoder.dtype == torch.float32 or track else lambda: load(True)
    sounds = SoundEncoder(encoder, check, zeros=zeros)
    with tqdm(
        total=len(missing), desc="sound", unit="clip", disable=not progress, leave=False
    ) as bar:
        extraction = _Extraction(store, wanted, sounds, report, bar, track)
        in_turns(missing, store, source, is_done, extraction.work)
    stream.seconds, stream.gflop = time.perf_counter() - begin, gflop * sounds.samples


class _Extraction:
    """Clips on their way from the decoder through the encoder into the store."""

    def __init__(
        self,
        store: FeatureStore,
        wanted: dict[str, Spans],
        sounds: SoundEncoder,
        report: Report,
        bar: "tqdm[object]",
        track: bool,
    ) -> None:
        self.store, self.wanted, self.sounds = store, wanted, sounds
        self.report, self.bar, self.track = report, bar, track
        self.stream = report.streams[-1]

    def work(self, free: Iterator[Work]) -> None:
        """Decode, encode and store the clips of one pass."""
        for item, wave in decoded_waveforms(free, lambda item: item.clip.video):
            if isinstance(wave, str):
                self.report.damaged.append(wave)
                item.claim.release()
                self.bar.update()
                continue
            if lacking := _lacking(item.clip, wave):
                self.report.quiet.append(f"{item.clip.id} ({lacking})")
            if self.track:
                self._add_track(item, wave)
            else:
                self._add_spans(item, wave)
        self.sounds.finish()

    def _add_track(self, item: Work, wave: np.ndarray) -> None:
        self.stream.units += 1
        heard = wave if audible(wave).any() else wave[:0]
        self._keep(item, {"audio": self.sounds.track(heard)})

    def _add_spans(self, item: Work, wave: np.ndarray) -> None:
        """Hand a clip's missing spans to the encoder, piece by piece; each is stored when done."""
        stored = self.store.read(item.clip.id, item.source, "spans")
        spans = missing_spans(stored, self.wanted[item.clip.id])
        self.stream.units += len(spans)
        pieces = np.split(spans, range(PIECE, len(spans), PIECE))
        left = itertools.count(len(pieces) - 1, -1)

        def done(sound: ClipSound) -> None:
            stored = self.store.read(item.clip.id, item.source)  # earlier pieces included
            self._keep(item, merged(stored, sound), last=next(left) == 0)

        for piece in pieces:
            self.sounds.add(ClipSound(item.clip, piece, self.sounds.encoder.width, done), wave)

    def _keep(self, item: Work, tensors: Tensors, last: bool = True) -> None:
        self.store.write(item.clip.id, item.source, tensors)
        if last:
            item.claim.release()
            self.stream.clips += 1
            self.bar.update()


def _steps(clip: Clip, wanted: dict[str, Spans], track: bool) -> int:
    """At most so many steps of sound does the store get of a clip."""
    if track:
        return round(len(clip.frame_times) / clip.fps * SAMPLE_RATE) // HOP
    return int(samples_of(clip, wanted[clip.id])[1].sum()) // HOP


def _lacking(clip: Clip, wave: np.ndarray) -> str:
    """What of the clip's sound is missing, for the report; empty where nothing is."""
    if len(wave) and not audible(wave).any():
        return "digital silence"
    end = float(clip.frame_times[-1]) + 1 / clip.fps if len(clip.frame_times) else 0.0
    seconds = end - len(wave) / SAMPLE_RATE
    if seconds <= ENDS_EARLY:
        return ""
    return f"{seconds:.1f} s before its end" if len(wave) else "all"
