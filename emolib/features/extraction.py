"""From clips to stored features of the frozen encoders (paper section 3.1):
what is missing is computed, once.

Features live in the store, keyed by the encoder and by the content they are made from. Faces are
kept once per frame; sound is kept once per window, because a window's segment encoded alone differs
from the same span of an encoded track (``audio_context`` chooses).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.encoders.load import identify, load_audio, load_visual
from emolib.errors import EmolibError
from emolib.features.faces import extract_faces
from emolib.features.faces import source_of as source_of_faces
from emolib.features.protocols import index_of, spans_of
from emolib.features.sound import source_of as source_of_sound
from emolib.features.sound_extraction import extract_sound
from emolib.features.spans import Spans
from emolib.features.store import FeatureStore, Tensors
from emolib.features.work import Report
from emolib.labels import prompts
from emolib.system.device import device
from emolib.system.files import few, hash_of


@dataclass(frozen=True, eq=False)
class Features:
    """Stored features of clips; None for a stream that the experiment does not use.

    ``report``: what was computed now.
    """

    visual: FeatureStore | None
    audio: FeatureStore | None
    track: bool  # audio: whole tracks instead of windows
    report: Report

    def faces(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """(1-based frame numbers int32 ``[n]``, features float16 ``[n, D_v]``).

        Raises EmolibError when not stored.
        """
        stored = _stored(self.visual, clip, source_of_faces(clip))
        return stored["frames"], stored["visual"]

    def sound(self, clip: Clip) -> Tensors:
        """``spans`` [m, 2], ``lengths`` [m] and ``audio`` [sum, D_a],
        or ``audio`` alone for whole tracks.
        """
        return _stored(self.audio, clip, source_of_sound(clip, self.track))


class NotStored(EmolibError):
    """Features that are not in the store, or were damaged and removed from it."""


def _stored(store: FeatureStore | None, clip: Clip, source: str) -> Tensors:
    stored = store.read(clip.id, source) if store else None
    if stored is None:
        raise NotStored(f"{clip.id}: no such features in the store; run emolib extract")
    return stored


def store_of(experiment: Experiment, kind: str) -> FeatureStore:
    """The experiment's ``visual`` or ``audio`` store.

    Raises EmolibError when the weights are missing.
    """
    return FeatureStore(kind, experiment.settings(kind), identify(experiment, kind, device()))


def kinds_of(experiment: Experiment) -> list[str]:
    """The streams that the experiment uses."""
    return list(experiment.streams)


def _loader(load: Callable[..., Any], experiment: Experiment) -> Callable[[bool], Any]:
    def loaded(strict: bool) -> Any:
        return load(experiment.replace(precision="strict") if strict else experiment, device())

    return loaded


def extract(
    experiment: Experiment,
    clips: list[Clip],
    *,
    progress: bool = True,
    protocols: Callable[[Clip], tuple[str, ...]] = lambda clip: ("window",),
) -> Features:
    """Compute the features that the store lacks, of each stream that the experiment uses.

    ``protocols``: those whose windows' sound is wanted of a clip. Idempotent, resumable per clip,
    shared with other processes that do the same. Raises EmolibError naming every damaged file,
    after everything else is stored.
    """
    report = Report()
    track = experiment.whole_tracks
    stores = {kind: store_of(experiment, kind) for kind in kinds_of(experiment)}
    if "visual" in stores:
        load = _loader(load_visual, experiment)
        extract_faces(stores["visual"], clips, load, report, progress=progress)
    if "audio" in stores:
        wanted = {clip.id: _wanted(experiment, clip, protocols(clip)) for clip in clips}
        load = _loader(load_audio, experiment)
        options = {"track": track, "zeros": experiment.fills_with_zeros, "progress": progress}
        extract_sound(stores["audio"], wanted, clips, load, report, **options)
    if report.damaged:
        raise EmolibError(
            f"{len(report.damaged)} damaged files, all else is stored: {few(report.damaged, '; ')}"
        )
    return Features(stores.get("visual"), stores.get("audio"), track, report)


def _wanted(experiment: Experiment, clip: Clip, protocols: tuple[str, ...]) -> Spans:
    """The spans of a clip's windows under ``protocols``, each once."""
    spans = [spans_of(index_of(experiment, clip, protocol)) for protocol in protocols]
    return np.unique(np.concatenate([np.zeros((0, 2), np.int32), *spans]), axis=0)


def verify(experiment: Experiment) -> tuple[int, list[str]]:
    """Re-hash the experiment's stores: (files, paths of damaged ones,
    which are removed and so computed again).
    """
    results = [store_of(experiment, kind).verify() for kind in kinds_of(experiment)]
    return sum(count for count, _ in results), [path for _, damaged in results for path in damaged]


def prompt_features(experiment: Experiment) -> tuple[np.ndarray, float]:
    """(float32 ``[8, D_v]`` raw features of the eight prompts,
    CLIP's logit scale as a factor), kept in a store of their own.
    """
    identity = identify(experiment, "visual", device())
    store = FeatureStore("prompts", experiment.settings("visual"), identity)
    source = hash_of(prompts())
    stored = store.read("prompts", source)
    if stored is None:
        encoder = load_visual(experiment, device())
        stored = {
            "prompts": encoder.prompts(prompts()).cpu().numpy(),
            "logit_scale": np.array([encoder.logit_scale], np.float32),
        }
        store.write("prompts", source, stored)
    return stored["prompts"], float(stored["logit_scale"][0])
