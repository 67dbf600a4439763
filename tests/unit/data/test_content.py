"""The identity of images and videos: their content, by the rule that the module states."""

import os
import shutil
import signal

import pytest

from emolib.data import content
from emolib.data.content import content_of_file, content_of_images

pytestmark = pytest.mark.usefixtures("empty_runs")


@pytest.fixture
def images(tmp_path):
    """100 images of other bytes, written long ago as far as a record goes."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(1, 101):
        (folder / f"{number:05d}.jpg").write_bytes(bytes([number]) * 50)
    return folder


@pytest.fixture
def settled(monkeypatch):
    """What was written just now is recorded at once."""
    monkeypatch.setattr(content, "SETTLED", -1e9)


def test_the_same_bytes_elsewhere_and_at_another_time_are_the_same(tmp_path, images):
    there = shutil.copytree(images, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for path in [*there.iterdir(), there]:
        os.utime(path, (1e9, 1e9))
    assert content_of_images(there) == content_of_images(images) != ""
    (images / "00100.jpg").rename(tmp_path / "video.mp4")
    shutil.copyfile(tmp_path / "video.mp4", tmp_path / "copy.mp4")
    assert content_of_file(tmp_path / "video.mp4") == content_of_file(tmp_path / "copy.mp4") != ""


@pytest.mark.parametrize("number", [1, 100])
def test_a_sampled_image_of_other_bytes_and_equal_size_is_noticed(images, settled, number):
    before = content_of_images(images)
    status = images.stat()
    (images / f"{number:05d}.jpg").write_bytes(b"\xff" * 50)
    os.utime(images, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_of_images(images) != before


def test_at_least_sixteen_images_are_sampled(images, settled):
    before, noticed = content_of_images(images), 0
    for path in sorted(images.iterdir()):
        kept = path.read_bytes()
        path.write_bytes(b"\xff" * 50)
        noticed += content_of_images(images) != before
        path.write_bytes(kept)
        assert content_of_images(images) == before
    assert noticed == content.SAMPLED == 16


def test_the_documented_limit(images, settled):
    """An image outside the sample with as many other bytes is not noticed,
    one of another size with any change beside it.
    """
    before = content_of_images(images)
    (images / "00002.jpg").write_bytes(b"\xff" * 50)
    assert content_of_images(images) == before
    (images / "00002.jpg").write_bytes(b"\xff" * 51)
    assert content_of_images(images) == before
    (images / "note.txt").write_text("the folder changes")
    assert content_of_images(images) != before


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_other_names_are_noticed(images, settled, change):
    before = content_of_images(images)
    if change == "added":
        (images / "00101.jpg").write_bytes(b"x")
    elif change == "removed":
        (images / "00050.jpg").unlink()
    else:
        (images / "00050.jpg").rename(images / "00200.jpg")
    assert content_of_images(images) != before


def test_an_unchanged_tree_is_not_read_again_and_a_changed_clock_reads_once(
    images, settled, monkeypatch
):
    read, reads = content._read_images, []
    monkeypatch.setattr(content, "_read_images", lambda path: reads.append(path) or read(path))
    before = content_of_images(images)
    assert content_of_images(images) == before and len(reads) == 1
    os.utime(images / "00001.jpg", (1e9, 1e9))
    assert content_of_images(images) == content_of_images(images) == before and len(reads) == 2


def test_what_changed_a_moment_ago_is_read_each_time(images):
    """It could change again within one tick of the file system's clock."""
    content_of_images(images)
    assert not list(content.cache_root().rglob("*.json"))


@pytest.mark.parametrize("place", [0, 100_000, 150_000, 299_999])
def test_a_video_is_known_by_size_begin_middle_and_end(tmp_path, settled, place):
    video = tmp_path / "a.mp4"
    bytes_ = bytearray(os.urandom(300_000))
    video.write_bytes(bytes_)
    before = content_of_file(video)
    video.write_bytes(bytes_ + b"x")
    assert content_of_file(video) != before
    bytes_[place] ^= 1
    video.write_bytes(bytes_)
    assert (content_of_file(video) != before) == (place != 100_000)


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"format": 1}', b"\xff\xfe"])
def test_a_damaged_record_is_made_anew(images, settled, damage):
    before = content_of_images(images)
    (record,) = content.cache_root().rglob("*.json")
    record.write_bytes(damage)
    assert content_of_images(images) == before
    assert record.read_bytes() != damage


def test_a_record_of_another_folder_is_made_anew(tmp_path, images, settled):
    other = shutil.copytree(images, tmp_path / "other")
    (other / "00001.jpg").write_bytes(b"x")
    before = content_of_images(images)
    (record,) = content.cache_root().rglob("*.json")
    assert content_of_images(other) != before
    (of_other,) = {*content.cache_root().rglob("*.json")} - {record}
    shutil.copy(of_other, record)
    assert content_of_images(images) == before


def test_a_link_and_its_target_are_read_once(tmp_path, images, settled, monkeypatch):
    before = content_of_images(images)
    (tmp_path / "link").symlink_to(images)
    monkeypatch.setattr(content, "_read_images", None)
    assert content_of_images(tmp_path / "link") == content_of_images(images) == before


def test_what_is_not_there_has_no_content(tmp_path):
    assert content_of_images(None) == content_of_file(None) == ""
    assert content_of_images(tmp_path / "no") == content_of_file(tmp_path / "no.mp4") == ""


def test_a_pipe_is_not_waited_for(tmp_path, images):
    before = content_of_images(images)
    os.mkfifo(images / "00101.jpg")
    os.mkfifo(tmp_path / "a.mp4")
    signal.alarm(10)  # ends the process if it hangs
    assert content_of_images(images) == before
    assert content_of_file(tmp_path / "a.mp4") == ""
    signal.alarm(0)
