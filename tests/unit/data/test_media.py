"""Time is what these tests are about: a click at second t is read back at t,
for every frame rate.
"""

import hashlib
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from emolib.data import media
from emolib.errors import EmolibError, WrongCall
from tests.support.avi_files import moving, write_avi

REAL = Path("/work/shared/real/clips")
SIZE = (64, 48)


def pictures(n: int, height: int = SIZE[1], width: int = SIZE[0]):
    """Frame i is filled with grey level 10 * (i % 20) + 30."""
    for i in range(n):
        yield np.full((height, width, 3), 10 * (i % 20) + 30, np.uint8)


def clicks(at: list[float], seconds: float) -> np.ndarray:
    """Silence with a decaying 2 kHz burst at each time."""
    wave = np.zeros(round(seconds * media.SAMPLE_RATE), np.float32)
    burst = (
        0.8
        * np.exp(-np.arange(160) / 30)
        * np.sin(2 * np.pi * 2000 * np.arange(160) / media.SAMPLE_RATE)
    ).astype(np.float32)
    for time in at:
        start = round(time * media.SAMPLE_RATE)
        wave[start : start + 160] += burst[: len(wave) - start]
    return wave


def shift(original: np.ndarray, read: np.ndarray, time: float) -> float:
    """Milliseconds by which the sound around ``time`` came back late:
    the peak of the cross-correlation.
    """
    start = round(time * media.SAMPLE_RATE)
    pattern = original[start : start + 160]
    lags = np.arange(-400, 401)
    scores = [
        float(read[start + lag : start + lag + 160] @ pattern)
        if len(read) >= start + lag + 160
        else -1.0
        for lag in lags
    ]
    assert max(scores) > 0.5 * float(pattern @ pattern), "the click is not there"
    return 1000 * float(lags[int(np.argmax(scores))]) / media.SAMPLE_RATE


@pytest.mark.parametrize("rate", [12.5, 24000 / 1001, 25.0, 30000 / 1001])
def test_events_keep_their_time_at_every_frame_rate(tmp_path, rate):
    video = tmp_path / "clip.mp4"
    at = [0.1, 1.7, 3.305, 4.9]
    wave = clicks(at, 5.2)
    n = int(5.2 * rate)
    media.write_video(video, pictures(n), rate, wave, size=SIZE)
    read = media.read_waveform(video)
    assert read is not None
    assert read.dtype == np.float32
    assert abs(len(read) - len(wave)) <= 1024
    assert max(abs(shift(wave, read, time)) for time in at) <= 1.0
    times = media.frame_times(video)
    np.testing.assert_allclose(times, np.arange(n) / rate, atol=1e-6)
    np.testing.assert_allclose([time for _, time, _ in media.read_frames(video)], times, atol=1e-9)


def test_variable_rate_keeps_times_and_sound(tmp_path):
    video = tmp_path / "clip.mp4"
    # Its own clock starts at 3 s.
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.2, 40)) + 3.0
    wave = clicks([0.5, 2.5], 4.0)
    media.write_video(video, pictures(40), times, wave, size=SIZE)
    np.testing.assert_allclose(media.frame_times(video), times - times[0], atol=1 / 90_000)
    read = media.read_waveform(video)
    assert read is not None
    assert max(abs(shift(wave, read, time)) for time in (0.5, 2.5)) <= 1.0
    for number, _, image in media.read_frames(video):
        assert abs(image.mean() - (10 * ((number - 1) % 20) + 30)) < 4


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(24000, 1001)])
@pytest.mark.parametrize(
    ("codec", "b_frames", "dropped"),
    [
        ("libx264", 3, ()),
        ("libx264", 0, ()),
        ("libx264", 0, (20, 21)),
        ("mpeg4", 2, ()),
        ("mpeg4", 0, ()),
        ("mpeg4", 0, (20, 21)),
    ],
)
def test_an_avi_shows_each_frame_when_its_sound_is_heard(tmp_path, codec, b_frames, dropped, rate):
    """Frame 50 is the only white one and clicks.

    AVI has no presentation times, and those that FFmpeg guesses jump.
    """
    video, wave = tmp_path / "clip.avi", clicks([float(50 / rate)], float(100 / rate))
    film = [None if number in dropped else picture for number, picture in enumerate(moving(100))]
    film[50] = np.full_like(film[50], 255)
    write_avi(video, film, rate, wave, codec=codec, b_frames=b_frames)
    with av.open(str(video)) as container:
        reordered = any(
            frame.pict_type == av.video.frame.PictureType.B for frame in container.decode(video=0)
        )
    assert reordered == (b_frames > 0)
    times = media.frame_times(video)
    np.testing.assert_allclose(
        times, [number / float(rate) for number in range(100) if number not in dropped], atol=1e-6
    )
    seen = [(time, image.mean() > 200) for _, time, image in media.read_frames(video)]
    assert [time for time, _ in seen] == times.tolist()
    assert [time for time, white in seen if white] == pytest.approx([float(50 / rate)], abs=1e-6)
    assert abs(shift(wave, media.read_waveform(video), float(50 / rate))) <= 1.0


