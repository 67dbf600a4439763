"""Media files that are made to hurt: nothing hangs, nothing but the file itself is opened,
memory stays bounded.
"""

import os
import shutil
import signal
import wave

import av
import numpy as np
import pytest
import simplejpeg

from emolib.data import media
from emolib.errors import EmolibError

SIZE = (16, 16)


@pytest.fixture(autouse=True)
def no_hang():
    """Ten seconds are a hang."""

    def stop(*_):
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def video(path, frames=6):
    images = (np.full((16, 16, 3), 40 * i, np.uint8) for i in range(frames))
    media.write_video(path, images, 25.0, np.full(4000, 0.1, np.float32), size=SIZE)
    return path


def claims(width: int, height: int) -> bytes:
    """A small JPEG whose header claims another size."""
    content = bytearray(simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8)))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(content)


READS = {
    "times": media.frame_times,
    "frames": lambda path: list(media.read_frames(path)),
    "waveform": media.read_waveform,
    "length of the sound": lambda path: media.sound_seconds(path, decode=False),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_is_refused_at_once(tmp_path, read, kind):
    path = tmp_path / "a.mp4"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(EmolibError, match=r"a\.mp4: a folder, pipe or device"):
        read(path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_an_image_that_is_no_file_is_refused_at_once(tmp_path, kind):
    path = tmp_path / "00001.jpg"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(EmolibError, match=r"00001\.jpg: a folder, pipe or device"):
        media.read_jpeg(path)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("name", ["talk: part 1.mp4", "http:a.mp4", "concat:a|b.mp4", "-i.mp4"])
def test_a_name_is_a_name_and_no_address(tmp_path, monkeypatch, read, name):
    expected = read(video(tmp_path / "plain.mp4"))
    shutil.copy(tmp_path / "plain.mp4", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, type(tmp_path)(name)):
        result = read(path)
        assert str(result) == str(expected)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile link.mp4\n",
        "ffconcat version 1.0\nfile '{outside}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nlink.mp4\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    ],
    ids=["concat of a link", "concat of a path", "m3u8", "m3u8 of an address", "sdp"],
)
def test_a_list_of_other_files_is_no_video(tmp_path, read, playlist):
    outside = video(tmp_path / "outside.mp4")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link.mp4").symlink_to(outside)
    (tree / "a.mp4").write_text(playlist.format(outside=outside))
    with pytest.raises(EmolibError, match=r"a\.mp4: cannot be decoded"):
        read(tree / "a.mp4")


def peak_kilobytes() -> int:
    """The most memory that this process has held."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("size", [(65_500, 65_500), (65_500, 1_100), (8_200, 8_192)])
def test_a_jpeg_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, size):
    (tmp_path / "00001.jpg").write_bytes(claims(*size))
    before = peak_kilobytes()
    with pytest.raises(EmolibError, match=r"00001\.jpg: .* pixels, more than"):
        media.read_jpeg(tmp_path / "00001.jpg")
    assert peak_kilobytes() - before < 50_000


@pytest.mark.parametrize("rate", [1, 999])
def test_sound_of_a_rate_that_holds_no_voice_is_refused(tmp_path, rate):
    """Eight kilobytes at 1 Hz would be more than an hour, 64 million samples."""
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(8000))
    before = peak_kilobytes()
    with pytest.raises(EmolibError, match=rf"a\.wav: sound at {rate} Hz"):
        media.read_waveform(tmp_path / "a.wav")
    assert peak_kilobytes() - before < 50_000


def test_a_video_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuvj420p"
        for number in range(3):
            packet = av.Packet(claims(32_000, 32_000))
            packet.stream, packet.pts, packet.dts = stream, number, number
            packet.is_keyframe = True
            container.mux(packet)
    before = peak_kilobytes()
    with pytest.raises(EmolibError, match=r"a\.avi"):
        list(media.read_frames(path))
    assert peak_kilobytes() - before < 200_000
