"""Planted colours and pitches arrive at the right frames, from the disk to the submission.

The tree is written from docs/data.md by code that shares nothing with emolib
(tests/support/planted.py). In the place of the encoders stand readers of colour and pitch, so that
every position of every window says what it is.
"""

import json
import sys

import numpy as np
import pytest
from sklearn.metrics import f1_score

from emolib import cli
from emolib.config import preset
from emolib.features import extraction, window_sets
from emolib.features.prepare import FrameSets, clips_of
from emolib.features.window_sets import window_set
from tests.support.planted import SLOT, plan, write
from tests.support.planted_readers import SEEN, SETTINGS, STEP, Colours, Pitches


@pytest.fixture
def readers(monkeypatch, tmp_path):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(extraction, "load_visual", lambda *_: Colours())
    monkeypatch.setattr(extraction, "load_audio", lambda *_: Pitches())
    monkeypatch.setattr(window_sets, "load_audio", lambda *_: Pitches())


def wrong_positions(windows, planted, length):
    """(positions of pictures and of sound that were looked at, those that are wrong)."""
    looked, wrong = 0, 0
    for number, (row, end) in enumerate(zip(windows.clip, windows.end, strict=True)):
        clip = planted[windows.clips[row].id]
        begin = max(1, int(end) - length + 1)
        inside = [max(1, int(end) - length + 1 + t) for t in range(length)]
        images = [clip.image(frame) for frame in inside]
        expected = [[clip.label(i), i % 16, i // 16 % 16] for i in images]
        seen = windows.visual[windows.frames[number]]
        found = np.column_stack([seen[:, :8].argmax(axis=1), seen[:, 8:]])
        looked += length
        wrong += int((found != expected).any(axis=1).sum())
        start = float((begin - 1) / clip.rate)
        samples = round(float((int(end) - begin + 1) / clip.rate) * 16000)
        steps = Pitches.steps(samples)
        wrong += int(windows.audio_length[number]) != steps
        first = int(windows.audio_start[number])
        heard = windows.audio[first : first + steps][:, 0]
        times = start + np.arange(steps) * STEP + SEEN / 2
        inner = np.abs((times / SLOT + 0.5) % 1 - 0.5) * SLOT > SEEN / 2 + 0.005  # one pitch alone
        pitches = np.array([clip.pitch(time) for time in times])
        looked += int(inner.sum())
        wrong += int((heard != pitches)[inner].sum())
    return looked, wrong


@pytest.mark.parametrize(
    ("frames", "least"), [(70, 30_000), pytest.param(240, 100_000, marks=pytest.mark.slow)]
)
def test_every_position_of_every_window_is_right(tmp_path, readers, frames, least):
    clips = plan(frames)
    write(tmp_path / "tree", clips)
    planted = {clip.id: clip for clip in clips}
    e = preset("demo", data=str(tmp_path / "tree"), window=20, stride=5, **SETTINGS)
    read = clips_of(e, ("train", "validation", "test"), progress=False)
    assert {clip.id for clip in read} == set(planted)
    looked, wrong = 0, 0
    for part in FrameSets(e, read):
        more = wrong_positions(part, planted, 20)
        looked, wrong = looked + more[0], wrong + more[1]
    assert wrong == 0 and looked > least, f"{wrong} of {looked:,} positions are wrong"
    training = window_set(
        e, [clip for clip in read if clip.split == "train"], protocol="window", progress=False
    )
    labels = [planted[training.clips[row].id] for row in training.clip]
    ends = training.end.tolist()
    shown = [clip.label(clip.image(end)) for clip, end in zip(labels, ends, strict=True)]
    assert training.label.tolist() == shown and len(shown) > 50


def test_a_shift_of_one_frame_would_be_seen(tmp_path, readers):
    clips = plan(70)
    write(tmp_path / "tree", clips)
    e = preset("demo", data=str(tmp_path / "tree"), window=20, **SETTINGS)
    read = clips_of(e, ("validation",), progress=False)
    part = next(iter(FrameSets(e, read)))
    planted = {clip.id: clip for clip in clips}
    part.end[:] = part.end - 1
    looked, wrong = wrong_positions(part, planted, 20)
    assert wrong > looked / 4


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["emolib", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as stopped:
            code = stopped.code or 0
        out, err = capsys.readouterr()
        assert code == 0, err
        return out

    return run


def test_doctor_extract_train_evaluate_and_submit(tmp_path, readers, call):
    """One frame a window, so that each frame's class can be said and has to be right."""
    clips = plan(70, seed=1)
    tree, out = str(tmp_path / "tree"), tmp_path / "submission.txt"
    write(tmp_path / "tree", clips)
    changes = {**SETTINGS, "window": 1, "stride": 2}
    settings = ",".join(f"{name}={value}" for name, value in changes.items())
    options = ["--data", tree, "--set", settings, "--quiet"]
    report = json.loads(call("doctor", tree, "--full", "--json"))
    assert report["exit_ok"], report["problems"]
    call("extract", *options)
    call("train", *options, "--name", "planted")
    result = json.loads(call("evaluate", "--run", "planted", "--quiet", "--json"))
    truth, answers = [], []
    for clip in (clip for clip in clips if clip.split == "validation"):
        frames = range(1, clip.n + clip.more + 1)
        truth += [clip.label(frame) for frame in frames]
        answers += [clip.label(clip.image(frame)) for frame in frames]
    expected = f1_score(truth, answers, average="macro")
    assert result["frame"]["macro_f1"] == pytest.approx(expected) and 0.9 < expected < 1
    call("submit", "--run", "planted", "--out", str(out), "--quiet")
    rows = out.read_text().splitlines()[1:]
    tests = [clip for clip in clips if clip.split == "test"]
    frames = [(clip, frame) for clip in tests for frame in range(1, clip.n + clip.more + 1)]
    assert rows == [f"{c.id}/{f:05d}.jpg,{c.label(c.image(f))}" for c, f in frames]