@pytest.mark.parametrize("late", [0.6, -0.4])
def test_sound_that_starts_late_or_early_is_placed_on_the_clock_of_the_pictures(tmp_path, late):
    video, shifted = tmp_path / "clip.mp4", tmp_path / "shifted.mp4"
    wave = clicks([1.0, 2.0], 3.0)
    media.write_video(video, pictures(75), 25.0, wave, size=SIZE)
    with av.open(str(video)) as source, av.open(str(shifted), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                delay = late if packet.stream.type == "audio" else 0.0
                packet.pts += round((1 + delay) / packet.time_base)
                packet.dts += round((1 + delay) / packet.time_base)
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    read = media.read_waveform(shifted)
    assert read is not None
    moved = (
        np.concatenate([np.zeros(round(late * 16000), np.float32), wave])
        if late > 0
        else wave[round(-late * 16000) :]
    )
    assert max(abs(shift(moved, read, time + late)) for time in (1.0, 2.0)) <= 1.0


def test_late_sound_is_preceded_by_silence_in_small_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(media.sound, "SILENCE", 5000)
    video, shifted = tmp_path / "clip.mp4", tmp_path / "shifted.mkv"
    wave = clicks([0.3], 1.0)
    media.write_video(video, pictures(75), 25.0, wave, size=SIZE)
    with av.open(str(video)) as source, av.open(str(shifted), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                ticks = round((3.7 if packet.stream.type == "audio" else 0.0) / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts + ticks,
                    packet.dts + ticks,
                    streams[packet.stream.index],
                )
                target.mux(packet)
    blocks = list(media.stream_waveform(shifted))
    assert max(map(len, blocks)) <= 5000 and sum(map(len, blocks)) > 4.6 * 16000
    assert abs(shift(clicks([4.0], 5.0), np.concatenate(blocks), 4.0)) <= 1.0
    monkeypatch.setattr(media.sound, "LATEST", 2)
    with pytest.raises(EmolibError, match=r"shifted\.mkv: timestamps of the sound jump"):
        media.read_waveform(shifted)


def test_equal_input_gives_equal_bytes_and_other_input_does_not(tmp_path):
    digests = []
    for name, level in (("a", 0.0), ("b", 0.0), ("c", 0.1)):
        media.write_video(
            tmp_path / f"{name}.mp4",
            pictures(20),
            25.0,
            clicks([0.2], 0.8) + np.float32(level),
            size=SIZE,
        )
        digests.append(hashlib.sha256((tmp_path / f"{name}.mp4").read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("seconds", [0.5, 0.8, 3.0])
def test_sound_in_blocks_gives_the_bytes_of_the_whole(tmp_path, seconds):
    """Shorter than the pictures, as long, and longer;
    blocks that end anywhere, an empty one among them.
    """
    wave = (
        np.random.default_rng(3)
        .normal(0, 0.2, round(seconds * media.SAMPLE_RATE))
        .astype(np.float32)
    )
    blocks = np.split(wave, [0, 1, 700, 701, 7000])
    media.write_video(tmp_path / "whole.mp4", pictures(20), 25.0, wave, size=SIZE)
    media.write_video(tmp_path / "blocks.mp4", pictures(20), 25.0, iter(blocks), size=SIZE)
    media.write_video(tmp_path / "swapped.mp4", pictures(20), 25.0, iter(blocks[::-1]), size=SIZE)
    whole, same, other = (
        (tmp_path / f"{name}.mp4").read_bytes() for name in ("whole", "blocks", "swapped")
    )
    assert whole == same != other


def test_no_sound_is_none_and_odd_sizes_are_padded(tmp_path):
    media.write_video(tmp_path / "clip.mp4", pictures(5, 31, 33), 10.0, None, size=(33, 31))
    assert media.read_waveform(tmp_path / "clip.mp4") is None
    images = [image for _, _, image in media.read_frames(tmp_path / "clip.mp4")]
    assert [image.shape for image in images] == [(32, 34, 3)] * 5


def test_wrong_calls_leave_nothing_behind(tmp_path):
    with pytest.raises(WrongCall, match="2 frames but 3 times"):
        media.write_video(
            tmp_path / "clip.mp4", pictures(2), np.array([0.0, 0.1, 0.2]), None, size=SIZE
        )
    with pytest.raises(WrongCall, match="more frames"):
        media.write_video(
            tmp_path / "clip.mp4", pictures(4), np.array([0.0, 0.1, 0.2]), None, size=SIZE
        )
    with pytest.raises(WrongCall, match="shape"):
        media.write_video(tmp_path / "clip.mp4", pictures(2, 20, 20), 25.0, None, size=SIZE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 100])
def test_what_is_no_video_is_refused_by_name(tmp_path, content):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(content)
    for read in (media.frame_times, media.read_waveform, lambda p: list(media.read_frames(p))):
        with pytest.raises(EmolibError, match=r"bad\.mp4"):
            read(bad)
    with pytest.raises(EmolibError, match="no such file"):
        media.frame_times(tmp_path / "absent.mp4")


def test_jpeg_equals_pillow_and_damage_is_named(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=90)
    np.testing.assert_array_equal(
        media.decode_jpeg(buffer.getvalue()), np.asarray(Image.open(buffer))
    )
    for content in (buffer.getvalue()[:-400], b"", b"hello", buffer.getvalue()[200:]):
        (tmp_path / "00007.jpg").write_bytes(content)
        with pytest.raises(EmolibError, match=r"00007\.jpg"):
            media.read_jpeg(tmp_path / "00007.jpg")
    with pytest.raises(EmolibError, match="cannot be read"):
        media.read_jpeg(tmp_path / "00008.jpg")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not on this machine")
def test_real_clips():
    times = media.frame_times(REAL / "sbwe5n.mpg")
    np.testing.assert_allclose(times, np.arange(75) / 25, atol=1e-9)
    wave = media.read_waveform(REAL / "sbwe5n.mpg")
    assert wave is not None
    assert abs(len(wave) / 16_000 - 2.98) < 0.06
    assert 0.001 < float(np.sqrt((wave**2).mean())) < 0.5
    variable = media.frame_times(REAL / "face_noface.mov")
    assert len(variable) == 169
    assert np.ptp(np.diff(variable)) > 0.01
    assert len(list(media.read_frames(REAL / "single_face.mp4"))) == 72


def test_a_cover_picture_is_no_video(tmp_path):
    media.write_video(tmp_path / "plain.mp4", pictures(6), 25.0, clicks([0.1], 0.24), size=SIZE)
    media.write_video(tmp_path / "silent.mp4", pictures(6), 25.0, None, size=SIZE)
    for name in ("plain", "silent"):
        with_cover(tmp_path / f"{name}.mp4", tmp_path / f"{name}_cover.mp4")
        assert [image.shape for *_, image in media.read_frames(tmp_path / f"{name}_cover.mp4")] == [
            (SIZE[1], SIZE[0], 3)
        ] * 6
    with_cover(tmp_path / "plain.mp4", tmp_path / "sound.mp4", keep="audio")
    with pytest.raises(EmolibError, match=r"sound\.mp4: holds no pictures"):
        media.frame_times(tmp_path / "sound.mp4")
    wave = media.read_waveform(tmp_path / "sound.mp4")
    assert wave is not None
    assert np.abs(wave).max() > 0.3


def with_cover(video: Path, to: Path, keep: str = "video audio") -> None:
    """The streams of ``video`` beside a cover picture of another size."""
    with av.open(str(video)) as source, av.open(str(to), "w") as container:
        cover = container.add_stream("mjpeg", rate=1, options={"strict": "unofficial"})
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        streams = {
            stream: container.add_stream_from_template(stream)
            for stream in source.streams
            if stream.type in keep.split()
        }
        frame = av.VideoFrame.from_ndarray(
            np.full((32, 32, 3), 200, np.uint8), format="rgb24"
        ).reformat(format="yuvj420p")
        container.mux(cover.encode(frame))
        container.mux(cover.encode(None))
        for packet in source.demux(*streams):
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                container.mux(packet)


@pytest.mark.parametrize("rates", [(16_000, 16_000), (16_000, 44_100), (44_100, 16_000)])
def test_recordings_joined_end_to_end_keep_their_sound(tmp_path, rates):
    parts = []
    for number, (rate, click) in enumerate(zip(rates, (1.0, 2.0), strict=True)):
        transport_stream(tmp_path / f"{number}.ts", rate, 3.0, click)
        parts.append((tmp_path / f"{number}.ts").read_bytes())
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    times = media.frame_times(tmp_path / "joined.ts")
    np.testing.assert_allclose(times, np.arange(150) / 25, atol=1e-6)
    wave = media.read_waveform(tmp_path / "joined.ts")
    assert wave is not None
    loud = np.flatnonzero(np.abs(wave) > 0.3) / media.SAMPLE_RATE
    np.testing.assert_allclose(
        [loud[loud < 3].min(), loud[loud < 3].max(), loud[loud > 3].min(), loud[loud > 3].max()],
        [1.0, 1.01, 5.0, 5.01],
        atol=0.04,
    )


def transport_stream(path: Path, rate: int, seconds: float, click: float) -> None:
    """25 frames/s and sound at ``rate`` Hz, silent but for 10 ms at ``click`` seconds;
    its clock begins anew in each file.
    """
    wave = np.zeros(round(seconds * rate))
    start, length = round(click * rate), rate // 100
    wave[start : start + length] = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(length) / rate)
    with av.open(str(path), "w", format="mpegts") as container:
        video, sound = (
            container.add_stream("mpeg2video", rate=25),
            container.add_stream("mp2", rate=rate, layout="mono"),
        )
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        for number, image in enumerate(pictures(round(seconds * 25))):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
        block = av.AudioFrame.from_ndarray(
            np.rint(wave * 32767).astype(np.int16)[None], format="s16", layout="mono"
        )
        block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
        for packets in (video.encode(None), sound.encode(block), sound.encode(None)):
            container.mux(packets)
