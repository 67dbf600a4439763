"""Features are complete, right, in their place, and computed once, whatever happens in between."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from safetensors import safe_open

from emolib.config import preset
from emolib.data import media
from emolib.data.clip import Clip
from emolib.encoders.load import load_audio, load_visual
from emolib.errors import EmolibError
from emolib.evaluation.predictions import frame_rows
from emolib.features import extraction, sound_extraction, waveforms
from emolib.features import faces as extract_faces
from emolib.features import prepare as inputs
from emolib.features import sound as extract_sound
from emolib.features import window_sets as features
from emolib.features.prepare import FrameSets, prepare, store_features
from emolib.features.protocols import index_of
from emolib.model import EmotionModel
from tests.support.forks import exit_code, fork

SIDE = 48


def stored(experiment, clip, kind="audio"):
    """What the store holds of a clip as it is now."""
    store = extraction.store_of(experiment, kind)
    return store.read(clip.id, source(experiment, clip, kind))


def feature_file(experiment, clip, kind):
    return extraction.store_of(experiment, kind).path(clip.id, source(experiment, clip, kind))


def replace_file(path, content):
    """Other content under the same name; what is mapped from the old file stays as it was."""
    path.unlink()
    path.write_bytes(content)


def window_sound(windows):
    """The sound of all windows, one after another: float16 [sum of lengths, D_a]."""
    spans = zip(windows.audio_start.tolist(), windows.audio_length.tolist(), strict=True)
    return np.concatenate([windows.audio[start : start + length] for start, length in spans])


def moved(clip, root):
    """The clip of a copy of its tree under ``root``."""
    images = root / "cropped_aligned" / clip.id
    return dataclasses.replace(clip, images=images, video=root / clip.video.name)


def safe_metadata(path):
    with safe_open(path, framework="np") as file:
        return file.metadata()


def source(experiment, clip, kind):
    if kind == "visual":
        return extract_faces.source_of(clip)
    return extract_sound.source_of(clip, experiment.audio_context == "track")


def make_clip(
    root: Path,
    name: str,
    *,
    n: int = 40,
    fps: float = 25.0,
    times=None,
    sound: float | None = None,
    loudness: float = 0.1,
    gap=(),
    seed: int = 0,
) -> Clip:
    """A clip with noise faces and, with ``sound`` seconds, a noise track;
    images of the 1-based frames in ``gap`` are missing.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    folder = root / "cropped_aligned" / name
    folder.mkdir(parents=True)
    present = np.ones(n, bool)
    present[[frame - 1 for frame in gap]] = False
    for frame in np.flatnonzero(present) + 1:
        image = (
            rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
            .repeat(SIDE // 6, 0)
            .repeat(SIDE // 6, 1)
        )
        (folder / f"{frame:05d}.jpg").write_bytes(simplejpeg.encode_jpeg(image, quality=95))
    video = None
    frame_times = np.arange(n) / fps if times is None else np.asarray(times)
    if sound is not None:
        video = root / f"{name}.mp4"
        wave = rng.normal(0, loudness, round(sound * 16000)).astype(np.float32)
        media.write_video(
            video,
            (np.zeros((16, 16, 3), np.uint8) for _ in range(n)),
            frame_times,
            wave,
            size=(16, 16),
        )
    labels = np.zeros(n, np.int8)
    return Clip(name, "train", labels, present, frame_times, fps, "video", folder, video)


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """The demo's encoders in strict arithmetic, windows of 10 frames; a cache of its own."""
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("EMOLIB_DEVICE", "cpu")
    return preset(
        "demo", data=str(tmp_path), window=10, stride=5, frame_stride=5, precision="strict"
    )


def test_faces_equal_the_encoder_one_by_one(tmp_path, experiment):
    clips = [
        make_clip(tmp_path, "a", gap=(3, 4, 20)),
        make_clip(tmp_path, "b", n=33),
        make_clip(tmp_path, "c", n=5, gap=(1, 2, 3, 4, 5)),
    ]
    windows = features.window_set(experiment, clips, protocol="window")
    found = extraction.extract(experiment, clips)
    assert found.report.clips == 0  # nothing is computed twice
    encoder = load_visual(experiment)
    row = 0
    for clip in clips:
        numbers, faces = found.faces(clip)
        np.testing.assert_array_equal(numbers, np.flatnonzero(clip.face_present) + 1)
        for number, feature in zip(numbers.tolist(), faces, strict=True):
            alone = encoder.images(torch.from_numpy(media.read_jpeg(clip.image(number))[None]))[0]
            assert (
                torch.cosine_similarity(alone, torch.from_numpy(feature).float(), dim=0) > 1 - 1e-5
            )
            np.testing.assert_array_equal(windows.visual[row], feature)
            row += 1
    assert row == len(windows.visual) == 37 + 33
    assert windows.audio_length.max() == 0 and windows.audio.shape == (0, 768)
    # window rows lead to the images the index names: clip a lacks 3 and 4, which repeat 2
    assert windows.frames[0].tolist() == [0, 1, 1, 1, 2, 3, 4, 5, 6, 7]
    first_of_b = int(np.flatnonzero(windows.clip == 1)[0])
    assert windows.frames[first_of_b].tolist() == list(range(37, 47))
    assert np.unique(windows.visual[:].round(2), axis=0).shape[0] == 70


@pytest.mark.parametrize("fps", [12.5, 24000 / 1001, 25.0, 30000 / 1001])
def test_sound_is_each_window_s_true_span(tmp_path, experiment, fps):
    clip = make_clip(tmp_path, "a", fps=fps, sound=40 / fps)
    windows = features.window_set(experiment, [clip], protocol="window")
    wave, encoder = media.read_waveform(clip.video), load_audio(experiment)
    assert len(windows) == 7
    for i, end in enumerate(windows.end.tolist()):
        begin, until = clip.span(end - 9, end)
        segment = torch.from_numpy(
            wave[round(begin * 16000) : round(begin * 16000) + round((until - begin) * 16000)]
        )[None]
        expected = encoder.waveforms(segment)[0]
        rows = windows.audio[
            windows.audio_start[i] : windows.audio_start[i] + windows.audio_length[i]
        ]
        assert rows.shape == expected.shape == (encoder.steps(round(10 / fps * 16000)), 768)
        assert (
            torch.cosine_similarity(torch.from_numpy(rows).float(), expected, dim=-1).min()
            > 1 - 1e-3
        )


def test_protocols_share_spans_and_variable_rate_and_short_sound_are_handled(
    tmp_path, experiment, monkeypatch
):
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, 40))
    clips = [
        make_clip(tmp_path, "variable", times=times - times[0], sound=1.6),
        make_clip(tmp_path, "short", sound=0.61),  # the sound ends in the second window
        make_clip(tmp_path, "silent"),
    ]
    encoded = []
    original = extract_sound.SoundEncoder._encode
    monkeypatch.setattr(
        extract_sound.SoundEncoder,
        "_encode",
        lambda self, group, size: (encoded.append(len(group)), original(self, group, size)),
    )
    labelled = features.window_set(experiment, clips, protocol="window")
    before = sum(encoded)
    frames = features.window_set(experiment, clips, protocol="frame")
    assert sum(encoded) == before  # stride and frame stride are equal: the same spans
    np.testing.assert_array_equal(frames.end, labelled.end)
    np.testing.assert_array_equal(window_sound(frames), window_sound(labelled))
    assert set(frames.label.tolist()) == {-1} and set(labelled.label.tolist()) == {0}
    lengths = {
        clip.id: labelled.audio_length[labelled.clip == i].tolist() for i, clip in enumerate(clips)
    }
    assert lengths["silent"] == [0] * 7
    assert (
        lengths["short"][0] == 19
        and 0 < lengths["short"][2] < 19
        and lengths["short"][4:] == [0, 0, 0]
    )
    assert len(set(lengths["variable"])) > 1
    finer = features.window_set(experiment.replace(frame_stride=2), clips, protocol="frame")
    assert sum(encoded) > before  # new spans are added, the old ones stay
    same = np.isin(finer.end, frames.end)
    assert finer.audio_length[same].tolist() == [
        n for n, e in zip(frames.audio_length, frames.end, strict=True) if e in finer.end[same]
    ]
    every = experiment.replace(frame_stride=1)
    on_the_fly, again, kept = (
        features.window_set(every, clips[:1], protocol="frame", store=store)
        for store in (False, False, True)
    )
    assert len(on_the_fly) == 31
    np.testing.assert_array_equal(window_sound(on_the_fly), window_sound(again))
    # The same bits whether the store keeps them or not.
    np.testing.assert_array_equal(window_sound(on_the_fly), window_sound(kept))
    assert stored(every, clips[0])["lengths"].sum() == len(kept.audio)


