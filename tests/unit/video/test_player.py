"""A video in a notebook page."""

from emolib.video import player


def test_a_small_video_is_in_the_page_and_a_large_one_is_named(tmp_path, monkeypatch):
    video = tmp_path / "a<b.mp4"
    video.write_bytes(b"12345678")
    page = player.player(video, 'one "person"')
    assert 'src="data:video/mp4;base64,MTIzNDU2Nzg="' in page and "controls" in page
    assert 'aria-label="one &quot;person&quot;"' in page
    monkeypatch.setattr(player, "LARGEST", 4)
    assert player.player(video, "x").startswith("<p>a&lt;b.mp4 has")
