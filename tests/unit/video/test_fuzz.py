"""Byte flips and cuts over four containers: no crash, no hang, and what FFmpeg decodes is read."""

import av
import numpy as np
import pytest

from emolib.data import media
from emolib.errors import EmolibError
from emolib.video import reading
from tests.support.damage import hurt
from tests.support.damaged_videos import count_frames, write

CONTAINERS = {".mkv": "mpeg4", ".mp4": "libx264", ".avi": "mpeg4", ".ts": "mpeg2video"}
SOUND = {".mkv": "aac", ".mp4": "aac", ".avi": "pcm_s16le", ".ts": "mp2"}


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("count", [6, pytest.param(125, marks=pytest.mark.slow)])
def test_hurt_files_give_what_ffmpeg_decodes(tmp_path, suffix, count):
    whole = write(tmp_path / f"whole{suffix}", 30, codec=CONTAINERS[suffix], sound=SOUND[suffix])
    content, rng = whole.read_bytes(), np.random.default_rng(11)
    read_any = 0
    for number in range(count):
        video = tmp_path / f"{number}{suffix}"
        video.write_bytes(hurt(content, rng))
        try:
            expected = count_frames(video)
        except (av.FFmpegError, IndexError):  # FFmpeg cannot open it, or it has no pictures
            expected = 0
        report, sound_report = media.StreamReport(), media.StreamReport()
        try:
            times = [time for _, time, _ in reading.read_frames(video, report)]
            samples = sum(len(block) for _, block in reading.read_sound(video, sound_report))
        except EmolibError as error:
            assert expected == 0 or video.name in str(error)
            times, samples = [], 0
        assert "decoder" not in report.stopped + sound_report.stopped
        assert len(times) >= 0.9 * expected and (np.diff(times) > 0).all()
        assert samples < 10 * media.SAMPLE_RATE
        read_any += bool(times)
    assert read_any >= count / 3