def test_sound_of_the_frame_protocol_is_stored_unless_it_takes_too_much(tmp_path, experiment):
    clip = make_clip(tmp_path, "a", n=80, sound=3.2)
    validation = [clip] * 3500  # 280,000 frames, as many as Aff-Wild2's validation set
    for window, frame_stride, stored in (
        (60, 1, False),
        (10, 5, True),
        (60, 5, False),
        (60, 15, True),
    ):
        e = experiment.replace(window=window, frame_stride=frame_stride)
        assert FrameSets(e, validation).stored is stored
    at_thirty = dataclasses.replace(clip, fps=30.0)
    assert features.frame_sound_bytes(
        experiment.replace(window=60, frame_stride=1), [at_thirty] * 3500
    ) == pytest.approx(43e9, rel=0.03)


@pytest.mark.parametrize("modalities", ["audio", "audio_visual"])
def test_a_run_that_only_hears_needs_no_face_in_the_frame_protocol(
    tmp_path, experiment, modalities
):
    alone = {"fusion": "concat", "contrastive_weight": 0.0} if modalities == "audio" else {}
    e = experiment.replace(modalities=modalities, **alone)
    clip = make_clip(tmp_path, "a", sound=1.6, gap=range(1, 41))
    windows = features.window_set(e, [clip], protocol="frame")
    seen = features.window_set(e, [make_clip(tmp_path, "b", sound=1.6)], protocol="frame")
    assert len(seen) == 7 and windows.end.tolist() == (
        seen.end.tolist() if modalities == "audio" else []
    )
    assert (windows.audio_length == 19).all() and len(windows.visual) == 0


def test_a_split_without_a_window_is_told_before_anything_is_computed(
    tmp_path, experiment, monkeypatch
):
    clips = [
        make_clip(tmp_path, "a", n=12),
        dataclasses.replace(make_clip(tmp_path, "b", n=9), split="validation"),
    ]
    monkeypatch.setattr(inputs, "clips_of", lambda *args, **kwargs: clips)
    monkeypatch.setattr(inputs, "_LAST", {})
    monkeypatch.setattr(
        extraction, "extract_faces", lambda *args, **kwargs: pytest.fail("features are computed")
    )
    for work in (prepare, store_features):
        with pytest.raises(
            EmolibError,
            match="no validation window: each validation clip is shorter than window=10 frames",
        ):
            work(experiment, progress=False)
    with pytest.raises(EmolibError, match="no train window"):
        prepare(experiment.replace(window=20), progress=False)


def test_whole_track_is_shared_by_windows(tmp_path, experiment):
    clip = make_clip(tmp_path, "a", n=80, sound=3.2)
    whole = experiment.replace(audio_context="track")
    windows = features.window_set(whole, [clip], protocol="window")
    expected = (
        load_audio(whole)
        .waveforms(torch.from_numpy(media.read_waveform(clip.video))[None])[0]
        .numpy()
    )
    assert len(windows.audio) == len(expected)
    np.testing.assert_allclose(windows.audio, expected, atol=2e-2)
    assert windows.audio_start.tolist() == [round(0.2 * i * 50) for i in range(15)]
    assert set(windows.audio_length.tolist()) <= {18, 19}


