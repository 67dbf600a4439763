"""The processes that decode: they end with the one that asks, and when no video is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
