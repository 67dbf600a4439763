"""What happens in each generated clip, before a pixel is drawn: labels, motion, voice, faults.

All of it is the truth.

Known answers by construction (docs/benchmark.md): a still face tells five groups; Anger raises the
head slowly and Disgust lowers it, while every other class does either at random; voice quality
tells Fear and Sadness (pressed) from Surprise and Other (breathy), and is random for the rest.

Two symmetries keep the motion pair from leaking. The pitch of an Anger clip played backwards has
the law of a Disgust clip, so no single frame and no unordered set of frames tells them apart; and
the pair fills whole clips, so a label change never shows where in its course the pitch is.
Trembling hides the slope from short windows.

With ``synth_cues=relation`` Fear and Surprise differ in neither stream: the head nods and the voice
changes its quality in one beat, in Fear pressed while the head is up, in Surprise while it is down.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.signal import lfilter

from emolib.config import Experiment
from emolib.data.synthetic.faces import GROUPS, draw_expression
from emolib.errors import chosen
from emolib.labels import EXPRESSIONS, NOT_ANNOTATED, NUM_CLASSES
from emolib.paper import TRAIN_RATIO

# The ratio of slope and noise decides the ceilings; their common factor decides how loud the cue is
# in the encoder's features, and so how soon it is learned (docs/benchmark.md, Motion).
SLOPE = 0.025  # pitch per frame: one PITCH_PIXELS in 40 frames
TREMBLE = 0.60  # white noise of the pitch, standard deviation
DRIFT, DRIFT_FRAMES = 0.20, 6.0  # slow noise of the pitch: standard deviation and correlation time
DIRECTION = {"Anger": 1, "Disgust": -1}
RELATION = {"Fear": 1, "Surprise": -1}
BEAT = 5  # frames that the head stays up or down; windows of 10, 30 and 60 hold as much of both
NOD = 0.3  # pitch of a head that is up
QUALITY = {"Fear": 0, "Sadness": 0, "Surprise": 1, "Other": 1}
GROUP_OF = np.array(
    [next(g for g, names in enumerate(GROUPS) if name in names) for name in EXPRESSIONS]
)
# Frames per second, drawn evenly.
RATES = (30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 25.0, 25.0, 24000 / 1001, 30000 / 1001)
PEOPLE = 10  # training clips share a few people, so that who it is says nothing about the label
CHANGES = 0.15  # share of clips with two labels


@dataclass(frozen=True)
class Segment:
    """Frames ``first`` to ``last - 1`` (from 0) of one label."""

    first: int
    last: int
    label: int
    direction: int
    quality: int
    relation: int = 0  # 1: the voice is pressed while the head is up, -1: while it is down
    phase: int = 0  # frames of the first beat that have passed, of 2 BEAT

    def nods(self) -> np.ndarray:
        """Where the head is, 1 up and -1 down, ``[frames]``; 0 where the voice does not say."""
        beat = (np.arange(self.last - self.first) + self.phase) // BEAT
        return abs(self.relation) * (1 - 2 * (beat % 2))

    def qualities(self) -> list[tuple[int, int]]:
        """Stretches of one voice quality: (first frame, quality)."""
        if not self.relation:
            return [(self.first, self.quality)]
        quality = (self.relation * self.nods() < 0).astype(int)
        starts = np.flatnonzero(np.diff(quality, prepend=-1))
        return [(self.first + int(start), int(quality[start])) for start in starts]


@dataclass(frozen=True, eq=False)
class ClipPlan:
    """One clip: its truth and its faults. Arrays have one row a frame."""

    id: str
    video: str  # the source video, shared by _left and _right
    split: str
    fps: float
    seed: int
    person: int  # seed of the identity
    speaker: int  # seed of the voice
    segments: tuple[Segment, ...]
    pitch: np.ndarray  # [n]
    expression: np.ndarray  # [n, 7]
    yaw: np.ndarray  # [n]
    roll: np.ndarray  # [n]
    blink: np.ndarray  # [n]
    light: float
    annotation: np.ndarray  # int8 [lines]; the number of lines is not always n
    missing: np.ndarray  # bool [n]; no face was found


def class_priors(temper: float) -> np.ndarray:
    """The real training ratios to the power ``temper``, ``[8]``: 0 equal, 1 as in Aff-Wild2."""
    ratio = np.array([TRAIN_RATIO[name] for name in EXPRESSIONS]) ** temper
    return ratio / ratio.sum()


def deal_labels(count: int, temper: float, rng: np.random.Generator) -> list[int]:
    """``count`` labels in random order whose numbers follow the priors as
    closely as integers can.
    """
    edges = np.floor(np.cumsum(class_priors(temper)) * count + 0.5).astype(int)
    labels = np.repeat(np.arange(NUM_CLASSES), np.diff(np.r_[0, edges]))
    return [int(label) for label in rng.permutation(labels)]


def pitch_of(
    length: int, direction: int, rng: np.random.Generator, difficulty: float = 0.0
) -> np.ndarray:
    """The head's pitch over one segment, ``[length]``:
    a slow course up or down, drifting and trembling.
    """
    course = direction * SLOPE * (np.arange(length) - (length - 1) / 2)
    return course + rng.uniform(-0.2, 0.2) + pitch_noise(length, rng, difficulty)


def pitch_noise(length: int, rng: np.random.Generator, difficulty: float = 0.0) -> np.ndarray:
    """Stationary, hence reversible, Gaussian noise ``[length]``:
    white plus first-order autoregressive.
    """
    rho = np.exp(-1 / DRIFT_FRAMES)
    start = rng.normal(0, DRIFT)
    drift, _ = lfilter(
        [np.sqrt(1 - rho**2)], [1, -rho], rng.normal(0, DRIFT, length), zi=[rho * start]
    )
    return (1 + difficulty) * (drift + rng.normal(0, TREMBLE, length))


def plan_clips(experiment: Experiment) -> list[ClipPlan]:
    """All clips of the benchmark that the ``synth_*`` settings describe,
    from ``synth_seed`` alone.
    """
    counts = (
        ("train", experiment.synth_train_clips),
        ("validation", experiment.synth_validation_clips),
        ("test", experiment.synth_test_clips),
    )
    clips: list[ClipPlan] = []
    for number, (split, count) in enumerate(counts):
        rng = np.random.default_rng([experiment.synth_seed, number])
        clips += _plan_split(experiment, split, count, len(clips), rng)
    return clips


def _plan_split(
    experiment: Experiment, split: str, count: int, offset: int, rng: np.random.Generator
) -> list[ClipPlan]:
    scripts = _scripts(count, experiment.synth_temper, rng)
    people = _cast(scripts, split, rng)
    # Of its own, so that the other classes are the same clips with either kind of cues.
    phases = np.random.default_rng([experiment.synth_seed, offset, 1])
    clips = []
    for i, labels in enumerate(scripts):
        number = offset + i
        fps = float(rng.choice(RATES))
        video = f"{number}-{round(fps)}-112x112" if i % 3 else f"video{number}"
        lengths = (
            [30 * int(rng.integers(5, 7))]
            if len(labels) == 1
            else [int(n) for n in rng.integers(120, 151, 2)]
        )
        scale = experiment.synth_seconds / 10
        # Half of 150 or 180 frames is a whole number of the paper's strides of 15: a clip's windows
        # lie evenly on both sides of its middle, so their mean pitch says nothing of its direction.
        segments = _segments(labels, [max(20, int(n * scale)) for n in lengths], rng)
        if chosen("synth_cues", experiment.synth_cues, {"separate": False, "relation": True}):
            segments = _related(segments, phases)
        # every twentieth video shows two people, whose faces share one sound
        sides = ("_left", "_right") if i % 20 == 7 else ("",)
        speaker = int(rng.integers(2**31))
        for side, suffix in enumerate(sides):
            seed = int(rng.integers(2**31))
            person = people[i] if side == 0 else people[i - 1]
            clips.append(
                _plan_clip(
                    experiment, video + suffix, video, split, fps, seed, person, speaker, segments
                )
            )
    return clips


def _scripts(count: int, temper: float, rng: np.random.Generator) -> list[list[int]]:
    """One label for most clips, two of different groups for CHANGES of them;
    never a motion class among two.
    """
    changes = round(count * CHANGES)
    labels = deal_labels(count + changes, temper, rng)
    motion = [label for label in labels if EXPRESSIONS[label] in DIRECTION]
    others = [label for label in labels if EXPRESSIONS[label] not in DIRECTION]
    scripts = [[label] for label in motion]
    while others:
        first = others.pop()
        second = (
            next((o for o in others if GROUP_OF[o] != GROUP_OF[first]), None) if changes else None
        )
        if second is not None:
            others.remove(second)
            changes -= 1
        scripts.append([first] if second is None else [first, second])
    return [scripts[i] for i in rng.permutation(len(scripts))]


def _cast(scripts: list[list[int]], split: str, rng: np.random.Generator) -> list[int]:
    """A person for each clip: in training a few people take turns within each label,
    elsewhere everyone is new.
    """
    if split != "train":
        return [int(rng.integers(2**31)) for _ in scripts]
    people = rng.integers(2**31, size=PEOPLE)
    cast = [0] * len(scripts)
    for turn, i in enumerate(sorted(range(len(scripts)), key=lambda i: scripts[i])):
        cast[i] = int(people[turn % PEOPLE])
    return cast


def _segments(
    labels: list[int], lengths: list[int], rng: np.random.Generator
) -> tuple[Segment, ...]:
    segments, first = [], 0
    for label, length in zip(labels, lengths, strict=True):
        name = EXPRESSIONS[label]
        direction = DIRECTION.get(name) or int(rng.choice([-1, 1]))
        quality = QUALITY[name] if name in QUALITY else int(rng.integers(2))
        segments.append(Segment(first, first + length, label, direction, quality))
        first += length
    return tuple(segments)


def _related(segments: tuple[Segment, ...], rng: np.random.Generator) -> tuple[Segment, ...]:
    """``segments``; of those of RELATION the head nods with the voice instead of a slow course."""
    return tuple(
        replace(s, relation=RELATION[name], phase=int(rng.integers(2 * BEAT)))
        if (name := EXPRESSIONS[s.label]) in RELATION
        else s
        for s in segments
    )


def course_of(segment: Segment, rng: np.random.Generator, difficulty: float = 0.0) -> np.ndarray:
    """The head's pitch over a segment: a slow course, or nods."""
    length = segment.last - segment.first
    if not segment.relation:
        return pitch_of(length, segment.direction, rng, difficulty)
    return NOD * segment.nods() + rng.uniform(-0.2, 0.2) + pitch_noise(length, rng, difficulty)