def test_a_long_track_is_encoded_in_chunks_that_fit_together(tmp_path, experiment, monkeypatch):
    encoder = load_audio(experiment)
    wave = np.random.default_rng(0).integers(-3000, 3000, 16000 * 5).astype(np.int16)
    once = extract_sound.SoundEncoder(encoder).track(wave)
    monkeypatch.setattr(extract_sound, "CHUNK", 60)
    monkeypatch.setattr(extract_sound, "CONTEXT", 30)
    chunks = extract_sound.SoundEncoder(encoder).track(wave)
    assert chunks.shape == once.shape == (249, 768)
    cosine = torch.cosine_similarity(
        torch.from_numpy(chunks).float(), torch.from_numpy(once).float(), dim=-1
    )
    assert cosine.median() > 0.98
    shifted = torch.cosine_similarity(
        torch.from_numpy(chunks[1:]).float(), torch.from_numpy(once[:-1]).float(), dim=-1
    )
    assert shifted.median() < cosine.median() - 0.01


def test_a_track_as_floats_is_the_track_as_integers(experiment):
    encoder = extract_sound.SoundEncoder(load_audio(experiment))
    wave = np.random.default_rng(0).integers(-3000, 3000, 16000).astype(np.int16)
    np.testing.assert_array_equal(
        encoder.track(wave.astype(np.float32) / 32767), encoder.track(wave)
    )


@pytest.mark.parametrize("fps", [25.0, None], ids=["full batch", "one window"])
def test_fast_sound_is_checked_on_a_few_windows(tmp_path, experiment, monkeypatch, fps):
    """In float32 a GPU's whole batch would take more memory than the batch itself."""
    clip, encoder = make_clip(tmp_path, "a", n=200, sound=8.0), load_audio(experiment)
    shapes = []

    class Strict:
        def waveforms(self, waves):
            shapes.append(tuple(waves.shape))
            return encoder.waveforms(waves)

    sounds = extract_sound.SoundEncoder(encoder, Strict)
    ends = np.arange(10, 201, 5 if fps else 500)
    sounds.add(
        extract_sound.ClipSound(clip, np.stack([ends - 9, ends], axis=1), 768, lambda sound: None),
        waveforms.waveform(clip.video),
    )
    sounds.finish()
    assert shapes == [(4 if fps else 1, 6400)]


def rates(found):
    """(clips whose faces, clips whose sound were computed now)."""
    by_name = {stream.name: stream.clips for stream in found.report.streams}
    return by_name.get("faces", 0), by_name.get("sound", 0)


@pytest.mark.parametrize("context", ["window", "track"])
def test_a_video_that_came_later_or_was_replaced_is_heard(tmp_path, experiment, context):
    experiment = experiment.replace(audio_context=context)
    clips = [make_clip(tmp_path, "a"), make_clip(tmp_path, "b", sound=1.6)]
    assert rates(extraction.extract(experiment, clips)) == (2, 2)
    assert rates(extraction.extract(experiment, clips)) == (0, 0)
    assert len(stored(experiment, clips[0])["audio"]) == 0
    clips[0] = dataclasses.replace(
        clips[0], video=make_clip(tmp_path / "later", "a", sound=1.6).video
    )
    assert rates(extraction.extract(experiment, clips)) == (0, 1)
    first = stored(experiment, clips[0])
    assert len(first["audio"]) > 0 and rates(extraction.extract(experiment, clips)) == (0, 0)
    make_clip(tmp_path / "other", "a", sound=1.6, seed=1).video.replace(clips[0].video)
    assert rates(extraction.extract(experiment, clips)) == (0, 1)
    other = stored(experiment, clips[0])
    assert (
        other["audio"].shape == first["audio"].shape
        and np.abs(other["audio"] - first["audio"]).max() > 0.01
    )
    assert rates(extraction.extract(experiment, clips)) == (0, 0)


def test_corrected_times_are_heard_without_looking_at_the_faces_again(tmp_path, experiment):
    clip = make_clip(tmp_path, "a", sound=3.2)
    extraction.extract(experiment, [clip])
    # A corrected list of frame rates.
    slower = dataclasses.replace(clip, frame_times=clip.frame_times * 2, fps=clip.fps / 2)
    found = extraction.extract(experiment, [slower])
    assert rates(found) == (0, 1) and found.sound(slower)["lengths"].tolist() == [39] * 7
    finer = experiment.replace(stride=1)
    assert len(extraction.extract(finer, [slower]).sound(slower)["spans"]) == 31
    assert rates(extraction.extract(finer, [clip])) == (0, 1), (
        "none of the spans at other times is taken over"
    )
    assert extraction.extract(finer, [clip]).sound(clip)["lengths"].tolist() == [19] * 31


@pytest.mark.parametrize("in_place", [True, False], ids=["written over", "another folder"])
def test_crops_replaced_under_the_same_numbers_are_seen(tmp_path, experiment, in_place):
    clips = [make_clip(tmp_path, "a", n=12), make_clip(tmp_path, "b", n=12)]
    before = extraction.extract(experiment, clips).faces(clips[0])[1]
    new = make_clip(tmp_path / "new", "a", n=12, seed=1).images
    if in_place:
        for image in sorted(new.iterdir()):
            (clips[0].images / image.name).write_bytes(image.read_bytes())
    else:
        shutil.rmtree(clips[0].images)
        new.rename(clips[0].images)
    found = extraction.extract(experiment, clips)
    assert (
        rates(found) == (1, 0)
        and np.abs(found.faces(clips[0])[1] - before).max(axis=1).min() > 0.01
    )
    assert rates(extraction.extract(experiment, clips)) == (0, 0)


