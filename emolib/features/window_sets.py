"""Frozen features of clips, and windows over them (paper section 3.1): the one way from clips to what the model takes.

Features live in the store, keyed by what they depend on; asking for windows computes what is missing. Faces are kept
once a frame and windows are indices into them; sound is kept once a window, because a window's segment encoded alone
differs from the same span of an encoded track (``audio_context`` chooses).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.data.media import SAMPLE_RATE
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.load import identify, load_audio, load_visual
from emolib.encoders.wav2vec2 import HOP, AudioEncoder
from emolib.errors import EmolibError, WrongCall
from emolib.features.faces import extract_faces
from emolib.features.faces import source_of as source_of_faces
from emolib.features.sound import Spans, encode_sound, extract_sound, samples_of
from emolib.features.sound import source_of as source_of_sound
from emolib.features.store import FeatureStore, Tensors
from emolib.features.work import Report
from emolib.labels import prompts
from emolib.system.device import device
from emolib.system.files import hash_of
from emolib.windows import WindowIndex, frame_windows, index_windows

__all__ = [
    "FeatureStore",
    "Features",
    "WindowSet",
    "extract",
    "prompt_features",
    "store_of",
    "verify",
    "window_set",
]

PROMPTS = "_prompts"  # the store's entry for the eight prompts; no clip has this name
FRAME_SOUND = 4e9  # bytes up to which the frame protocol's sound is stored; Aff-Wild2's at stride 1 takes 43 GB at T = 60


@dataclass(frozen=True, eq=False)
class WindowSet:
    """Windows of some clips; features are kept once and windows are indices into them."""

    clips: list[Clip]
    visual: np.ndarray  # float16 [F, 512]; every face of every clip, clip after clip
    frames: np.ndarray  # int64 [N, T]; rows of `visual`
    audio: (
        np.ndarray
    )  # float16 [S, 768]; steps of all windows, or of all tracks (windows then share steps)
    audio_start: np.ndarray  # int64 [N]; first row in `audio`
    audio_length: np.ndarray  # int32 [N]; steps, 0 = no sound for this window
    label: np.ndarray  # int64 [N]; class 0..7, -1 where unknown
    clip: np.ndarray  # int32 [N]; index into clips
    end: np.ndarray  # int32 [N]; 1-based number of the window's last frame

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, eq=False)
class Features:
    """Stored features of clips; None for a stream that the experiment does not use. ``report``: what was computed now."""

    visual: FeatureStore | None
    audio: FeatureStore | None
    report: Report

    def faces(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """(1-based frame numbers int32 ``[n]``, features float16 ``[n, 512]``). Raises EmolibError when not stored."""
        stored = _stored(self.visual, clip)
        return stored["frames"], stored["visual"]

    def sound(self, clip: Clip) -> Tensors:
        """``spans`` [m, 2], ``lengths`` [m] and ``audio`` [sum, 768], or ``audio`` alone for whole tracks."""
        return _stored(self.audio, clip)


def _stored(store: FeatureStore | None, clip: Clip) -> Tensors:
    stored = store.read(clip.id) if store else None
    if stored is None:
        raise EmolibError(f"{clip.id}: no such features in the store; run emolib extract")
    return stored


def store_of(experiment: Experiment, kind: str) -> FeatureStore:
    """The experiment's ``visual`` or ``audio`` store. Raises EmolibError when the weights are missing."""
    return FeatureStore(kind, experiment.fingerprint(kind), identify(experiment, kind, device()))


def _loader(load: Callable[..., Any], experiment: Experiment) -> Callable[[bool], Any]:
    return lambda strict: load(
        experiment.replace(precision="strict") if strict else experiment, device()
    )


def shown(experiment: Experiment, clip: Clip) -> np.ndarray:
    """bool ``[n]``: the frames that the frame protocol has something of: a face, or every frame for a run that only hears."""
    return (
        np.ones_like(clip.face_present) if experiment.modalities == "audio" else clip.face_present
    )


def index_of(experiment: Experiment, clip: Clip, protocol: str) -> WindowIndex:
    """The windows of one clip under ``protocol``, ``window`` or ``frame``; reads no feature."""
    e = experiment
    if protocol == "window":
        return index_windows(
            clip.labels,
            clip.face_present,
            length=e.window,
            stride=e.stride,
            label_rule=e.label_rule,
            max_gap=e.max_gap,
        )
    if protocol == "frame":
        return frame_windows(shown(e, clip), length=e.window, stride=e.frame_stride)
    raise WrongCall(f"protocol={protocol!r}: choose one of window, frame")


