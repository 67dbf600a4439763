"""What features and runs are made from, known by content: clips and the encoders' weights.

Neither a path nor a time is in it: a tree that was copied elsewhere is the same tree
(:mod:`emolib.data.content` has the rule for images and videos).
"""

from dataclasses import dataclass

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.features.extraction import kinds_of, store_of
from emolib.features.faces import source_of as source_of_faces
from emolib.features.sound import source_of as source_of_sound
from emolib.features.store import hash_of_array
from emolib.system.files import hash_of


@dataclass(frozen=True)
class Sources:
    """What a run is made from: two hashes of 16 hexadecimal digits."""

    data: str  # of the clips: their labels, faces, times, images and sound
    encoders: str  # of the weights and of how they are used


def sources_of(experiment: Experiment, clips: list[Clip]) -> Sources:
    """The sources of a run of ``experiment`` on ``clips``.

    What a stream that it does not use would read is not among them. Raises EmolibError when
    weights are missing.
    """
    kinds = kinds_of(experiment)
    parts = [
        [clip.id, clip.split, clip.person, hash_of_array(clip.labels), _content(clip, kinds)]
        for clip in clips
    ]
    return Sources(hash_of(parts), encoders_of(experiment))


def encoders_of(experiment: Experiment) -> str:
    """A hash of what the stores of the experiment's streams depend on beside the clips.

    Raises EmolibError when weights are missing.
    """
    return hash_of([store_of(experiment, kind).encoder for kind in kinds_of(experiment)])


def stamps(experiment: Experiment, clips: list[Clip]) -> dict[str, str]:
    """For each clip's id a hash of what its features are made from:
    encoders, frames, faces, times and content.
    """
    kinds = kinds_of(experiment)
    stores = [store_of(experiment, kind).fingerprint for kind in kinds]
    return {clip.id: hash_of([stores, _content(clip, kinds)]) for clip in clips}


def _content(clip: Clip, kinds: list[str]) -> list[str]:
    """What a clip is, its labels aside: frames, faces, times, and what each stream reads."""
    content = [
        hash_of_array(clip.face_present),
        hash_of_array(clip.frame_times),
        repr(float(clip.fps)),
    ]
    if "visual" in kinds:
        content.append(source_of_faces(clip))
    if "audio" in kinds:
        content.append(source_of_sound(clip, track=False))
    return content