def _plan_clip(experiment, clip_id, video, split, fps, seed, person, speaker, segments) -> ClipPlan:
    rng = np.random.default_rng(seed)
    n = segments[-1].last
    difficulty = experiment.synth_difficulty
    expression = np.concatenate(
        [draw_expression(int(GROUP_OF[s.label]), rng, s.last - s.first) for s in segments]
    )
    expression += rng.normal(0, 0.3 * difficulty, expression.shape) if difficulty else 0
    blink = np.zeros(n)
    for start in range(int(rng.integers(20, 120)), n, int(rng.integers(90, 150))):
        blink[start : start + 4] = 1
    return ClipPlan(
        id=clip_id,
        video=video,
        split=split,
        fps=fps,
        seed=seed,
        person=person,
        speaker=speaker,
        segments=segments,
        pitch=np.concatenate([course_of(s, rng, difficulty) for s in segments]),
        expression=expression,
        yaw=_wander(n, 0.4, rng),
        roll=_wander(n, 0.05, rng),
        blink=blink,
        light=rng.uniform(-1, 1),
        annotation=_annotate(
            segments, experiment.synth_label_noise if split == "train" else 0.0, rng
        ),
        missing=_runs(n, ((0.5, 2, 5), (0.25, 8, 16)), rng),
    )


