"""The faces and the sound of a window, against what was put into the clip."""

import numpy as np
import pytest

from emolib.results import window_media
from emolib.results.window_media import window_media as media_of


class Clip:
    """Ten frames of 0.1 s; frame i's image is the number i."""

    video = "sound"

    def __init__(self, missing: tuple[int, ...]) -> None:
        self.face_present = np.array([i not in missing for i in range(1, 11)])

    def image(self, frame: int) -> int:
        assert self.face_present[frame - 1]
        return frame

    def span(self, first: int, last: int) -> tuple[float, float]:
        return (first - 1) / 10, last / 10


@pytest.mark.parametrize(
    ("missing", "expected"),
    [((), [3, 4, 5, 6]), ((5,), [3, 4, 4, 6]), ((3, 4), [5, 5, 5, 6])],
    ids=["all", "a gap repeats", "a gap at the begin"],
)
def test_faces_and_sound_of_the_window(monkeypatch, missing, expected):
    sound = np.arange(16000, dtype=np.int16)
    monkeypatch.setattr(window_media, "waveform", lambda video: sound)
    monkeypatch.setattr(window_media.media, "read_jpeg", lambda path: path)
    seen = media_of(Clip(missing), 6, 4)
    assert seen.faces == expected
    assert len(seen.sound) == 6400 and seen.sound[0] == pytest.approx(3200 / 32768)
