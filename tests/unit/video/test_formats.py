"""Files of any container, odd and malformed ones, and videos that a phone holds sideways."""

import av
import numpy as np
import pytest

from emolib.data import media
from emolib.errors import EmolibError
from emolib.video import outputs
from emolib.video.outputs import collect
from tests.support.videos import (
    bytes_to,
    damaged,
    encode,
    folder_of,
    forbidden,
    go,
    jpeg,
    link_to,
    make_video,
    no_packets,
    only_sound,
    rows_of,
)

CONTAINERS = {
    ".mp4": "mpeg4",
    ".mov": "mpeg4",
    ".mkv": "mpeg4",
    ".avi": "mpeg4",
    ".webm": "libvpx",
    ".mpg": "mpeg1video",
    ".mpeg": "mpeg2video",
    ".m4v": "mpeg4",
    ".wmv": "wmv2",
    ".flv": "flv",
    ".ts": "mpeg2video",
    ".3gp": "mpeg4",
    ".mts": "mpeg2video",
    ".m2ts": "mpeg2video",
    ".vob": "mpeg2video",
    ".asf": "wmv2",
    ".3g2": "mpeg4",
    ".mxf": "mpeg2video",
    ".ogv": "libtheora",
}


@pytest.mark.parametrize("suffix", outputs.VIDEO_SUFFIXES)
def test_every_kind_of_file_that_a_folder_gives_can_be_read(tmp_path, suffix):
    if CONTAINERS[suffix] not in av.codecs_available:
        pytest.skip(f"this FFmpeg cannot write {CONTAINERS[suffix]}")
    video = encode(tmp_path / f"video{suffix}", CONTAINERS[suffix])
    assert list(collect([tmp_path], pytest.fail)) == [video]
    # Theora leaves out frames that are as the last one.
    assert len(list(media.read_frames(video))) == 12 or suffix == ".ogv"


# name -> (maker, number of rows; None: it must fail)
ODD = {
    "zero bytes": (lambda f: bytes_to(f / "zero.mp4", b""), None),
    "text": (lambda f: bytes_to(f / "text.mp4", b"a text\n" * 100), None),
    "page": (
        lambda f: bytes_to(
            f / "download.mp4", b"<!DOCTYPE html><html><body>Not found</body></html>"
        ),
        None,
    ),
    "WAV header": (
        lambda f: bytes_to(
            f / "wave.mp4",
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0}\0\0\2\0\x10\0data\0\0\0\0",
        ),
        None,
    ),
    "first kilobyte": (lambda f: damaged(f / "start.mp4", "first kilobyte"), None),
    "no packets": (lambda f: no_packets(f / "empty.mkv"), None),
    "pictures zeroed": (lambda f: damaged(f / "zeroed.mp4", "pictures"), None),
    "half a picture": (
        lambda f: bytes_to(f / "photo.jpg", jpeg(f / "whole.jpg").read_bytes()[:700]),
        None,
    ),
    "rubbish after": (lambda f: damaged(f / "after.mp4", "rubbish after"), 60),
    "twice in a row": (lambda f: damaged(f / "twice.mp4", "twice"), 60),
    "folder named like a video": (lambda f: folder_of(f / "trip.mp4"), None),
    "no reading": (lambda f: forbidden(f / "secret.mp4"), None),
    "broken link": (lambda f: link_to(f / "gone.mp4", f / "nowhere.mp4"), None),
    "link": (lambda f: link_to(f / "linked.mp4", make_video(f / "there" / "video.mp4", 10)), 10),
    "random bytes": (
        lambda f: bytes_to(f / "noise.mp4", np.random.default_rng(5).bytes(20000)),
        None,
    ),
    "absent": (lambda f: f / "absent.mp4", None),
    "only sound": (lambda f: only_sound(f / "sound.mp4"), None),
    "index lost": (lambda f: damaged(f / "header.mp4", "header"), None),
    "cut in half": (lambda f: damaged(f / "half.mp4", "half"), None),
    "corrupt middle": (lambda f: damaged(f / "middle.mp4", "middle"), 56),
    "cut before the end": (
        lambda f: damaged(
            f / "late.mkv", "half", made=encode(f / "late.mkv", "mpeg4", n=60, fmt="matroska")
        ),
        24,
    ),
    "one frame": (lambda f: make_video(f / "one.mp4", 1), 1),
    "one frame without sound": (lambda f: make_video(f / "one.mp4", 1, sound=False), 1),
    "two frames": (lambda f: make_video(f / "two.mp4", 2), 2),
    "tiny": (lambda f: make_video(f / "tiny.mp4", 10, size=(2, 2), faces=lambda i: []), 10),
    "odd size": (lambda f: make_video(f / "odd.mp4", 10, size=(161, 97)), 10),
    "4K": (
        lambda f: make_video(
            f / "big.mp4", 3, size=(3840, 2160), faces=lambda i: [(1000, 600, 900)]
        ),
        3,
    ),
    "portrait": (lambda f: make_video(f / "portrait.mp4", 10, size=(90, 160)), 10),
    "very slow": (lambda f: make_video(f / "slow.mp4", 8, times=np.arange(8) * 1.7), 8),
    "very fast": (lambda f: make_video(f / "fast.mp4", 60, times=240.0), 60),
    "AVI": (lambda f: encode(f / "old.avi", "mpeg4"), 12),
    "MPEG": (lambda f: encode(f / "old.mpg", "mpeg1video"), 12),
    "Matroska named MP4": (lambda f: encode(f / "lie.mp4", "mjpeg", fmt="matroska"), 12),
    "without suffix": (lambda f: encode(f / "video", "mpeg4", fmt="matroska"), 12),
    "a picture": (lambda f: jpeg(f / "photo.jpg"), 1),
    "odd name": (lambda f: make_video(f / "ein Film, äöü 'x' %d.mp4", 5), 5),
}