def test_what_another_device_stored_counts_and_says_its_type(tmp_path, experiment, monkeypatch):
    """A login node without fast units finds what nodes with them have made;
    nothing is extracted twice.
    """
    clips, fast = (
        [make_clip(tmp_path, name, n=12, sound=0.5) for name in "ab"],
        experiment.replace(precision="fast"),
    )
    with monkeypatch.context() as node:
        node.setattr(
            "emolib.encoders.load.encoder_dtype",
            lambda device, precision: torch.float32 if precision == "strict" else torch.bfloat16,
        )
        assert rates(extraction.extract(fast, clips[:1])) == (1, 1)
        there = extraction.store_of(fast, "visual").folder
    monkeypatch.setattr(
        "emolib.encoders.load.encoder_dtype", lambda device, precision: torch.float32
    )
    assert rates(extraction.extract(fast, clips[:1])) == (0, 0)
    assert rates(extraction.extract(fast, clips)) == (1, 1)
    store = extraction.store_of(fast, "visual")
    assert (
        store.folder == there
        and json.loads((there / "manifest.json").read_text())["precision"] == "bfloat16"
    )
    stated = []
    for clip in clips:
        path = store.path(clip.id, source(fast, clip, "visual"))
        with safe_open(path, framework="np") as file:
            stated.append(json.loads(file.metadata()["about"])["precision"])
    assert stated == ["bfloat16", "float32"] and store.verify() == (2, [])
    assert extraction.store_of(experiment, "visual").folder != there, (
        "strict is a setting, and another store"
    )


@pytest.mark.parametrize("content", [b"", b"no jpeg", None])
def test_damaged_images_are_named_after_all_else_is_done(tmp_path, experiment, content):
    clips = [make_clip(tmp_path, name, n=12) for name in "abc"]
    whole = clips[0].image(7).read_bytes()
    clips[0].image(7).write_bytes(whole[:-60] if content is None else content)
    with pytest.raises(EmolibError, match=r"1 damaged files, all else is stored: .*a/00007\.jpg"):
        extraction.extract(experiment, clips)
    found = [stored(experiment, clip, "visual") is not None for clip in clips]
    assert found == [False, True, True]
    clips[0].image(7).write_bytes(whole)
    assert extraction.extract(experiment, clips).report.clips == 1 + 0


@pytest.mark.parametrize("content", [b"", b"no video", None])
def test_damaged_video_is_named_and_the_rest_done(tmp_path, experiment, content):
    clips = [make_clip(tmp_path, "a", n=12, sound=0.5), make_clip(tmp_path, "b", n=12, sound=0.5)]
    whole = clips[0].video.read_bytes()
    clips[0].video.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(EmolibError, match=r"1 damaged files, all else is stored: .*a\.mp4"):
        extraction.extract(experiment, clips)
    assert stored(experiment, clips[1])["lengths"].min() > 0
    assert stored(experiment, clips[0]) is None


def test_the_summary_counts_and_names_what_has_no_sound(tmp_path, experiment):
    clips = [
        make_clip(tmp_path, "whole", sound=1.6),
        make_clip(tmp_path, "early", sound=0.6),  # of 1.6 s
        make_clip(tmp_path, "mute"),
    ]
    report = extraction.extract(experiment, clips).report
    faces, sound, quiet = report.lines()
    assert (
        faces.startswith("faces: 3 clips, 120 frames in ")
        and "of a matrix product's rate in float32" in faces
    )
    assert sound.startswith("sound: 3 clips, 21 windows in ")
    assert (
        quiet == "sound missing in 2 clips, their windows there have none: "
        "early (1.0 s before its end), mute (all)"
    )
    early = stored(experiment, clips[1])
    assert early["lengths"][0] == 19 and early["lengths"][-1] == 0
    assert len(early["audio"]) == early["lengths"].sum()
    for stream in report.streams:
        assert 0 < stream.gflop / stream.seconds < 1e5
    again = extraction.extract(experiment, clips).report
    assert (again.clips, again.lines()) == (0, [])


def test_digital_silence_is_no_sound(tmp_path, experiment):
    clips = [
        make_clip(tmp_path, "muted", sound=1.6, loudness=0.0),
        make_clip(tmp_path, "soft", sound=1.6, loudness=0.002),
    ]
    report = extraction.extract(experiment, clips).report
    assert report.quiet == ["muted (digital silence)"]
    muted, soft = (stored(experiment, clip) for clip in clips)
    assert (
        len(muted["spans"]) == len(soft["spans"]) == 7
        and not muted["lengths"].any()
        and (soft["lengths"] == 19).all()
    )
    assert extraction.extract(experiment, clips).report.clips == 0, "it is known, not missing"
    whole = extraction.extract(experiment.replace(audio_context="track"), clips)
    assert whole.report.quiet == ["muted (digital silence)"]
    assert len(whole.sound(clips[0])["audio"]) == 0 < len(whole.sound(clips[1])["audio"])


def test_other_sizes_are_fitted_as_clip_does(tmp_path, experiment):
    clip = make_clip(tmp_path, "a", n=12)
    wide = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    clip.image(5).write_bytes(simplejpeg.encode_jpeg(wide, quality=95))
    _, faces = extraction.extract(experiment, [clip]).faces(clip)
    from PIL import Image

    scaled = (
        Image.open(clip.image(5)).resize((85, 64), Image.Resampling.BICUBIC).crop((10, 0, 74, 64))
    )
    expected = load_visual(experiment).images(torch.from_numpy(np.array(scaled))[None])[0]
    assert torch.cosine_similarity(expected, torch.from_numpy(faces[4]).float(), dim=0) > 1 - 1e-5
    assert torch.cosine_similarity(expected, torch.from_numpy(faces[5]).float(), dim=0) < 1 - 1e-4


