"""The processes that decode: they end with the one that asks, and when no video is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from emolib.data import media
from emolib.video import predict, reading
from emolib.video.predictor import Predictor
from tests.support.videos import make_video

# The sleeper holds the decoder's input open, as any other child may: it never ends.
ASKS = """
import subprocess, sys, time
from emolib.video import reading
decoder = reading._Decoder()
inherited = [decoder.process.stdin.fileno()]
sleeper = subprocess.Popen(["sleep", "300"], pass_fds=inherited, stdout=subprocess.DEVNULL)
print(decoder.process.pid, sleeper.pid, flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="module", autouse=True)
def one_decoder():
    """As it is outside these tests: a decoder ends with the call that started it."""


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc tells who lives")
def test_a_decoder_ends_with_the_process_that_asks(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", ASKS], stdout=subprocess.PIPE, text=True)
    decoder, sleeper = map(int, parent.stdout.readline().split())
    try:
        assert lives(decoder)
        parent.kill()
        parent.communicate()
        until = time.monotonic() + 60
        while lives(decoder) and time.monotonic() < until:
            time.sleep(0.05)
        assert not lives(decoder)
    finally:
        os.kill(sleeper, signal.SIGKILL)


def test_no_decoder_waits_when_the_last_video_is_done(tmp_path, monkeypatch):
    decoder = reading._Decoder()
    monkeypatch.setattr(reading, "_idle", [decoder])

    class Origin(reading.ReadsVideos):
        origin = ""

    monkeypatch.setattr(predict.Options, "load", lambda *_: Origin())
    monkeypatch.setattr(predict, "collect", lambda *_, **__: [])
    assert list(predict.results([], tmp_path, None, predict.Options())) == []
    assert decoder.process.poll() is not None and not reading._idle


def test_a_predictor_ends_its_decoder_when_it_is_closed(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 5)
    with Predictor.load(run, squares) as predictor:
        predictor.observe(video, progress=False)
        (decoder,) = reading._idle
        assert decoder.process.poll() is None
    assert decoder.process.poll() is not None and not reading._idle
    predictor.observe(video, progress=False)  # a new process
    predictor.close()
    predictor.close()
    assert not reading._idle


def seen(video, **options):
    return [image.copy() for *_, image in reading.read_frames(video, **options)]


def test_one_decoder_shows_videos_of_any_size_as_they_are(tmp_path):
    """Pictures lie in turn in few places, which grow with the largest video."""
    sizes = {"small": (64, 48), "large": (320, 240), "odd": (90, 50)}
    for name, size in sizes.items():
        video = make_video(tmp_path / f"{name}.mp4", 7, size=size, faces=lambda i: [(3 * i, 5, 20)])
        images = [image for *_, image in media.read_frames(video)]
        assert len({image.tobytes() for image in images}) == 7
        np.testing.assert_array_equal(seen(video), images)
        turned = [np.rot90(image, -1) for image in images]
        np.testing.assert_array_equal(seen(video, rotate=90), turned)
    assert len(reading._idle) == 1
    reading.end_idle()


def test_a_picture_may_be_read_until_the_next_one_is_asked_for(tmp_path):
    video = make_video(tmp_path / "video.mp4", 6)
    frames = reading.read_frames(video)
    pictures = []
    for _, _, image in frames:
        before = image.copy()
        time.sleep(0.1)  # the decoder goes on
        np.testing.assert_array_equal(image, before)
        with pytest.raises(ValueError, match="read-only"):
            image[0] = 0
        pictures.append(image)
    assert np.shares_memory(pictures[0], pictures[2]), "no memory is taken anew"
    assert not np.shares_memory(pictures[0], pictures[1])


def test_the_next_video_is_read_after_one_that_was_left_in_the_middle(tmp_path):
    left, whole = make_video(tmp_path / "a.mp4", 20), make_video(tmp_path / "b.mp4", 9)
    frames = reading.read_frames(left)
    next(frames)
    frames.close()
    assert len(seen(whole)) == 9


def test_a_decoder_that_died_before_a_picture_was_given_back_is_closed_in_peace():
    decoder = reading._Decoder()
    decoder.process.kill()
    decoder.process.wait()
    decoder.give_back()  # stays unsent
    decoder.close()
    assert decoder.process.stdin.closed and decoder.file.closed
