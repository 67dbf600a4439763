"""Small copies of RAVDESS and CREMA-D in their published layouts, with sounds of our own."""

import os
import wave
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from emolib.data import media
from emolib.data.synthetic.faces import (
    PROTOTYPES,
    SIZE,
    Pose,
    draw_expression,
    draw_identity,
    render,
)
from emolib.data.synthetic.voices import draw_speaker, speak
from emolib.system.files import project_root
from tests.support.trees import write_video

EMOTIONS = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")


def real_ravdess() -> Path:
    """The folder of real RAVDESS recordings beside the project; skips the test where it is not."""
    given = os.environ.get("EMOLIB_RAVDESS", "")
    folder = Path(given) if given else project_root().parent / "shared" / "real" / "ravdess"
    if not (folder / "voices").is_dir():
        pytest.skip(f"{folder}: no real RAVDESS recordings here (EMOLIB_RAVDESS names the folder)")
    return folder


def write_wave(path: Path, *, seconds: float = 1.0, pitch: float = 200.0) -> None:
    """A tone, 16 kHz mono; ``pitch`` 0: silence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(int(16000 * seconds)) / 16000
    samples = (8000 * np.sin(2 * np.pi * pitch * time)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, len(samples), "NONE", ""))
        file.writeframes(samples.tobytes())


def ravdess_names(actors: range, emotions: range = range(1, 9)) -> list[str]:
    """Names of speech without the modality: both statements, one repetition, normal intensity."""
    return [
        f"01-{emotion:02d}-01-{statement:02d}-01-{actor:02d}"
        for actor, emotion, statement in product(actors, emotions, (1, 2))
    ]


def ravdess_voices(root: Path, actors: range = range(1, 5), seconds: float = 1.0) -> Path:
    """Sound alone, as ``Audio_Speech_Actors_01-24.zip`` is unpacked: a pitch for each emotion."""
    for name in ravdess_names(actors):
        emotion, actor = int(name[3:5]), int(name[-2:])
        path = root / f"Actor_{actor:02d}" / f"03-{name}.wav"
        write_wave(path, seconds=seconds, pitch=100.0 + 60 * emotion + actor)
    return root


def ravdess_videos(root: Path, actors: range = range(1, 3), frames: int = 12) -> Path:
    """Videos as ``Video_Speech_Actor_NN.zip`` are unpacked, with their copies without sound."""
    for name in ravdess_names(actors):
        actor = name[-2:]
        folder = root / f"Video_Speech_Actor_{actor}" / f"Actor_{actor}"
        write_video(folder / f"01-{name}.mp4", frames, 29.97)
        write_video(folder / f"02-{name}.mp4", frames, 29.97, sound=False)
    return root


def crema_d_voices(root: Path, actors: range = range(1001, 1005)) -> Path:
    """``AudioWAV`` of the repository, one sentence."""
    for actor, emotion in product(actors, EMOTIONS):
        level = "XX" if emotion == "NEU" else "MD"
        write_wave(root / "AudioWAV" / f"{actor}_IEO_{emotion}_{level}.wav")
    return root


def write_crops(folder: Path, frames: int) -> None:
    """Grey crops of every frame."""
    folder.mkdir(parents=True)
    image = simplejpeg.encode_jpeg(np.full((8, 8, 3), 128, np.uint8))
    for frame in range(1, frames + 1):
        (folder / f"{frame:05d}.jpg").write_bytes(image)


def ravdess_faces(root: Path, actors: range, seconds: float = 2.0) -> Path:
    """Videos as ``Video_Speech_Actor_NN.zip`` are unpacked, each of one drawn person whose face and
    voice show the emotion, with the crops that ``emolib crop`` would write.
    """
    for name in ravdess_names(actors):
        emotion, actor = int(name[3:5]), int(name[-2:])
        rng = np.random.default_rng([emotion, actor, int(name[9:11])])
        person = draw_identity(np.random.default_rng(actor))
        shown = draw_expression(emotion % len(PROTOTYPES), rng, round(30 * seconds))
        images = [render(person, one, Pose(), rng) for one in shown]
        crops = root / "cropped_aligned" / f"01-{name}"
        crops.mkdir(parents=True)
        for frame, image in enumerate(images, 1):
            encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(image))
            (crops / f"{frame:05d}.jpg").write_bytes(encoded)
        speaker = draw_speaker(np.random.default_rng(actor))
        voice = speak(speaker, emotion % 2, round(16000 * seconds), rng)
        folder = root / f"Video_Speech_Actor_{actor:02d}" / f"Actor_{actor:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        media.write_video(folder / f"01-{name}.mp4", images, 30.0, voice, size=(SIZE, SIZE))
    return root
