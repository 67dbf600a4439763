"""A trained run on one video: faces and sound observed, windows over true times,
probabilities by the run's frame rule.

The way of the benchmark, from the video instead of the tree: faces found and cut out as the
training crops are, the run's frozen encoders, windows of ``Experiment.window`` frames. Where a
window lacks the face or the sound, it is predicted from the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import maximum_filter1d, minimum_filter1d
from tqdm.auto import tqdm

from emolib.data.clip import Clip
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.folders import find_folder
from emolib.encoders.load import load_audio, load_visual
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.errors import WrongCall, all_or_every_reason
from emolib.evaluation.predictions import predict_windows
from emolib.features.origin import origin
from emolib.features.spans import samples_of
from emolib.features.window_sets import WindowSet
from emolib.labels import NOT_ANNOTATED, NUM_CLASSES
from emolib.model import EmotionModel
from emolib.system.device import device
from emolib.training.run import load_model
from emolib.video.choice import FaceChoice
from emolib.video.detection import THOROUGH, FaceFinder, detector_file
from emolib.video.observation import LONGEST_FRAME, Observation
from emolib.video.options import WHICH_FACES
from emolib.video.reading import ReadsVideos
from emolib.video.recognition import Features
from emolib.video.sampling import RATE, Grid
from emolib.video.watching import listen, watch
from emolib.video.window_sound import encode_track, sound_of_windows
from emolib.windows import WindowIndex, frame_predictions, frame_windows, smooth

CHUNK = 128  # windows whose features are in memory at once


class Predicted(NamedTuple):
    """What a run says of the faces or frames of one video."""

    probabilities: np.ndarray  # float64 [R, 8]; NaN where nothing is known
    heard: np.ndarray  # bool [R]; whether a window they rest on holds more than digital silence
    first: np.ndarray  # int32 [R]; first frame of the windows they rest on
    last: np.ndarray  # int32 [R]; and the last one
    copied: np.ndarray  # bool [R]; the person's first window alone, which ends after this frame


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
class Predictor(ReadsVideos):
    """A trained run with its encoders, ready for any number of videos.

    Close it after the last one, or use it as a context manager.
    """

    model: EmotionModel
    visual: VisualEncoder | None  # None: the run does not see
    audio: AudioEncoder | None  # None: the run does not hear
    finder: FaceFinder | None  # None: nothing is detected
    faces: str  # one of options.WHICH_FACES
    origin: str  # of the run's data and weights; empty: real
    name: str

    @classmethod
    def load(
        cls,
        run: Path,
        detector: Path | str | None = None,
        faces: str = "tracked",
        *,
        where: str = "",
    ) -> "Predictor":
        """The run in folder ``run``; ``faces``: one of ``options.WHICH_FACES``;
        ``where``: the device, by default the one that there is.

        Raises EmolibError when it, its encoders' weights or the face detector are missing,
        WrongCall for unknown ``faces``.
        """
        check_faces(faces)
        where = where or device()
        model, experiment = load_model(Path(run), where)
        finder, *_ = all_or_every_reason(
            lambda: load_finder(detector, faces, needed=model.sees),
            *(
                partial(
                    find_folder, getattr(experiment, f"{kind}_encoder"), experiment.weights, kind
                )
                for kind in experiment.streams
            ),
        )
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
        windows = {"window_rate": RATE, "window_seconds": round(experiment.window / RATE, 3)}
        return {
            "run": self.name,
            "experiment": experiment.fingerprint("train"),
            **values,
            **windows,
        }

    def observe(
        self,
        video: Path,
        *,
        rotate: int = 0,
        fps: float = RATE,
        detector_size: int = THOROUGH,
        progress: bool = True,
    ) -> Observation:
        """Faces, their features and the sound of ``video``, of at most ``fps`` pictures a second.

        Raises EmolibError when it cannot be decoded.
        """
        choose = FaceChoice(
            self.faces,
            self.finder,
            self.model.experiment.crops,
            features=features_by(self.visual),
            detector_size=detector_size,
            fps=fps,
        )
        observation = watch(video, choose, self.visual, fps=fps, rotate=rotate, progress=progress)
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
        first, last = np.zeros(count, np.int32), np.zeros(count, np.int32)
        copied = np.zeros(count, bool)
        for rows, frames in sequences(observation, sees=self.sees):
            part = self._sequence(observation, frames, rows, progress=progress)
            result[rows], first[rows], last[rows], copied[rows] = part
        values, heard = result[:, :NUM_CLASSES], result[:, NUM_CLASSES]
        if not self.sees:
            # Windows without sound were given no weight;
            # where there are no others, nothing is known.
            unknown = np.full_like(values, np.nan)
            values = np.divide(values, heard[:, None], out=unknown, where=heard[:, None] > 0)
        return Predicted(values, heard > 0, first, last, copied)

    def _sequence(
        self, observation: Observation, frames: np.ndarray, rows: np.ndarray, *, progress: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """For one person, seen in ``frames`` (1-based, rising) with features in ``rows``:

        ``[len(frames), 9]``, eight probabilities and the share of windows with sound in them, all
        by the frame rule; the first and last frame of these windows; whether only the first window
        answers. Windows are laid over the even grid of times that the model knows.
        """
        experiment = self.model.experiment
        pictures = observation.looked_at if self.sees else frames
        pictures = pictures[(pictures >= frames[0]) & (pictures <= frames[-1])]
        times = observation.times[pictures - 1]
        shows = observation.picture_seconds if self.sees else observation.frame_seconds
        grid = Grid.over(times, float(times[-1]) + shows)
        row_of_picture = np.full(len(pictures), -1)
        row_of_picture[np.searchsorted(pictures, frames)] = rows
        row_of = row_of_picture[grid.nearest]
        index = frame_windows(row_of >= 0, length=experiment.window, stride=experiment.frame_stride)
        clip = _clip(observation, grid, row_of >= 0)
        parts = []
        starts = range(0, len(index), CHUNK)
        for first in tqdm(starts, desc="windows", unit="chunk", disable=not progress, leave=False):
            chunk = slice(first, first + CHUNK)
            spans = np.stack([index.start[chunk], index.end[chunk]], axis=1)
            windows = self._window_set(observation, clip, row_of[index.frames[chunk] - 1], spans)
            heard = windows.audio_length[:, None] > 0
            weight = self.sees | heard
            parts.append(np.hstack([predict_windows(self.model, windows) * weight, heard]))
        by_frame = frame_predictions(
            np.concatenate(parts),
            index.end,
            len(row_of),
            length=experiment.window,
            rule=experiment.frame_rule,
            fallback=np.full(NUM_CLASSES + 1, np.nan),
        )
        by_frame = smooth(by_frame, experiment.smoothing, experiment.smoothing_half_width)
        smoothed = 0 if experiment.smoothing == "none" else experiment.smoothing_half_width
        first, last, copied = windows_behind(
            index, len(row_of), experiment.frame_rule, half_width=smoothed
        )
        shown = pictures[grid.nearest]  # the frame at each point of the grid
        points = grid.at(observation.times[frames - 1])
        return (
            by_frame[points],
            shown[first[points] - 1],
            shown[last[points] - 1],
            copied[points],
        )

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

    No window reaches over a gap in time, nor over one in which the person is away for long.
    """
    frames = observation.frame if sees else np.arange(1, len(observation.times) + 1)
    tracks = observation.track if sees else np.zeros(len(frames), int)
    scenes = observation.scene[frames - 1]
    order = np.lexsort((frames, tracks))
    tracks, scenes, times = tracks[order], scenes[order], observation.times[frames[order] - 1]
    away = np.diff(times) > LONGEST_FRAME
    ends = (np.diff(tracks) != 0) | (np.diff(scenes) != 0) | away
    for rows in np.split(order, np.flatnonzero(ends) + 1):
        if len(rows):
            yield rows, frames[rows]


