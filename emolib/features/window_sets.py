"""Windows over stored features: the one way from clips to what the model takes.

Features are kept once and windows are indices into them;
asking for windows computes what is missing in the store.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.data.media import SAMPLE_RATE
from emolib.encoders.load import load_audio, sound_width
from emolib.encoders.wav2vec2 import HOP, AudioEncoder
from emolib.features.extraction import NotStored, extract
from emolib.features.protocols import index_of, spans_of
from emolib.features.rows import Features, Rows
from emolib.features.sound import encode_sound
from emolib.features.spans import Spans, missing_spans, samples_of
from emolib.features.store import Tensors
from emolib.system.device import device
from emolib.windows import WindowIndex

Read = TypeVar("Read")
# bytes up to which the frame protocol's sound is stored;
# Aff-Wild2's at stride 1 takes 43 GB at T = 60
FRAME_SOUND = 4e9


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of some clips; features are kept once and windows are indices into them.

    Stored features are mapped (:mod:`emolib.features.rows`). F faces, N windows of T frames, S
    steps of sound; D_v and D_a are the encoders' widths (512 and 768 for CLIP ViT-B/32 and Wav2Vec2
    base), 0 for a stream that the experiment does not use.
    """

    clips: list[Clip]
    visual: Features  # float16 [F, D_v]; every face of every clip, clip after clip
    frames: np.ndarray  # int64 [N, T]; rows of `visual`
    audio: Features  # float16 [S, D_a]; all steps that the store has of the clips
    audio_start: np.ndarray  # int64 [N]; first row in `audio`
    audio_length: np.ndarray  # int32 [N]; steps, 0 = no sound for this window
    label: np.ndarray  # int64 [N]; class 0..7, -1 where unknown
    clip: np.ndarray  # int32 [N]; index into clips
    end: np.ndarray  # int32 [N]; 1-based number of the window's last frame

    def __len__(self) -> int:
        return len(self.label)


def steps_of(experiment: Experiment, clip: Clip) -> int:
    """The steps of sound of a window of ``clip`` at its mean frame rate, at least 1."""
    return max(1, AudioEncoder.steps(round(experiment.window / clip.fps * SAMPLE_RATE)))


def frame_sound_bytes(experiment: Experiment, clips: list[Clip]) -> float:
    """What the frame protocol's sound of ``clips`` would take in the store."""
    if "audio" not in experiment.streams:
        return 0.0
    steps = sum(
        len(clip.labels) / experiment.frame_stride * steps_of(experiment, clip) for clip in clips
    )
    return 2.0 * sound_width(experiment) * steps


def window_set(
    experiment: Experiment,
    clips: list[Clip],
    *,
    protocol: str,
    index: list[WindowIndex] | None = None,
    progress: bool = True,
    store: bool = True,
) -> WindowSet:
    """The windows of ``clips`` with their features, extracted where missing.

    ``window``: the released rule at ``experiment.stride``, labelled. ``frame``: windows for
    predicting every frame, at ``experiment.frame_stride``; call it for a few clips at a time.
    ``index``: these of each clip's windows, by default all. Without ``store`` what the store lacks
    of the windows' sound is encoded now and not kept (see :func:`frame_sound_bytes`). Raises
    EmolibError naming damaged images and sound.
    """
    if index is None:
        index = [index_of(experiment, clip, protocol) for clip in clips]
    stored = store or experiment.whole_tracks
    faces, sounds = _features(experiment, clips, (protocol,) if stored else (), progress)
    encoded: list[Tensors] = []
    if sounds is not None and not stored:
        encoded = _encoded(experiment, clips, sounds, index)
    visual, frames = _gather_faces(faces, index, experiment.window)
    audio, start, length = _gather_sound(sounds, encoded, clips, index)
    counts = [len(part) for part in index]
    return WindowSet(
        clips=clips,
        visual=visual,
        frames=frames,
        audio=audio,
        audio_start=start,
        audio_length=length,
        label=np.concatenate([np.zeros(0, np.int64), *(part.label for part in index)]),
        clip=np.repeat(np.arange(len(clips), dtype=np.int32), counts),
        end=np.concatenate([np.zeros(0, np.int32), *(part.end for part in index)]),
    )


def with_sound(windows: WindowSet, index: list[WindowIndex], sounds: list[Tensors]) -> WindowSet:
    """``windows``, which ``index`` describes, with other features of their sound."""
    audio, start, length = _gather_sound(sounds, [], windows.clips, index)
    return replace(windows, audio=audio, audio_start=start, audio_length=length)