FACELESS = {"tiny", "corrupt middle"}  # in some of their frames no face can be seen


@pytest.mark.parametrize("name", ODD)
def test_odd_inputs_end_in_rows_or_one_clear_line(tmp_path, run, squares, name):
    make, expected = ODD[name]
    video = make(tmp_path)
    try:
        (summary,), _ = go(video, run, tmp_path / "out", detector=squares)
    except EmolibError as error:
        assert expected is None, error
        message = str(error).replace(str(tmp_path), "")
        assert (
            video.name in message
            and "\n" not in message
            and len(message) < 300
            and "Errno" not in message
        )
        assert not (tmp_path / "out" / video.stem).exists()
    else:
        assert expected is not None
        rows = rows_of(tmp_path / "out", video)
        assert len(rows) == summary["frames"] == expected
        assert (np.diff(rows["time"]) > 0).all() and rows["time"][0] == 0
        assert rows["face"].all() == (name not in FACELESS)


def test_twenty_odd_inputs_are_malformed():
    """Those that are odd but whole do not count."""
    whole = {
        "one frame",
        "one frame without sound",
        "two frames",
        "tiny",
        "odd size",
        "4K",
        "portrait",
        "very slow",
        "very fast",
        "AVI",
        "MPEG",
    }
    whole |= {"Matroska named MP4", "without suffix", "a picture", "odd name", "link"}
    assert whole <= set(ODD) and len(set(ODD) - whole) >= 20


def test_a_phone_video_is_turned_upright(tmp_path, run, squares):
    """A display matrix of 90 degrees, as phones write it,
    patched into the track header of a landscape video.
    """
    content = bytearray(
        make_video(tmp_path / "phone.mp4", 10, faces=lambda i: [(10, 20, 50)]).read_bytes()
    )
    unity = b"".join(
        value.to_bytes(4, "big") for value in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    )
    quarter = b"".join(
        value.to_bytes(4, "big") for value in (0, 0x10000, 0, 0xFFFF0000, 0, 0, 0, 0, 0x40000000)
    )
    place = content.index(unity, content.index(b"tkhd"))
    content[place : place + 36] = quarter
    (tmp_path / "phone.mp4").write_bytes(content)
    (summary,), _ = go(tmp_path / "phone.mp4", run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", tmp_path / "phone.mp4")
    assert summary["size"] == [120, 160] and rows["face"].all()
    # The picture is turned clockwise: x = 120 - 20 - 50.
    assert np.abs(rows[["x", "y"]].to_numpy(float) - [50, 10]).max() <= 2