@pytest.mark.parametrize("given", [True, False], ids=["clips given", "a run's clips"])
@pytest.mark.parametrize("room", [True, False], ids=["frames' sound stored", "no room for it"])
def test_store_features_leaves_a_worker_nothing_to_compute(
    tmp_path, experiment, monkeypatch, room, given
):
    """Afterwards no encoder is loaded by what a run reads,
    but for the frame protocol's sound where it is too much to store.
    """
    clips = [make_clip(tmp_path, name, sound=1.6) for name in "abc"]
    clips[1:] = (
        dataclasses.replace(clips[1], split="validation"),
        dataclasses.replace(clips[2], split="test"),
    )
    monkeypatch.setattr(inputs, "clips_of", lambda *args, **kwargs: clips)
    monkeypatch.setattr(inputs, "_LAST", {})
    if not room:
        monkeypatch.setattr(inputs, "FRAME_SOUND", 0)
    # Windows of the frame protocol that the other has not.
    sparse = experiment.replace(frame_stride=2)
    store_features(sparse, clips if given else None, progress=False)
    for load in ("load_visual", "load_audio"):
        monkeypatch.setattr(extraction, load, lambda *args: pytest.fail("an encoder is loaded"))
    monkeypatch.setattr(features, "load_audio", extraction.load_audio)
    data = prepare(sparse, progress=False)
    assert len(data.train) == len(data.validation) == 7 and data.prompts.shape == (8, 512)
    if room:
        assert [len(frames) for frames in data.frames] == [16]  # ends at frame 10, 12, ..., 40
        assert [len(frames) for frames in FrameSets(sparse, clips[2:])] == [16]
    else:
        for sets in (data.frames, FrameSets(sparse, clips[2:])):
            with pytest.raises(pytest.fail.Exception, match="an encoder is loaded"):
                list(sets)


def test_prompts_are_kept(experiment, monkeypatch):
    first, scale = extraction.prompt_features(experiment)
    monkeypatch.setattr(extraction, "load_visual", None)
    again, scale_again = extraction.prompt_features(experiment)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (8, 512) and first.dtype == np.float32
    assert scale == scale_again and 1 < scale <= 101