def _spans(index: WindowIndex) -> Spans:
    return np.stack([index.start, index.end], axis=1).astype(np.int32)


def extract(
    experiment: Experiment,
    clips: list[Clip],
    *,
    progress: bool = True,
    protocols: Callable[[Clip], tuple[str, ...]] = lambda clip: ("window",),
) -> Features:
    """Compute what the store lacks of the clips' features, for the streams that the experiment uses.

    ``protocols``: those whose windows' sound is wanted of a clip. Idempotent, resumable per clip, shared with other
    processes that do the same. Raises EmolibError naming every damaged file, after everything else is stored.
    """
    report = Report()
    visual = audio = None
    if experiment.modalities != "audio":
        visual = store_of(experiment, "visual")
        extract_faces(visual, clips, _loader(load_visual, experiment), report, progress=progress)
    if experiment.modalities != "visual":
        audio = store_of(experiment, "audio")
        wanted = {
            clip.id: _unique(
                [_spans(index_of(experiment, clip, protocol)) for protocol in protocols(clip)]
            )
            for clip in clips
        }
        track = experiment.audio_context == "track"
        extract_sound(
            audio,
            wanted,
            clips,
            _loader(load_audio, experiment),
            report,
            track=track,
            progress=progress,
        )
    if report.damaged:
        more = f" (and {len(report.damaged) - 5} more)" if len(report.damaged) > 5 else ""
        raise EmolibError(
            f"{len(report.damaged)} damaged files, all else is stored: "
            + "; ".join(report.damaged[:5])
            + more
        )
    return Features(visual, audio, report)


def _unique(spans: list[Spans]) -> Spans:
    return np.unique(np.concatenate(spans), axis=0) if spans else np.zeros((0, 2), np.int32)


def stamps(experiment: Experiment, clips: list[Clip]) -> dict[str, str]:
    """For each clip's id a hash of what its features are made from: encoders, frames, faces, times and the files read."""
    stores = [store_of(experiment, kind).fingerprint for kind in _kinds(experiment)]
    sources = {"visual": source_of_faces, "audio": lambda clip: source_of_sound(clip, track=False)}
    return {
        clip.id: hash_of(
            [
                stores,
                clip.face_present.tolist(),
                clip.frame_times.tolist(),
                *(sources[kind](clip) for kind in _kinds(experiment)),
            ]
        )
        for clip in clips
    }


def _kinds(experiment: Experiment) -> list[str]:
    """The stores that the experiment uses."""
    return [
        kind
        for kind, other in (("visual", "audio"), ("audio", "visual"))
        if experiment.modalities != other
    ]


def verify(experiment: Experiment) -> tuple[int, list[str]]:
    """Re-hash the experiment's stores: (files, paths of damaged ones, which are removed and so computed again)."""
    results = [store_of(experiment, kind).verify() for kind in _kinds(experiment)]
    return sum(count for count, _ in results), [path for _, damaged in results for path in damaged]


def frame_sound_bytes(experiment: Experiment, clips: list[Clip]) -> float:
    """What the frame protocol's sound of ``clips`` would take in the store."""
    seconds = [experiment.window / clip.fps for clip in clips]
    windows = [len(clip.labels) / experiment.frame_stride for clip in clips]
    steps = [
        n * AudioEncoder.steps(round(each * SAMPLE_RATE))
        for n, each in zip(windows, seconds, strict=True)
    ]
    return 2.0 * AudioEncoder.width * sum(steps)


def window_set(
    experiment: Experiment,
    clips: list[Clip],
    *,
    protocol: str,
    progress: bool = True,
    store: bool = True,
) -> WindowSet:
    """The windows of ``clips`` with their features, extracted where missing.

    ``window``: the released rule at ``experiment.stride``, labelled. ``frame``: windows for predicting every frame, at
    ``experiment.frame_stride``; call it for a few clips at a time. Without ``store`` the windows' sound is encoded now
    and not kept (see :func:`frame_sound_bytes`). Raises EmolibError naming damaged images and sound.
    """
    index = [index_of(experiment, clip, protocol) for clip in clips]
    track = experiment.audio_context == "track"
    stored = store or track
    features = extract(
        experiment, clips, progress=progress, protocols=lambda clip: (protocol,) if stored else ()
    )
    visual, frames = _gather_faces(features, clips, index, experiment.window)
    if features.audio is None:
        sounds = None
    elif stored:
        sounds = [_stored(features.audio, clip) for clip in clips]
    else:
        encoded = encode_sound(
            clips,
            {c.id: _spans(i) for c, i in zip(clips, index, strict=True)},
            load_audio(experiment, device()),
        )
        sounds = [encoded[clip.id] for clip in clips]
    audio, start, length = _gather_sound(sounds, clips, index)
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