def _wander(n: int, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """A slow nuisance ``[n]``: autoregressive with a correlation time of 40 frames."""
    rho = np.exp(-1 / 40)
    noise, _ = lfilter(
        [np.sqrt(1 - rho**2)],
        [1, -rho],
        rng.normal(0, deviation, n),
        zi=[rho * rng.normal(0, deviation)],
    )
    return noise


def _annotate(segments: tuple[Segment, ...], noise: float, rng: np.random.Generator) -> np.ndarray:
    """int8 ``[lines]``: the labels, a few frames at a change and some runs not annotated,
    mostly one line too many.
    """
    labels = np.concatenate(
        [
            np.full(
                s.last - s.first, rng.integers(NUM_CLASSES) if rng.random() < noise else s.label
            )
            for s in segments
        ]
    )
    for segment in segments[1:]:
        labels[segment.first - 2 : segment.first + 2] = NOT_ANNOTATED
    labels[_runs(len(labels), ((0.2, 3, 6), (0.1, 8, 13)), rng)] = NOT_ANNOTATED
    surplus = int(rng.choice([1, 1, 1, 0, 0, 2]))
    return np.r_[labels, np.repeat(labels[-1], surplus)].astype(np.int8)


def _runs(
    n: int, kinds: tuple[tuple[float, int, int], ...], rng: np.random.Generator
) -> np.ndarray:
    """bool ``[n]``: for each kind (probability, shortest,
    longest + 1) perhaps one run away from the ends.
    """
    mask = np.zeros(n, bool)
    for probability, low, high in kinds:
        length = int(rng.integers(low, high))
        start = int(rng.integers(5, max(6, n - length - 5)))
        if rng.random() < probability:
            mask[start : start + length] = True
    return mask
