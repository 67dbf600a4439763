"""What a run reads: its clips, their features and windows, made where they are missing."""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import numpy as np

from emolib.config import Experiment
from emolib.data import datasets, synthetic
from emolib.data.annotations import source_id
from emolib.data.clip import Clip
from emolib.data.coverage import check_coverage, coverage_of, face_shares
from emolib.errors import EmolibError, chosen
from emolib.features.extraction import extract, prompt_features
from emolib.features.protocols import index_of
from emolib.features.sources import Sources, sources_of
from emolib.features.window_sets import (
    FRAME_SOUND,
    WindowSet,
    frame_sound_bytes,
    steps_of,
    window_set,
)
from emolib.features.work import Report
from emolib.system.files import hash_of
from emolib.windows import FRAME_WINDOWS, WindowIndex


@dataclass(frozen=True, eq=False)
class Data:
    """What a run needs beside its Experiment."""

    train: WindowSet  # window protocol
    validation: WindowSet  # window protocol
    frames: Iterable[WindowSet]  # the validation clips again, frame protocol, a few clips at a time
    prompts: np.ndarray  # float32 [8, 512]
    logit_scale: float  # CLIP's

    @property
    def face_shares(self) -> dict[str, float]:
        """Share of the annotated frames with a face, for each split."""
        return face_shares(coverage_of([*self.train.clips, *self.validation.clips]))


def root_of(experiment: Experiment, *, progress: bool = True) -> Path:
    """The experiment's data: ``experiment.data``, or the generated benchmark, which is made when
    missing.
    """
    return (
        Path(experiment.data)
        if experiment.data
        else synthetic.ensure(experiment, progress=progress)
    )


def clips_of(
    experiment: Experiment,
    splits: tuple[str, ...] = ("train", "validation"),
    *,
    template: Path | None = None,
    progress: bool = True,
) -> list[Clip]:
    """The clips of ``splits``: of ``experiment.data``, or of the generated benchmark, which is made
    when missing.

    ``template``: the submission template that says which test clips there are, else what the tree
    itself lists. Raises EmolibError where fewer than ``experiment.min_face_share`` of a clip's or a
    split's frames have a face.
    """
    e = experiment
    root = root_of(e, progress=progress)
    clips = datasets.read_clips(e, root, splits, template=template, progress=progress)
    if "visual" in e.streams:
        check_coverage(clips, e.min_face_share)
    shared = chosen("two_person_sound", e.two_person_sound, {"video": True, "none": False})
    return clips if shared else [_alone(clip) for clip in clips]


def _alone(clip: Clip) -> Clip:
    """``clip``, without sound where it is one of two people: its id is not its video's."""
    return clip if source_id(clip.id) == clip.id else replace(clip, video=None)


def check_windows(
    experiment: Experiment, clips: list[Clip], splits: tuple[str, ...] = ("train", "validation")
) -> None:
    """Raises EmolibError, before any feature is computed, for a split without a window under the
    window protocol.
    """
    for split in splits:
        if not any(
            len(index_of(experiment, clip, "window")) for clip in clips if clip.split == split
        ):
            raise EmolibError(
                f"{experiment.data or 'generated benchmark'}: no {split} window: each {split} clip"
                f" is shorter than window={experiment.window} frames or has no labelled faces;"
                " use a shorter one (--set window=N)"
            )


def sources(experiment: Experiment, *, progress: bool = True) -> Sources:
    """What a run of ``experiment`` is made from, by content; extracts nothing.

    Generated data are made where they are missing. Raises EmolibError when data or weights are
    missing, and as :func:`clips_of`.
    """
    return sources_of(experiment, clips_of(experiment, progress=progress))


def needs(experiment: Experiment) -> str:
    """A key of what a run reads: runs with equal ones share their clips, features and windows."""
    e = experiment
    return hash_of(
        [
            *(e.fingerprint(stage) for stage in ("visual", "audio", "window")),
            e.data,
            e.weights,
            e.links_out,
            e.min_face_share,
            e.modalities,
            e.frame_stride,
            chosen("frame_rule", e.frame_rule, FRAME_WINDOWS).__name__,
        ]
    )


