"""What cameras and networks do to videos, each kind with two members."""

from pathlib import Path

import numpy as np
import pytest

from emolib.data import media
from emolib.errors import EmolibError
from emolib.video import reading
from tests.support.damaged_videos import count_frames, later, noise, rewrite, write
from tests.support.videos import go, make_video, rows_of, tone


def predicted(tmp_path, run, squares, video, **options):
    """(rows, summary, last line) of one video."""
    (summary,), lines = go(video, run, tmp_path / "out", detector=squares, **options)
    rows = rows_of(tmp_path / "out", video)
    assert (np.diff(rows["time"]) > 0).all() and rows["time"][0] == 0
    assert len(rows) == summary["frames"]
    return rows, summary, lines[-1]


@pytest.mark.parametrize(
    ("codec", "layout"), [("aac", "7.1"), ("pcm_s16le", "7.1"), ("aac", "5.1"), ("flac", "quad")]
)
def test_sound_of_many_channels_is_heard(tmp_path, run, squares, codec, layout):
    video = write(tmp_path / "surround.mkv", 40, sound=codec, layout=layout)
    rows, summary, _ = predicted(tmp_path, run, squares, video)
    assert summary["sound"] == "present" and (rows["modality"] == "face+voice").all()
    heard, expected = media.read_waveform(video), tone(1.6)
    middle = slice(8000, 16000)
    loudness = np.sqrt(np.mean(heard[middle] ** 2)) / np.sqrt(np.mean(expected[middle] ** 2))
    assert loudness == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("gap", [3600.0, 1e6])
@pytest.mark.parametrize("faces", ["tracked", "whole"])
def test_a_gap_in_time_makes_no_frame_long(tmp_path, run, squares, gap, faces):
    whole = write(tmp_path / "whole.mkv", 60, sound="pcm_s16le")

    def change(packet, number):
        if packet.pts * packet.time_base >= 1.2:
            later(packet, gap)

    video = rewrite(whole, tmp_path / "gap.mkv", change)
    rows, summary, _ = predicted(tmp_path, run, squares, video, faces=faces, annotate=True)
    assert summary["gaps"] == 1 and rows["class"].notna().all()
    assert rows["time"].diff().max() == pytest.approx(gap + 0.04, abs=0.01)
    assert rows["track"].nunique() == (2 if faces == "tracked" else 1)
    assert summary["sound_seconds"] == pytest.approx(2.4, abs=0.2)
    annotated = tmp_path / "out" / "gap" / "annotated.mp4"
    assert len(media.frame_times(annotated)) == 60
    assert media.frame_times(annotated)[-1] < 5
    assert len(media.read_waveform(annotated)) < 6 * media.SAMPLE_RATE


@pytest.mark.parametrize(("codec", "least"), [("mpeg4", 58), ("libx264", 40)])
def test_a_damaged_packet_of_the_pictures_loses_what_the_decoder_loses(
    tmp_path, run, squares, codec, least
):
    """H.264 shows nothing until the next key frame, the older codec goes on at once."""
    whole = write(tmp_path / "whole.mkv", 60, codec=codec, sound="pcm_s16le")
    video = rewrite(
        whole,
        tmp_path / "hurt.mkv",
        lambda packet, number: (
            noise(packet)[:5] if packet.stream.type == "video" and number in (20, 21) else None
        ),
    )
    rows, summary, line = predicted(tmp_path, run, squares, video)
    assert least <= len(rows) == count_frames(video) < 60
    lost = summary["damage"]["pictures_packets_lost"]
    assert lost >= 1 and f"{lost} damaged packets of the pictures were left out" in line
    assert (rows["modality"] == "face+voice").all()


@pytest.mark.parametrize("codec", ["aac", "flac"])
def test_damaged_sound_leaves_the_pictures_whole(tmp_path, run, squares, codec):
    whole = write(tmp_path / "whole.mkv", 75, sound=codec)
    video = rewrite(
        whole,
        tmp_path / "hurt.mkv",
        lambda packet, number: (
            noise(packet)
            if packet.stream.type == "audio" and packet.pts * packet.time_base > 1.2
            else None
        ),
    )
    rows, summary, line = predicted(tmp_path, run, squares, video)
    assert len(rows) == 75 and rows["class"].notna().all()
    assert rows["modality"][0] == "face+voice"
    lost = summary["damage"]["sound_packets_lost"]
    assert lost > 0 and f"{lost} damaged packets of the sound were left out" in line
    if summary["sound_seconds"] < 2:  # the decoder gave nothing back from there on
        assert rows["modality"][74] == "face"


@pytest.mark.parametrize("name", ["cut.mkv", "cut.avi", "cut.flv"])
def test_a_cut_file_says_that_it_is_cut(tmp_path, run, squares, name):
    codec = "flv" if name.endswith("flv") else "mpeg4"
    content = write(tmp_path / f"whole_{name}", 75, codec=codec).read_bytes()
    (tmp_path / name).write_bytes(content[: round(0.7 * len(content))])
    rows, summary, line = predicted(tmp_path, run, squares, tmp_path / name)
    assert 10 < len(rows) < 62 and summary["damage"]["cut"]
    assert summary["damage"]["missing_seconds"] == pytest.approx(3 - len(rows) / 25, abs=0.3)
    assert "the file is cut" in line


