"""Byte flips and cuts over four containers: no crash, no hang, and what FFmpeg decodes is read."""

import time
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from emolib.video import reading
from emolib.video.predict import Options, results
from tests.support.damage import hurt
from tests.support.damaged_videos import count_frames, write

CONTAINERS = {".mkv": "mpeg4", ".mp4": "libx264", ".avi": "mpeg4", ".ts": "mpeg2video"}
SOUND = {".mkv": "aac", ".mp4": "aac", ".avi": "pcm_s16le", ".ts": "mp2"}


def frames_of_ffmpeg(video: Path) -> int:
    """How many frames FFmpeg's decoder gives back; 0 where it cannot even open the file."""
    try:
        return count_frames(video)
    except (av.FFmpegError, IndexError):
        return 0


def peak_bytes(process: int | str) -> int:
    """The most memory that a process has held so far."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise AssertionError(f"no VmHWM in /proc/{process}/status")


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("count", [6, pytest.param(125, marks=pytest.mark.slow)])
def test_hurt_files_give_rows_for_what_ffmpeg_decodes(tmp_path, run, squares, suffix, count):
    whole = write(tmp_path / f"whole{suffix}", 30, codec=CONTAINERS[suffix], sound=SOUND[suffix])
    content, rng = whole.read_bytes(), np.random.default_rng(11)
    videos = []
    for number in range(count):
        videos.append(tmp_path / f"{number}{suffix}")
        videos[-1].write_bytes(hurt(content, rng))
    options = Options(detector=squares, timeline=False, progress=False)
    # The first video is whole: with it weights are read and the decoder starts.
    answers = results([whole, *videos], run, None, options, say=lambda line: None)
    assert len(next(answers).rows) == 30
    before = peak_bytes("self")  # other tests of this process may have taken more
    slowest, memory, begin, expected, rows = 0.0, 0, time.monotonic(), [], []
    for result in answers:
        slowest = max(slowest, time.monotonic() - begin)
        expected.append(frames_of_ffmpeg(result.video))
        table = pd.DataFrame({"time": []}) if result.rows is None else result.rows
        assert result.rows is not None or result.video.name in result.failure
        assert "unexpectedly" not in result.failure and "the decoder" not in result.failure
        assert len(table) >= 0.9 * expected[-1], result.failure
        assert (np.diff(table["time"]) > 0).all()
        if result.summary is not None:
            damage = result.summary["damage"]
            assert "the decoder" not in f"{damage['pictures_stopped']} {damage['sound_stopped']}"
            assert result.summary["sound_seconds"] < 10
        rows.append(len(table))
        decoders = [peak_bytes(decoder.process.pid) for decoder in reading._idle]
        memory = max(memory, peak_bytes("self") - before, *decoders)
        begin = time.monotonic()
    print(
        f"{suffix}: {count} files, {sum(expected)} frames by FFmpeg, {sum(rows)} rows, "
        f"{sum(map(bool, rows))} files read, slowest {slowest:.1f} s, {memory / 1e9:.2f} GB"
    )
    assert len(rows) == count and sum(map(bool, rows)) >= count / 3
    assert slowest < 20 and memory < 1.5e9
