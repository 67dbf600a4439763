"""A trained run on one video: faces and sound observed, windows over true times, probabilities by the run's frame rule.

The way of the benchmark, from the video instead of the tree: faces found and cut out as the training crops are, the
run's frozen encoders, windows of ``Experiment.window`` frames. What a window lacks, face or sound, it is predicted without.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.data.clip import Clip
from emolib.data.media import audible
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.load import load_audio, load_visual
from emolib.encoders.wav2vec2 import HOP, AudioEncoder
from emolib.errors import WrongCall
from emolib.evaluation.predictions import predict_windows
from emolib.features.origin import origin
from emolib.features.sound import SoundEncoder, samples_of
from emolib.features.window_sets import WindowSet
from emolib.labels import NOT_ANNOTATED, NUM_CLASSES
from emolib.model import EmotionModel
from emolib.system.device import device
from emolib.training.run import load_model
from emolib.video.choice import FaceChoice
from emolib.video.detection import FaceFinder, detector_file
from emolib.video.observation import Observation
from emolib.video.options import WHICH_FACES
from emolib.video.spool import Spool
from emolib.video.watching import listen, watch
from emolib.windows import frame_predictions, frame_windows, smooth

CHUNK = 128  # windows whose features are in memory at once
SOUNDS = 16  # waveforms encoded at once


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

        Raises EmolibError when it, its encoders' weights or the face detector are missing, WrongCall for unknown ``faces``.
        """
        if faces not in WHICH_FACES:
            raise WrongCall(f"faces={faces!r}: choose one of {', '.join(WHICH_FACES)}")
        where = device()
        model, experiment = load_model(Path(run), where)
        detects = faces != "whole" and bool(model.sees or detector)
        return cls(
            model=model,
            finder=FaceFinder(detector_file(detector))
            if detects
            else None,  # the quickest to fail comes first
            visual=load_visual(experiment, where) if model.sees else None,
            audio=load_audio(experiment, where) if model.hears else None,
            faces=faces,
            origin=origin(experiment),
            name=Path(run).resolve().name,
        )

    def observe(self, video: Path, *, progress: bool = True) -> Observation:
        """Faces, their features and the sound of ``video``. Raises EmolibError when it cannot be decoded."""
        observation = watch(
            video,
            FaceChoice(self.faces, self.finder),
            self.visual,
            self.model.experiment.crops,
            progress=progress,
        )
        if self.audio is not None:
            listen(observation)
            if self.model.experiment.audio_context == "track" and observation.sound:
                observation.steps = Spool(np.float16, AudioEncoder.width)
                observation.steps.append(
                    SoundEncoder(self.audio).track(observation.sound.mapped()[:, 0])
                )
        return observation

    def probabilities(self, observation: Observation, *, progress: bool = True) -> "Predicted":
        """For the R faces of ``observation``; for each of its n frames when the run does not see."""
        if self.model.sees:
            result = np.full((len(observation.frame), NUM_CLASSES + 1), np.nan)
            for track in np.unique(observation.track):
                rows = np.flatnonzero(observation.track == track)
                result[rows] = self._track(
                    observation, observation.frame[rows], rows, progress=progress
                )
        else:
            result = self._track(
                observation, np.arange(1, len(observation.times) + 1), None, progress=progress
            )
        values, heard = result[:, :NUM_CLASSES], result[:, NUM_CLASSES]
        if not self.model.sees:  # its windows without sound were given no weight; where there are no others, nothing is known
            values = np.divide(
                values, heard[:, None], out=np.full_like(values, np.nan), where=heard[:, None] > 0
            )
        return Predicted(values, heard > 0)

    def _track(
        self,
        observation: Observation,
        frames: np.ndarray,
        rows: np.ndarray | None,
        *,
        progress: bool,
    ) -> np.ndarray:
        """``[len(frames), 9]`` for one person, seen in ``frames`` (1-based, rising) with features in ``rows``: eight
        probabilities and the share of windows with sound in them, all by the frame rule."""
        e = self.model.experiment
        before = int(frames[0]) - 1
        present = np.zeros(int(frames[-1]) - before, bool)
        present[frames - 1 - before] = True
        index = frame_windows(present, length=e.window, stride=e.frame_stride)
        row_of = np.zeros(len(present) + 1, np.int64)
        row_of[frames - before] = 0 if rows is None else rows
        clip = _clip(observation)
        parts = []
        for first in tqdm(
            range(0, len(index), CHUNK),
            desc="windows",
            unit="chunk",
            disable=not progress,
            leave=False,
        ):
            chunk = slice(first, first + CHUNK)
            start, end = index.start[chunk] + before, index.end[chunk] + before
            windows = self._window_set(observation, clip, row_of[index.frames[chunk]], start, end)
            heard = windows.audio_length[:, None] > 0
            parts.append(
                np.hstack([predict_windows(self.model, windows) * (self.model.sees | heard), heard])
            )
        by_frame = frame_predictions(
            np.concatenate(parts),
            index.end,
            len(present),
            length=e.window,
            rule=e.frame_rule,
            fallback=np.full(NUM_CLASSES + 1, np.nan),
        )
        return smooth(by_frame, e.smoothing, e.smoothing_half_width)[frames - 1 - before]

    def _window_set(
        self,
        observation: Observation,
        clip: Clip,
        rows: np.ndarray,
        start: np.ndarray,
        end: np.ndarray,
    ) -> WindowSet:
        """The windows that show the feature ``rows`` ``[N, T]`` from frame ``start`` to ``end`` ``[N]``, with their sound."""
        lowest, n = int(rows.min()), len(rows)
        audio, audio_start, audio_length = self._sound(
            observation, *samples_of(clip, np.stack([start, end], axis=1))
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
            end=end.astype(np.int32),
        )

    def _sound(
        self, observation: Observation, begin: np.ndarray, samples: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(features float16 ``[S, 768]``, first row and number of steps int64 ``[N]``) of spans of the sound.

        A span that is digital silence throughout has no steps, as one without a sound track: both are the same to hear.
        """
        spans = zip(begin, samples, strict=True)
        waves = (
            []
            if observation.sound is None
            else [observation.sound.read(a, a + n)[:, 0] for a, n in spans]
        )
        waves = [wave if audible(wave).any() else wave[:0] for wave in waves]
        if (
            observation.steps is not None
        ):  # the whole track is encoded: as many steps as the span alone would give
            first = np.minimum(np.rint(begin / HOP).astype(np.int64), observation.steps.rows)
            steps = [
                AudioEncoder.steps(n) if len(wave) else 0
                for n, wave in zip(samples.tolist(), waves, strict=True)
            ]
            length = np.minimum(steps, observation.steps.rows - first)
            return (
                observation.steps.read(int(first.min()), int((first + length).max())),
                first - first.min(),
                length,
            )
        return self._segments(waves, len(begin))

    def _segments(
        self, waves: list[np.ndarray], n: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As :meth:`_sound`, of ``n`` segments int16 encoded each alone; none at all without sound."""
        steps = [np.zeros((0, AudioEncoder.width), np.float16)] * n
        by_length: dict[int, list[int]] = {}
        for i, wave in enumerate(waves):
            by_length.setdefault(len(wave), []).append(i)
        for (
            size,
            same,
        ) in by_length.items():  # only equal lengths: padding would change every output
            for first in range(0, len(same) if AudioEncoder.steps(size) else 0, SOUNDS):
                group = same[first : first + SOUNDS]
                assert self.audio is not None
                encoded = self.audio.waveforms(
                    torch.from_numpy(np.stack([waves[i] for i in group]).astype(np.float32) / 32767)
                )
                for i, feature in zip(group, encoded.cpu().numpy().astype(np.float16), strict=True):
                    steps[i] = feature
        length = np.array([len(part) for part in steps], np.int64)
        return np.concatenate(steps), np.cumsum(length) - length, length


class Predicted(NamedTuple):
    """What a run says of the faces or frames of one video."""

    probabilities: np.ndarray  # float64 [R, 8]; NaN where nothing is known
    heard: np.ndarray  # bool [R]; whether a window they rest on holds more than digital silence


def _clip(observation: Observation) -> Clip:
    n = len(observation.times)
    present = np.zeros(n, bool)
    present[observation.frame - 1] = True
    return Clip(
        id=observation.video.name,
        split="test",
        labels=np.full(n, NOT_ANNOTATED, np.int8),
        face_present=present,
        frame_times=observation.times,
        fps=1 / observation.frame_seconds,
        time_source="video",
        images=None,
        video=observation.video,
    )