@pytest.mark.parametrize("name", ["whole.mkv", "whole.avi", "whole.mp4"])
def test_a_whole_file_is_neither_cut_nor_stopped(tmp_path, run, squares, name):
    video = write(tmp_path / name, 30, sound="pcm_s16le" if name == "whole.avi" else "aac")
    _, summary, line = predicted(tmp_path, run, squares, video)
    damage = summary["damage"]
    assert not damage["cut"] and "cut" not in line and summary["sound"] == "present"
    assert damage["pictures_stopped"] is damage["sound_stopped"] is None


@pytest.mark.parametrize("name", ["repeats.mkv", "repeats.avi"])
def test_empty_packets_that_repeat_a_frame_end_nothing(tmp_path, run, squares, name):
    whole = write(tmp_path / f"whole_{name}", 60, keyframes=60)
    video = rewrite(
        whole, tmp_path / name, lambda packet, number: b"" if number % 10 == 9 else None
    )
    rows, _, _ = predicted(tmp_path, run, squares, video)
    assert len(rows) >= 50 and rows["class"].notna().all()
    assert rows["time"].iloc[-1] == pytest.approx(58 / 25, abs=0.06)


@pytest.mark.parametrize("name", ["same.mkv", "same.mp4"])
def test_frames_of_equal_timestamps_all_have_rows_and_stay_in_time(tmp_path, run, squares, name):
    whole = write(
        tmp_path / f"whole_{name}", 60, sound="aac" if name == "same.mp4" else "pcm_s16le"
    )

    def change(packet, number):
        if packet.stream.type == "video" and number % 2:
            earlier = -0.04 if name == "same.mkv" else -0.04 + float(packet.time_base)
            later(packet, earlier)

    video = rewrite(whole, tmp_path / name, change)
    rows, _, _ = predicted(tmp_path, run, squares, video, annotate=True)
    assert len(rows) == 60
    assert rows["time"][58] == pytest.approx(58 / 25, abs=0.01)
    assert len(media.frame_times(tmp_path / "out" / "same" / "annotated.mp4")) == 60


@pytest.mark.parametrize("name", ["12:30:05.mkv", "http:video.mp4"])
def test_a_name_may_hold_a_colon(tmp_path, run, squares, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = make_video(tmp_path / "plain.mp4", 20)
    made.rename(tmp_path / name)
    rows, _, _ = predicted(tmp_path, run, squares, tmp_path / name, annotate=True)
    assert len(rows) == 20
    frames = list(reading.read_frames(Path(name)))  # relative: nothing stands before the colon
    assert len(frames) == 20


@pytest.mark.parametrize("name", ["late.mkv", "late.ts"])
def test_a_start_offset_is_in_the_summary(tmp_path, run, squares, name):
    codec = "mpeg2video" if name.endswith("ts") else "mpeg4"
    whole = write(tmp_path / f"whole_{name}", 30, codec=codec)
    before = media.StreamReport()
    list(media.read_frames(whole, before))
    video = rewrite(whole, tmp_path / name, lambda packet, number: later(packet, 7.5))
    _, summary, _ = predicted(tmp_path, run, squares, video)
    assert summary["start_offset"] == pytest.approx(before.start + 7.5, abs=1.5)
    assert summary["start_offset"] > 7


def test_a_decoder_that_dies_takes_only_its_video(tmp_path, run, squares, monkeypatch):
    """The process is ended from outside, in the middle of a video and before its first frame."""
    videos = [make_video(tmp_path / f"{name}.mp4", 30) for name in "abc"]
    receive = reading._Decoder.receive
    seen = []

    def dying(decoder, seconds=reading.STALL):
        seen.append(decoder)
        if len(seen) == 10:
            decoder.process.kill()
        return receive(decoder, seconds)

    monkeypatch.setattr(reading._Decoder, "receive", dying)
    summaries, lines = go(videos, run, tmp_path / "out", detector=squares)
    first, second, third = (summary["damage"]["pictures_stopped"] for summary in summaries)
    assert "the decoder crashed" in first and second is third is None
    assert summaries[0]["frames"] < 30 == summaries[1]["frames"] == summaries[2]["frames"]
    assert "could not be read to the end (the decoder crashed" in lines[1]


def test_a_decoder_that_hangs_is_ended(tmp_path, monkeypatch):
    video = make_video(tmp_path / "a.mp4", 30)
    decoder = reading._Decoder()
    monkeypatch.setattr(reading, "_idle", [decoder])
    decoder.ask = lambda request: None  # never answered
    monkeypatch.setattr(reading._Decoder.receive, "__defaults__", (0.5,))
    with pytest.raises(EmolibError, match=r"a\.mp4: the decoder gave nothing for"):
        list(reading.read_frames(video))
    assert decoder.process.poll() is not None and not reading._idle