def windows_behind(
    index: WindowIndex, count: int, rule: str, *, half_width: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each of ``count`` frames rests on, by the frame ``rule`` and smoothing over
    ``half_width`` frames either side: first and last frame of its windows, 1-based, int64
    ``[count]``, and whether the first window alone answers, which ends after it.
    """
    number = np.arange(len(index), dtype=float)[:, None]
    length = index.frames.shape[1]
    nearest = frame_predictions(
        number, index.end, count, length=length, rule="last", fallback=np.zeros(1)
    )
    first = last = nearest[:, 0].astype(np.int64)
    if rule == "mean":
        frames = np.arange(1, count + 1)
        earliest = np.searchsorted(index.end, frames)
        latest = np.searchsorted(index.end, frames + length - 1, side="right") - 1
        covered = latest >= earliest
        first, last = np.where(covered, earliest, first), np.where(covered, latest, last)
    if half_width:
        first = minimum_filter1d(first, 2 * half_width + 1, mode="nearest")
        last = maximum_filter1d(last, 2 * half_width + 1, mode="nearest")
    copied = (last == 0) & (np.arange(1, count + 1) < index.end[0])
    return index.start[first].astype(np.int64), index.end[last].astype(np.int64), copied


def features_by(encoder: VisualEncoder | None) -> Features | None:
    """The features of crops by ``encoder``, for recognising people; None without one."""
    if encoder is None:
        return None
    return lambda crops: encoder.images(torch.from_numpy(crops)).cpu().numpy()


def _clip(observation: Observation, grid: Grid, present: np.ndarray) -> Clip:
    """The points of ``grid`` as frames of a clip; ``present``: whether the person is there."""
    return Clip(
        id=observation.video.name,
        split="test",
        labels=np.full(len(grid.times), NOT_ANNOTATED, np.int8),
        face_present=present,
        frame_times=grid.times,
        fps=RATE,
        time_source="video",
        images=None,
        video=observation.video,
    )