def _encoded(
    experiment: Experiment, clips: list[Clip], stored: "Sounds", index: list[WindowIndex]
) -> list[Tensors]:
    """For each clip the sound of its windows that is not ``stored``."""
    missing = {
        clip.id: missing_spans(sound, spans_of(windows))
        for clip, sound, windows in zip(clips, stored, index, strict=True)
    }
    zeros = experiment.fills_with_zeros
    encoded = encode_sound(clips, missing, load_audio(experiment, device()), zeros=zeros)
    return [encoded[clip.id] for clip in clips]


Faces = list[tuple[np.ndarray, np.ndarray]]  # per clip: frame numbers [n], features [n, D_v]
Sounds = list[Tensors]  # per clip: the arrays of its audio file


def _features(
    experiment: Experiment, clips: list[Clip], protocols: tuple[str, ...], progress: bool
) -> tuple[Faces | None, Sounds | None]:
    """What the store holds of ``clips``, None for a stream that is not used;
    extracted where missing.

    A damaged file shows when it is read: the store names and removes it, and it is extracted again.
    """
    for _ in ("visual", "audio"):
        try:
            return _read(experiment, clips, protocols, progress)
        except NotStored:
            continue
    return _read(experiment, clips, protocols, progress)


def _read(
    experiment: Experiment, clips: list[Clip], protocols: tuple[str, ...], progress: bool
) -> tuple[Faces | None, Sounds | None]:
    features = extract(experiment, clips, progress=progress, protocols=lambda _: protocols)
    faces = None if features.visual is None else _of_all(features.faces, clips)
    sounds = None if features.audio is None else _of_all(features.sound, clips)
    return faces, sounds


def _of_all(read: Callable[[Clip], Read], clips: list[Clip]) -> list[Read]:
    """``read`` of every clip; raises NotStored only after the last one,
    so that one pass finds all damaged files.
    """
    results, missing = [], None
    for clip in clips:
        try:
            results.append(read(clip))
        except NotStored as error:
            missing = error
    if missing is not None:
        raise missing
    return results


def _gather_faces(
    faces: Faces | None, index: list[WindowIndex], length: int
) -> tuple[Rows, np.ndarray]:
    """(visual ``[F, D_v]``, rows ``[N, T]``);
    without a visual stream no features, and rows that nothing reads.
    """
    rows = [np.zeros((0, length), np.int64)]
    if not faces:
        rows += [np.zeros(windows.frames.shape, np.int64) for windows in index]
        return Rows([], 0), np.concatenate(rows)
    before = 0
    for (numbers, _), windows in zip(faces, index, strict=True):
        rows.append(before + np.searchsorted(numbers, windows.frames))
        before += len(numbers)
    parts = [features for _, features in faces]
    return Rows(parts, parts[0].shape[1]), np.concatenate(rows)


def _gather_sound(
    sounds: Sounds | None, encoded: Sounds, clips: list[Clip], index: list[WindowIndex]
) -> tuple[Rows, np.ndarray, np.ndarray]:
    """(audio ``[S, D_a]``, first row ``[N]``, steps ``[N]``) of all windows."""
    if not sounds:
        n = sum(map(len, index))
        return Rows([], 0), np.zeros(n, np.int64), np.zeros(n, np.int32)
    starts, lengths, before = [], [], 0
    parts: list[np.ndarray] = []
    for i, (sound, clip, windows) in enumerate(zip(sounds, clips, index, strict=True)):
        if "spans" in sound:
            sources = [sound, *encoded[i : i + 1]]
            begin, count = _of_windows(sources, spans_of(windows))
        else:
            sources = [sound]
            begin, count = _of_track(len(sound["audio"]), clip, spans_of(windows))
        starts.append(before + begin)
        lengths.append(count.astype(np.int32))
        parts += [source["audio"] for source in sources]
        before += sum(len(source["audio"]) for source in sources)
    audio = Rows(parts, parts[0].shape[1])
    return audio, np.concatenate(starts), np.concatenate(lengths)


def _of_windows(sources: list[Tensors], spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """(first row, steps) of these windows in the ``sources``' audio, one after another."""
    every = np.concatenate([source["spans"] for source in sources])
    lengths = np.concatenate([source["lengths"] for source in sources]).astype(np.int64)
    place = {tuple(span): i for i, span in enumerate(every.tolist())}
    chosen = np.array([place[tuple(span)] for span in spans.tolist()], np.int64)
    return (np.cumsum(lengths) - lengths)[chosen], lengths[chosen]


def _of_track(total: int, clip: Clip, spans: Spans) -> tuple[np.ndarray, np.ndarray]:
    """(first row, steps) of the windows in a track of ``total`` steps: as many steps as the window
    encoded alone would have, from the one nearest its begin.
    """
    begin, samples = samples_of(clip, spans)
    first = np.minimum(np.rint(begin / HOP).astype(np.int64), total)
    count = np.array([AudioEncoder.steps(n) for n in samples.tolist()], np.int64)
    return first, np.minimum(count, total - first)
