"""A trained run on one video: faces and sound observed, windows over true times,
probabilities by the run's frame rule.

The way of the benchmark, from the video instead of the tree: faces found and cut out as the
training crops are, the run's frozen encoders, windows of ``Experiment.window`` frames. Where a
window lacks the face or the sound, it is predicted from the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from emolib.data.clip import Clip
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.load import load_audio, load_visual
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.errors import WrongCall
from emolib.evaluation.predictions import predict_windows
from emolib.features.origin import origin
from emolib.features.spans import samples_of
from emolib.features.window_sets import WindowSet
from emolib.labels import NOT_ANNOTATED, NUM_CLASSES
from emolib.model import EmotionModel
from emolib.system.device import device
from emolib.training.run import load_model
from emolib.video.choice import FaceChoice
from emolib.video.detection import FaceFinder, detector_file
from emolib.video.observation import Observation
from emolib.video.options import WHICH_FACES
from emolib.video.watching import listen, watch
from emolib.video.window_sound import encode_track, sound_of_windows
from emolib.windows import frame_predictions, frame_windows, smooth

CHUNK = 128  # windows whose features are in memory at once


class Predicted(NamedTuple):
    """What a run says of the faces or frames of one video."""

    probabilities: np.ndarray  # float64 [R, 8]; NaN where nothing is known
    heard: np.ndarray  # bool [R]; whether a window they rest on holds more than digital silence


def check_faces(faces: str) -> None:
    """Raises WrongCall for a choice of faces that there is not."""
    if faces not in WHICH_FACES:
        raise WrongCall(f"faces={faces!r}: choose one of {', '.join(WHICH_FACES)}")


def load_finder(detector: Path | str | None, faces: str, *, needed: bool) -> FaceFinder | None:
    """The face detector; None where ``faces`` is whole,
    or where it is neither ``needed`` nor given.

    Raises EmolibError when it is missing.
    """
    if faces == "whole" or not (needed or detector):
        return None
    return FaceFinder(detector_file(detector))


@dataclass(frozen=True, eq=False)
class Predictor:
    """A trained run with its encoders, ready for any number of videos."""

    model: EmotionModel
    visual: VisualEncoder | None  # None: the run does not see
    audio: AudioEncoder | None  # None: the run does not hear
    finder: FaceFinder | None  # None: nothing is detected
    faces: str  # one of options.WHICH_FACES
    origin: str  # of the run's data and weights; empty: real
    name: str

    @classmethod
    def load(
        cls, run: Path, detector: Path | str | None = None, faces: str = "tracked"
    ) -> "Predictor":
        """The run in folder ``run``; ``faces``: one of ``options.WHICH_FACES``.

        Raises EmolibError when it, its encoders' weights or the face detector are missing,
        WrongCall for unknown ``faces``.
        """
        check_faces(faces)
        where = device()
        model, experiment = load_model(Path(run), where)
        finder = load_finder(detector, faces, needed=model.sees)  # the quickest to fail comes first
        return cls(
            model=model,
            finder=finder,
            visual=load_visual(experiment, where) if model.sees else None,
            audio=load_audio(experiment, where) if model.hears else None,
            faces=faces,
            origin=origin(experiment),
            name=Path(run).resolve().name,
        )

    @property
    def sees(self) -> bool:
        """Whether probabilities rest on faces; if not, there is one row a frame, not one a face."""
        return bool(self.model.sees)

    @property
    def settings(self) -> dict[str, Any]:
        """What the probabilities depend on, for the summary."""
        experiment = self.model.experiment
        names = (
            "modalities",
            "window",
            "frame_rule",
            "frame_stride",
            "smoothing",
            "smoothing_half_width",
        )
        values = {name: getattr(experiment, name) for name in names}
        return {"run": self.name, "experiment": experiment.fingerprint("train"), **values}

    def observe(self, video: Path, *, rotate: int = 0, progress: bool = True) -> Observation:
        """Faces, their features and the sound of ``video``.

        Raises EmolibError when it cannot be decoded.
        """
        observation = watch(
            video,
            FaceChoice(self.faces, self.finder),
            self.visual,
            self.model.experiment.crops,
            rotate=rotate,
            progress=progress,
        )
        if self.audio is not None:
            listen(observation)
            if self.model.experiment.whole_tracks:
                encode_track(observation, self.audio)
        return observation

    def probabilities(self, observation: Observation, *, progress: bool = True) -> Predicted:
        """For the R faces of ``observation``;
        for each of its n frames when the run does not see.
        """
        count = len(observation.frame) if self.sees else len(observation.times)
        result = np.full((count, NUM_CLASSES + 1), np.nan)
        for rows, frames in sequences(observation, sees=self.sees):
            result[rows] = self._sequence(observation, frames, rows, progress=progress)
        values, heard = result[:, :NUM_CLASSES], result[:, NUM_CLASSES]
        if not self.sees:
            # Windows without sound were given no weight;
            # where there are no others, nothing is known.
            unknown = np.full_like(values, np.nan)
            values = np.divide(values, heard[:, None], out=unknown, where=heard[:, None] > 0)
        return Predicted(values, heard > 0)

    def _sequence(
        self, observation: Observation, frames: np.ndarray, rows: np.ndarray, *, progress: bool
    ) -> np.ndarray:
        """``[len(frames), 9]`` for one person, seen in ``frames`` (1-based,
        rising) with features in ``rows``.

        Eight probabilities and the share of windows with sound in them, all by the frame rule.
        """
        experiment = self.model.experiment
        before, last = int(frames[0]) - 1, int(frames[-1])
        present = np.zeros(last - before, bool)
        present[frames - 1 - before] = True
        index = frame_windows(present, length=experiment.window, stride=experiment.frame_stride)
        row_of = np.zeros(len(present) + 1, np.int64)
        row_of[frames - before] = rows
        clip = _clip(observation, before, last)
        parts = []
        starts = range(0, len(index), CHUNK)
        for first in tqdm(starts, desc="windows", unit="chunk", disable=not progress, leave=False):
            chunk = slice(first, first + CHUNK)
            spans = np.stack([index.start[chunk], index.end[chunk]], axis=1)
            windows = self._window_set(observation, clip, row_of[index.frames[chunk]], spans)
            heard = windows.audio_length[:, None] > 0
            weight = self.sees | heard
            parts.append(np.hstack([predict_windows(self.model, windows) * weight, heard]))
        by_frame = frame_predictions(
            np.concatenate(parts),
            index.end,
            len(present),
            length=experiment.window,
            rule=experiment.frame_rule,
            fallback=np.full(NUM_CLASSES + 1, np.nan),
        )
        by_frame = smooth(by_frame, experiment.smoothing, experiment.smoothing_half_width)
        return by_frame[frames - 1 - before]

    def _window_set(
        self, observation: Observation, clip: Clip, rows: np.ndarray, spans: np.ndarray
    ) -> WindowSet:
        """The windows that show the feature ``rows`` ``[N, T]``, with their sound.

        ``spans``: first and last frame of each within ``clip``, 1-based, ``[N, 2]``.
        """
        if not self.sees:
            rows = np.zeros_like(rows)
        lowest, n = int(rows.min()), len(rows)
        begin, samples = samples_of(clip, spans)
        zeros = self.model.experiment.fills_with_zeros
        audio, audio_start, audio_length = sound_of_windows(
            observation, self.audio, begin, samples, zeros=zeros
        )
        return WindowSet(
            clips=[clip],
            visual=observation.visual.read(lowest, int(rows.max()) + 1),
            frames=rows - lowest,
            audio=audio,
            audio_start=audio_start,
            audio_length=audio_length.astype(np.int32),
            label=np.full(n, NOT_ANNOTATED, np.int64),
            clip=np.zeros(n, np.int32),
            end=spans[:, 1].astype(np.int32),
        )


def sequences(observation: Observation, *, sees: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(rows, their frames) of each person in each scene;
    of each scene alone for a run that does not see.

    No window reaches over a gap in time.
    """
    frames = observation.frame if sees else np.arange(1, len(observation.times) + 1)
    tracks = observation.track if sees else np.zeros(len(frames), int)
    scenes = observation.scene[frames - 1]
    _, sequence = np.unique(np.stack([tracks, scenes]), axis=1, return_inverse=True)
    order = np.argsort(sequence, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(sequence[order])) + 1):
        if len(rows):
            yield rows, frames[rows]


def _clip(observation: Observation, before: int, last: int) -> Clip:
    """The frames from ``before`` (0-based) to ``last`` (not included),
    which have no gap in time.
    """
    times = observation.times[before:last]
    present = np.zeros(len(observation.times), bool)
    present[observation.frame - 1] = True
    return Clip(
        id=observation.video.name,
        split="test",
        labels=np.full(len(times), NOT_ANNOTATED, np.int8),
        face_present=present[before:last],
        frame_times=times,
        fps=1 / observation.frame_seconds,
        time_source="video",
        images=None,
        video=observation.video,
    )