def _gather_faces(
    features: Features, clips: list[Clip], index: list[WindowIndex], length: int
) -> tuple[np.ndarray, np.ndarray]:
    """(visual ``[F, 512]``, rows ``[N, T]``); without a visual stream no features, and rows that nothing reads."""
    parts, rows, before = (
        [np.zeros((0, VisualEncoder.width), np.float16)],
        [np.zeros((0, length), np.int64)],
        0,
    )
    for clip, windows in zip(clips, index, strict=True):
        if features.visual is None:
            rows.append(np.zeros(windows.frames.shape, np.int64))
            continue
        numbers, faces = features.faces(clip)
        parts.append(faces)
        rows.append(before + np.searchsorted(numbers, windows.frames))
        before += len(faces)
    return np.concatenate(parts), np.concatenate(rows)


def _gather_sound(
    sounds: list[Tensors] | None, clips: list[Clip], index: list[WindowIndex]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(audio ``[S, 768]``, first row ``[N]``, steps ``[N]``) of all windows."""
    starts, lengths, before = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], 0
    parts: list[tuple[np.ndarray, np.ndarray]] = []  # (a clip's steps, which of them)
    for i, (clip, windows) in enumerate(zip(clips, index, strict=True)):
        if sounds is None:
            begin, count, rows = (
                np.zeros(len(windows), np.int64),
                np.zeros(len(windows), np.int32),
                np.zeros(0, np.int64),
            )
        elif "spans" in sounds[i]:
            begin, count, rows = _of_windows(sounds[i], _spans(windows))
        else:
            begin, count, rows = _of_track(sounds[i]["audio"], clip, _spans(windows))
        starts.append(before + begin)
        lengths.append(count.astype(np.int32))
        if sounds is not None:
            parts.append((sounds[i]["audio"], rows))
        before += len(rows)
    audio, before = np.empty((before, AudioEncoder.width), np.float16), 0
    for steps, rows in parts:
        steps.take(
            rows, axis=0, out=audio[before : before + len(rows)], mode="clip"
        )  # "raise" would copy once more
        before += len(rows)
    return audio, np.concatenate(starts), np.concatenate(lengths)


def _of_windows(stored: Tensors, spans: Spans) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first row, steps, rows of ``stored["audio"]``) of these windows alone, one after another."""
    place = {tuple(span): i for i, span in enumerate(stored["spans"].tolist())}
    chosen = np.array([place[tuple(span)] for span in spans.tolist()], np.int64)
    count = stored["lengths"][chosen]
    begin = np.cumsum(count) - count
    first = (np.cumsum(stored["lengths"]) - stored["lengths"])[chosen]
    return begin, count, np.repeat(first - begin, count) + np.arange(count.sum())


def _of_track(
    audio: np.ndarray, clip: Clip, spans: Spans
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first row, steps, rows of the track): as many steps as the window encoded alone would have, from the one nearest its begin."""
    begin, samples = samples_of(clip, spans)
    first = np.minimum(np.rint(begin / HOP).astype(np.int64), len(audio))
    count = np.array([AudioEncoder.steps(n) for n in samples.tolist()], np.int64)
    return first, np.minimum(count, len(audio) - first), np.arange(len(audio))


def prompt_features(experiment: Experiment) -> tuple[np.ndarray, float]:
    """(float32 ``[8, 512]`` raw features of the eight prompts, CLIP's logit scale as a factor), kept in the store."""
    store = store_of(experiment, "visual")
    stored = store.read(PROMPTS)
    if stored is None:
        encoder = load_visual(experiment, device())
        stored = {
            "prompts": encoder.prompts(prompts()).cpu().numpy(),
            "logit_scale": np.array([encoder.logit_scale], np.float32),
        }
        store.write(PROMPTS, stored)
    return stored["prompts"], float(stored["logit_scale"][0])