def test_verify_finds_damage_and_extraction_repairs_it(tmp_path, experiment):
    clips = [make_clip(tmp_path, name, n=12, sound=0.5) for name in "ab"]
    extraction.extract(experiment, clips)
    files, damaged = extraction.verify(experiment)
    assert (files, damaged) == (4, [])
    place = feature_file(experiment, clips[0], "visual")
    original = place.read_bytes()
    flipped = bytearray(original)
    flipped[-100] ^= 1
    replace_file(place, flipped)
    assert extraction.verify(experiment) == (4, [str(place)])
    extraction.extract(experiment, clips)
    assert place.read_bytes() == original
    replace_file(place, original[: len(original) // 2])
    with pytest.warns(UserWarning, match="damaged"):
        extraction.extract(experiment, clips)
    assert place.read_bytes() == original


@pytest.mark.parametrize("kind", ["visual", "audio"])
def test_damage_to_a_feature_file_is_named_when_it_is_read_and_made_anew(
    tmp_path, experiment, kind
):
    """Flipped bits at 12 places, header included, and cuts:
    windows are the same bits as before, and the file is named.
    """
    clips = [make_clip(tmp_path, name, n=12, sound=0.5) for name in "ab"]
    before = features.window_set(experiment, clips, protocol="window")
    place = feature_file(experiment, clips[0], kind)
    original = place.read_bytes()
    rng = np.random.default_rng(0)
    flips = [(8 * len(original) * i + int(rng.integers(8))) // 12 for i in range(12)]
    damages = [original[:0], original[:7], original[: len(original) // 2], original + b"\0"]
    for bit in flips:
        flipped = bytearray(original)
        flipped[bit // 8] ^= 1 << bit % 8
        damages.append(bytes(flipped))
    for damaged in damages:
        replace_file(place, damaged)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            after = features.window_set(experiment, clips, protocol="window")
        for name in ("visual", "audio", "frames", "audio_start", "audio_length"):
            np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
        if place.read_bytes() != damaged:  # what is left is harmless: a bit of the noted precision
            assert any(str(place) in str(warning.message) for warning in warned)
            assert place.read_bytes() == original
        else:
            assert json.loads(safe_metadata(place)["about"])["sha256"]


def test_a_damaged_waveform_cache_is_named_and_made_anew(tmp_path, experiment):
    """An empty one means a clip without sound only if it says so itself."""
    video = make_clip(tmp_path, "a", n=12, sound=0.5).video
    expected = np.array(waveforms.waveform(video))
    (place,) = (tmp_path / "runs" / "cache" / "waveforms").iterdir()
    original = place.read_bytes()
    assert len(expected) > 5000 and np.abs(expected).max() > 100
    flipped = bytearray(original)
    flipped[-1000] ^= 4
    damages = [b"", original[:64], original[:-2], original[:5000], bytes(flipped), original + b"00"]
    for damaged in damages:
        replace_file(place, damaged)
        with pytest.warns(UserWarning, match=place.name):
            np.testing.assert_array_equal(waveforms.waveform(video), expected)
        assert place.read_bytes() == original


@pytest.mark.parametrize("kind", ["visual", "audio"])
def test_a_feature_file_of_another_clip_is_named_and_made_anew(tmp_path, experiment, kind):
    """It is whole, with as many frames; only its name says that it is another clip's."""
    clips = [make_clip(tmp_path, name, n=12, sound=0.5) for name in "ab"]
    before = features.window_set(experiment, clips, protocol="window")
    place, other = (feature_file(experiment, clip, kind) for clip in clips)
    original = place.read_bytes()
    replace_file(place, other.read_bytes())
    with pytest.warns(UserWarning, match=rf"{place.name}: damaged \(written as \w+/b\."):
        after = features.window_set(experiment, clips, protocol="window")
    np.testing.assert_array_equal(getattr(after, kind), getattr(before, kind))
    assert place.read_bytes() == original


def test_a_waveform_of_another_video_is_named_and_decoded_anew(tmp_path, experiment):
    videos = [make_clip(tmp_path, name, n=12, sound=0.5).video for name in "ab"]
    expected = np.array(waveforms.waveform(videos[0]))
    (place,) = (tmp_path / "runs" / "cache" / "waveforms").iterdir()
    waveforms.waveform(videos[1])
    (other,) = {*place.parent.iterdir()} - {place}
    replace_file(place, other.read_bytes())
    with pytest.warns(UserWarning, match=place.name):
        np.testing.assert_array_equal(waveforms.waveform(videos[0]), expected)


def test_a_waveform_stored_before_is_read(tmp_path, experiment, monkeypatch):
    """Without the name of its video, in the place of which were zeros."""
    video = make_clip(tmp_path, "a", n=12, sound=0.5).video
    expected = np.array(waveforms.waveform(video))
    (place,) = (tmp_path / "runs" / "cache" / "waveforms").iterdir()
    stored = bytearray(place.read_bytes())
    stored[56:64] = bytes(8)
    replace_file(place, bytes(stored))
    monkeypatch.setattr(waveforms, "stream_waveform", None)
    np.testing.assert_array_equal(waveforms.waveform(video), expected)


def test_a_copied_tree_and_copied_runs_are_extracted_no_second_time(
    tmp_path, experiment, monkeypatch
):
    """``cp -r``: other paths, other times, the same content."""
    clips = [make_clip(tmp_path / "tree", name, n=12, sound=0.5) for name in "ab"]
    there = experiment.replace(data=str(tmp_path / "tree"))
    before = features.window_set(there, clips, protocol="window")
    for folder in ("tree", "runs"):
        copied = shutil.copytree(
            tmp_path / folder, tmp_path / "copy" / folder, copy_function=shutil.copyfile
        )
        for path in copied.rglob("*"):
            os.utime(path, (1e9, 1e9))
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "copy" / "runs"))
    shutil.rmtree(tmp_path / "tree")
    copies = [moved(clip, tmp_path / "copy" / "tree") for clip in clips]
    here = experiment.replace(data=str(tmp_path / "copy" / "tree"))
    monkeypatch.setattr(extraction, "load_visual", None)
    monkeypatch.setattr(extraction, "load_audio", None)
    after = features.window_set(here, copies, protocol="window")
    np.testing.assert_array_equal(after.visual, before.visual)
    np.testing.assert_array_equal(after.audio, before.audio)


class Wide:
    """An encoder whose features are eight numbers wider than those of ``encoder``."""

    def __init__(self, encoder):
        self.encoder, self.width = encoder, encoder.width + 8

    def __getattr__(self, name):
        return getattr(self.encoder, name)

    def encode(self, prepared):
        features = self.encoder.encode(prepared)
        return torch.cat([features, features[:, :8]], dim=1)

    def waveforms(self, batch):
        steps = self.encoder.waveforms(batch)
        return torch.cat([steps, steps[..., :8]], dim=-1)


@pytest.mark.parametrize("context", ["window", "track"])
def test_the_encoders_say_how_wide_features_are(tmp_path, experiment, monkeypatch, context):
    monkeypatch.setattr(extraction, "load_visual", lambda *args: Wide(load_visual(*args)))
    monkeypatch.setattr(extraction, "load_audio", lambda *args: Wide(load_audio(*args)))
    clips = [make_clip(tmp_path, "a", n=12, sound=0.5), make_clip(tmp_path, "silent", n=12)]
    wide = experiment.replace(audio_context=context)
    windows = features.window_set(wide, clips, protocol="window")
    assert windows.visual.shape == (24, 512 + 8) and windows.audio.shape[1] == 768 + 8
    for features_of_all in (windows.visual[:], windows.audio[:]):
        np.testing.assert_array_equal(features_of_all[:, -8:], features_of_all[:, :8])
        assert len(features_of_all) and features_of_all.any()


@pytest.mark.parametrize("name", ["_prompts", "prompts", "manifest"])
def test_no_name_of_a_clip_is_taken(tmp_path, experiment, name):
    prompts, _ = extraction.prompt_features(experiment)
    clip = make_clip(tmp_path, name, n=12, sound=0.5)
    assert extraction.extract(experiment, [clip]).report.clips == 2
    assert stored(experiment, clip, "visual")["visual"].shape == (12, 512)
    np.testing.assert_array_equal(extraction.prompt_features(experiment)[0], prompts)


def test_trees_with_clips_of_one_name_do_not_take_each_others_features(tmp_path, experiment):
    one = make_clip(tmp_path / "one", "a", n=12, sound=0.5)
    other = make_clip(tmp_path / "other", "a", n=12, sound=0.5, seed=1)
    first = features.window_set(experiment, [one], protocol="window")
    second = features.window_set(experiment, [other], protocol="window")
    assert np.abs(first.visual[:] - second.visual[:]).max() > 0.01
    assert extraction.extract(experiment, [one]).report.clips == 0
    again = features.window_set(experiment, [one], protocol="window")
    np.testing.assert_array_equal(again.visual, first.visual)


def test_the_command_prints_the_summary(tmp_path, experiment, monkeypatch, capsys):
    from emolib import cli

    clips = [make_clip(tmp_path, "a", n=12), make_clip(tmp_path, "b", n=12, sound=0.3)]
    monkeypatch.setattr(inputs, "clips_of", lambda *args, **kwargs: clips)
    words = ["emolib", "extract", "--quiet", "--set", "precision=strict", "--set", "window=10"]
    # The second time everything is there.
    for extra, expected in (([], "faces: 2 clips, 24 frames in "), (["--json"], '"rates": []')):
        monkeypatch.setattr(sys, "argv", words + extra)
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out = capsys.readouterr().out
        assert not stopped.value.code and expected in out
        assert (
            "sound missing in 2 clips, their windows there have none: "
            "a (all), b (0.2 s before its end)"
            in out
            or extra
        )


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A file system of 48 KB under the runs folder; call it with mount options to change it."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str, *, again: bool = True) -> bool:
        words = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            f"remount,{options}" if again else options,
            "tmpfs",
            str(place),
        ]
        return subprocess.run(words, capture_output=True).returncode == 0

    if not shutil.which("mount") or not mount("size=48k", again=False):
        pytest.skip("this user may not mount a tmpfs")
    monkeypatch.setenv("EMOLIB_RUNS", str(place))
    yield mount
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_full_disk_is_told_and_leaves_a_valid_store(tmp_path, experiment, small_disk):
    seen = experiment.replace(modalities="visual", fusion="concat")
    clips = [make_clip(tmp_path, name, n=12) for name in "abcdef"]  # 12 KB of features each
    with pytest.raises(
        EmolibError, match=r"safetensors: cannot be written: No space left on device; free space"
    ):
        extraction.extract(seen, clips)
    store = extraction.store_of(seen, "visual")
    count, damaged = store.verify()
    assert 0 < count < 6 and damaged == []
    assert (
        list(store.folder.glob(".*.safetensors")) == []
        and list(store.folder.glob(".claims/*")) == []
    )
    kept = {path: path.read_bytes() for path in store.folder.glob("*.safetensors")}
    assert small_disk("size=1m")
    assert extraction.extract(seen, clips).report.clips == 6 - count
    assert {path: path.read_bytes() for path in kept} == kept


def test_read_only_disk_is_told_and_what_is_stored_is_read(tmp_path, experiment, small_disk):
    seen = experiment.replace(modalities="visual", fusion="concat")
    clips = [make_clip(tmp_path, name, n=12) for name in "ab"]
    extraction.extract(seen, clips[:1])
    assert small_disk("ro")
    found = extraction.extract(seen, clips[:1])
    assert found.report.clips == 0 and found.faces(clips[0])[1].any()
    with pytest.raises(
        EmolibError,
        match="cannot be written: Read-only file system; free space or choose another folder",
    ):
        extraction.extract(seen, clips)


def test_no_space_for_a_manifest_or_sound_is_told(tmp_path, experiment, monkeypatch):
    clips = [make_clip(tmp_path, name, n=12) for name in "ab"]

    def no_space(self, content):
        raise OSError(28, "No space left on device", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", no_space)
        with pytest.raises(EmolibError, match="No space left on device"):
            extraction.extract(experiment, clips)
    folder = extraction.store_of(experiment, "visual").folder
    assert list(folder.glob("*.safetensors")) == list(folder.glob(".*.safetensors")) == []
    assert extraction.extract(experiment, clips).report.clips == 4


def test_fast_arithmetic_that_loses_too_much_is_refused(tmp_path, experiment, monkeypatch):
    clip = make_clip(tmp_path, "a", n=12)
    monkeypatch.setattr(
        "emolib.encoders.load.encoder_dtype",
        lambda device, precision: torch.float32 if precision == "strict" else torch.bfloat16,
    )
    fast = experiment.replace(precision="fast", modalities="visual", fusion="concat")
    extraction.extract(fast, [clip])
    monkeypatch.setattr("emolib.features.work.GATE", 1.0)
    with pytest.raises(EmolibError, match="precision=strict"):
        extraction.extract(fast.replace(resize="bilinear"), [clip])
    assert (
        extraction.store_of(fast, "visual").folder
        != extraction.store_of(fast.replace(precision="strict"), "visual").folder
    )


def test_features_do_not_depend_on_who_stands_beside(tmp_path, experiment):
    clips = [make_clip(tmp_path, name, n=n) for name, n in (("a", 21), ("b", 70), ("c", 50))]
    seen = experiment.replace(modalities="visual", fusion="concat")
    together = {clip.id: extraction.extract(seen, clips).faces(clip)[1] for clip in clips}
    shutil.rmtree(extraction.store_of(seen, "visual").folder)
    for clip in reversed(clips):
        np.testing.assert_array_equal(
            extraction.extract(seen, [clip]).faces(clip)[1], together[clip.id]
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fast_on_a_gpu_agrees_with_strict_on_the_host(tmp_path, experiment, monkeypatch):
    clips = [
        make_clip(tmp_path, name, n=n, sound=n / 25)
        for name, n in (("a", 21), ("b", 70), ("c", 50))
    ]
    strict = extraction.extract(experiment, clips)
    expected = {clip.id: (strict.faces(clip)[1], strict.sound(clip)) for clip in clips}
    monkeypatch.setenv("EMOLIB_DEVICE", "cuda")
    fast = experiment.replace(precision="fast")
    found = extraction.extract(fast, clips)
    alone = {}
    for clip in clips:
        for mine, reference in (
            (found.faces(clip)[1], expected[clip.id][0]),
            (found.sound(clip)["audio"], expected[clip.id][1]["audio"]),
        ):
            a, b = torch.from_numpy(mine).double(), torch.from_numpy(reference).double()
            assert torch.cosine_similarity(a, b, dim=-1).min() >= 0.999
            nearest = torch.cdist(a[::7] - b.mean(0), b - b.mean(0)).argmin(1)
            # Rows are not only alike, they are in their places.
            assert (nearest == torch.arange(len(b))[::7]).double().mean() > 0.9
        alone[clip.id] = found.faces(clip)[1]
    shutil.rmtree(extraction.store_of(fast, "visual").folder)
    for clip in clips:  # batches of other company give the same bits
        np.testing.assert_array_equal(
            extraction.extract(fast, [clip]).faces(clip)[1], alone[clip.id]
        )


def rebuild(root: str):
    """The experiment and clips of the tests with several processes, from what is on disk."""
    names = sorted(path.name for path in (Path(root) / "cropped_aligned").iterdir())
    clips = [
        Clip(
            n,
            "train",
            np.zeros(40, np.int8),
            np.ones(40, bool),
            np.arange(40) / 25,
            25.0,
            "video",
            Path(root) / "cropped_aligned" / n,
            Path(root) / f"{n}.mp4",
        )
        for n in names
    ]
    return preset("demo", data=root, window=10, stride=5, precision="strict"), clips


def extract_in_fork(root: Path, counted: Path | None = None) -> int:
    """Process id of a fork that extracts; into ``counted`` it writes how many clips it did."""

    def work() -> None:
        report = extraction.extract(*rebuild(str(root)), progress=False).report
        if counted:
            counted.write_text(str(report.clips))

    return fork(work)


def digest(root: Path) -> dict[str, bytes]:
    """Every feature file; a dot begins the name of what a killed process left unfinished."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("[!.]*.safetensors"))
    }


def test_what_a_killed_write_left_is_removed_and_a_running_one_is_let_be(tmp_path, experiment):
    clips = [make_clip(tmp_path, name, n=12) for name in ("a", "a-b")]
    store = extraction.store_of(experiment, "visual")
    store.folder.mkdir(parents=True)
    stems = [store.path(clip.id, source(experiment, clip, "visual")).stem for clip in clips]
    left, running = (
        store.folder / f".{stems[0]}-x1y2z3_4.safetensors",
        store.folder / f".{stems[1]}-x1y2z3_4.safetensors",
    )
    young = store.folder / f".{stems[0]}-a1b2c3_4.safetensors"
    for path in (left, running, young):
        path.write_bytes(b"half")
    for path in (left, running):
        os.utime(path, (0, 0))
    extraction.extract(experiment, clips[:1])
    assert not left.exists() and running.exists() and young.exists(), (
        "a-b is another clip's, a young one perhaps another machine's"
    )
    assert store.verify() == (1, []) and running.exists()
    extraction.extract(experiment, clips)
    assert sorted(path.name for path in store.folder.glob("*.safetensors")) == [
        young.name,
        *sorted(f"{stem}.safetensors" for stem in stems),
    ]


def test_two_processes_share_and_a_killed_one_loses_nothing(tmp_path, experiment):
    for name in "abcdefghijkl":
        make_clip(tmp_path, name, sound=1.6)
    store = tmp_path / "runs" / "cache" / "features"
    assert exit_code(extract_in_fork(tmp_path)) == 0
    store.rename(tmp_path / "undisturbed")
    counted = [tmp_path / "first", tmp_path / "second"]
    killed = extract_in_fork(tmp_path)
    first = extract_in_fork(tmp_path, counted[0])
    time.sleep(0.2)
    os.kill(killed, signal.SIGKILL)  # during or after its work: the other ones must not care
    second = extract_in_fork(tmp_path, counted[1])
    assert [exit_code(first), exit_code(second)] == [0, 0]
    exit_code(killed)
    assert sum(int(path.read_text()) for path in counted) <= 24
    assert digest(store) == digest(tmp_path / "undisturbed")
    assert list(store.rglob(".claims/*")) == []


def test_a_kill_near_the_end_of_the_sound_loses_little(tmp_path, experiment, monkeypatch):
    """At 99 % of the encoding at most 2 % of the windows are not in the store yet, whatever the
    rates, and a clip that is longer than that; the pieces have the real share of the whole.
    """
    monkeypatch.setattr(sound_extraction, "PIECE", 4)  # of 1,000 windows; really 256 of 58,000
    every = experiment.replace(stride=1, modalities="audio", fusion="concat", contrastive_weight=0)
    rates = (30, 25, 21.3, 29.97, 7.5, 30, 23.976, 30)
    lengths = [300 if fps == 21.3 else 110 for fps in rates]
    clips = [
        make_clip(tmp_path, f"clip{i}", n=n, fps=fps, sound=n / fps)
        for i, (n, fps) in enumerate(zip(lengths, rates, strict=True))
    ]
    total = sum(len(index_of(every, clip, "window")) for clip in clips)
    encoded, encode = [0], extract_sound.SoundEncoder._encode

    def dying(self, group, size):
        encode(self, group, size)
        encoded[0] += len(group)
        if encoded[0] >= 0.99 * total:
            raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(extract_sound.SoundEncoder, "_encode", dying)
        features.window_set(every, clips, protocol="window", progress=False)
    kept = [stored(every, clip) for clip in clips]
    windows = sum(len(tensors["spans"]) for tensors in kept if tensors)
    assert windows >= 0.97 * total
    whole = features.window_set(every, clips, protocol="window", progress=False)
    assert len(whole) == total and (whole.audio_length > 0).all()


def test_sound_that_the_disk_cannot_hold_is_refused_before_any_work(
    tmp_path, experiment, monkeypatch
):
    clip = make_clip(tmp_path, "a", n=40, sound=1.6)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    monkeypatch.setattr(extract_sound.SoundEncoder, "add", lambda *args: pytest.fail("it began"))
    with pytest.raises(EmolibError, match=r"take up to 0\.\d GB, 0\.0 GB are free.*EMOLIB_RUNS"):
        features.window_set(experiment, [clip], protocol="window", progress=False)


@pytest.mark.parametrize("store", [True, False])
def test_a_long_clip_comes_in_parts_and_is_predicted_as_in_one(
    tmp_path, experiment, monkeypatch, store
):
    clips = [make_clip(tmp_path, name, n=n, sound=n / 25) for name, n in (("a", 60), ("b", 15))]
    every = experiment.replace(frame_stride=1, width=16, attention_heads=2)
    if not store:
        monkeypatch.setattr(inputs, "FRAME_SOUND", 0)
    torch.manual_seed(0)
    model = EmotionModel(every).eval()
    whole = [rows for _, (rows,) in frame_rows([model], FrameSets(every, clips))]
    monkeypatch.setattr(inputs, "STEPS_AT_ONCE", 20 * 19)
    parts = list(FrameSets(every, clips))
    assert [[clip.id for clip in part.clips] for part in parts] == [["a"], ["a"], ["a", "b"]]
    assert [len(part) for part in parts] == [20, 20, 17]
    in_parts = dict(zip("ab", whole, strict=True))
    for clip, (rows,) in frame_rows([model], parts):
        np.testing.assert_allclose(rows, in_parts.pop(clip.id), atol=1e-5)
    assert not in_parts and np.ptp(whole[0], axis=0).max() > 0.005