def prepare(experiment: Experiment, *, progress: bool = True) -> Data:
    """Clips, features (extracted where missing) and prompts of a run; the last ones asked for are
    kept in memory, as long as data and weights stay the same.

    Raises EmolibError when data or weights are missing, or a split has no window.
    """
    clips = clips_of(experiment, progress=progress)
    needed = hash_of([needs(experiment), astuple(sources_of(experiment, clips))])
    if needed not in _LAST:
        _LAST.clear()
        _LAST[needed] = _prepared(experiment, clips, progress)
    return _LAST[needed]


def store_features(
    experiment: Experiment, clips: list[Clip] | None = None, *, progress: bool = True
) -> Report:
    """Compute what the store lacks of all that is read of ``clips``, so that no two processes do it
    for themselves.

    ``clips``: by default those that runs of ``experiment`` read. Of validation and test clips the
    frame protocol's sound is stored too, where it does not take too much of a disk. Raises
    EmolibError when data or weights are missing, files are damaged, or a run would have no window.
    """
    if clips is None:
        clips = clips_of(experiment, progress=progress)
        check_windows(experiment, clips)
    # Test clips have no labels, so no labelled window.
    protocols = {"train": ("window",), "validation": ("window",), "test": ()}
    for split in ("validation", "test"):
        if FrameSets(experiment, [clip for clip in clips if clip.split == split]).stored:
            protocols[split] = (*protocols[split], "frame")
    report = extract(
        experiment, clips, progress=progress, protocols=lambda clip: protocols[clip.split]
    ).report
    prompt_features(experiment)
    return report


@dataclass(frozen=True, eq=False)
class FrameSets:
    """The frame protocol's windows of ``clips``, so many at a time that their sound fits into
    memory: several clips, or a part of a long one, which then comes in several sets.

    The sound of all is stored, so that seeds share it, or encoded anew each time where it would
    take too much of a disk.
    """

    experiment: Experiment
    clips: list[Clip]

    @property
    def stored(self) -> bool:
        """Whether going through all once leaves everything in the feature store."""
        return frame_sound_bytes(self.experiment, self.clips) <= FRAME_SOUND

    def __iter__(self) -> Iterator[WindowSet]:
        store = self.stored
        for group in self._groups():
            yield window_set(
                self.experiment,
                [clip for clip, _ in group],
                protocol="frame",
                index=[windows for _, windows in group],
                progress=False,
                store=store,
            )

    def _groups(self) -> Iterator[list[tuple[Clip, WindowIndex]]]:
        """Clips with windows of theirs, of at most STEPS_AT_ONCE steps of sound together."""
        group: list[tuple[Clip, WindowIndex]] = []
        left = STEPS_AT_ONCE
        for clip in self.clips:
            windows = index_of(self.experiment, clip, "frame")
            each = steps_of(self.experiment, clip)
            most = max(1, STEPS_AT_ONCE // each)
            for first in range(0, max(1, len(windows)), most):
                part = windows[first : first + most]
                if group and len(part) * each > left:
                    yield group
                    group, left = [], STEPS_AT_ONCE
                group.append((clip, part))
                left -= len(part) * each
        if group:
            yield group


STEPS_AT_ONCE = 8192 * 99  # 1.2 GB of Wav2Vec2 base; 8,192 windows of T = 60 at 30 fps
_LAST: dict[str, Data] = {}  # the runs of a sweep mostly share their data


def _prepared(experiment: Experiment, clips: list[Clip], progress: bool) -> Data:
    check_windows(experiment, clips)
    train, validation = (
        [clip for clip in clips if clip.split == split] for split in ("train", "validation")
    )
    prompts, logit_scale = prompt_features(experiment)
    return Data(
        train=window_set(experiment, train, protocol="window", progress=progress),
        validation=window_set(experiment, validation, protocol="window", progress=progress),
        frames=FrameSets(experiment, validation),
        prompts=prompts,
        logit_scale=logit_scale,
    )
