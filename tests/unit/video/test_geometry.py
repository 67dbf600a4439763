"""Pictures upright: pixel aspect, display matrices, sizes that change, deep colours,
and videos held sideways.
"""

from fractions import Fraction

import numpy as np
import pytest

from emolib.data import media
from emolib.data.media.pictures import oriented
from emolib.errors import WrongCall
from emolib.video import reading
from tests.support.damaged_videos import write
from tests.support.videos import go, make_video, rows_of


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(16, 11), (233, 120)), (Fraction(8, 9), (160, 135))]
)
def test_pixels_that_are_not_square_are_made_square(tmp_path, run, squares, aspect, size):
    video = write(tmp_path / "wide.mkv", 30, aspect=aspect)
    (summary,), _ = go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert summary["size"] == list(size) and rows["face"].all()
    box = rows[["w", "h"]].to_numpy(float).mean(axis=0)
    assert box[0] / box[1] == pytest.approx(float(aspect), rel=0.05)


ARROW = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)


@pytest.mark.parametrize(
    ("right", "down", "expected"),
    [
        ((1, 0), (0, 1), ARROW),
        ((-1, 0), (0, -1), np.rot90(ARROW, 2)),
        ((0, 1), (-1, 0), np.rot90(ARROW, -1)),
        ((0, -1), (1, 0), np.rot90(ARROW, 1)),
        ((-1, 0), (0, 1), ARROW[:, ::-1]),
        ((1, 0), (0, -1), ARROW[::-1]),
        ((0, 1), (1, 0), ARROW.transpose(1, 0, 2)),
        ((0, -1), (-1, 0), np.rot90(ARROW.transpose(1, 0, 2), 2)),
    ],
)
def test_pictures_are_turned_and_mirrored_as_the_two_steps_say(right, down, expected):
    """The eight orientations, against NumPy's own turns."""
    assert (oriented(ARROW, np.array(right), np.array(down)) == expected).all()


@pytest.mark.parametrize(
    ("matrix", "place"),
    [
        (
            (-0x10000, 0, 0x10000),
            (160 - 10 - 50, 20),
        ),  # mirrored left to right, as front cameras do
        ((0x10000, 0, -0x10000), (10, 120 - 20 - 50)),  # upside down and mirrored
    ],
)
def test_a_mirrored_display_matrix_is_followed(tmp_path, run, squares, matrix, place):
    """Patched into the track header of an MP4: a, b and d of the matrix."""
    video = make_video(tmp_path / "selfie.mp4", 10, faces=lambda i: [(10, 20, 50)])
    content = bytearray(video.read_bytes())
    unity = b"".join(v.to_bytes(4, "big") for v in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    a, b, d = matrix
    mirrored = b"".join(
        (v & 0xFFFFFFFF).to_bytes(4, "big") for v in (a, b, 0, 0, d, 0, 0, 0, 0x40000000)
    )
    at = content.index(unity, content.index(b"tkhd"))
    content[at : at + 36] = mirrored
    video.write_bytes(content)
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert np.abs(rows[["x", "y"]].to_numpy(float) - place).max() <= 2


@pytest.mark.parametrize("second", [(320, 240), (120, 160)])
def test_a_size_that_changes_in_the_middle_keeps_the_first_ones_pixels(
    tmp_path, run, squares, second
):
    """Two streams end to end, as calls over networks are recorded."""
    parts = [
        write(tmp_path / f"{i}.ts", 30, codec="mpeg2video", size=size)
        for i, size in enumerate([(160, 120), second])
    ]
    video = tmp_path / "call.ts"
    video.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = [image.shape for *_, image in reading.read_frames(video)]
    assert set(frames) == {(120, 160, 3)} and len(frames) >= 58
    (summary,), _ = go(video, run, tmp_path / "out", detector=squares, annotate=True)
    rows = rows_of(tmp_path / "out", video)
    assert summary["size"] == [160, 120] and rows["face"].all()
    assert rows["x"].max() < 160 and rows["y"].max() < 120
    assert len(media.frame_times(tmp_path / "out" / "call" / "annotated.mp4")) == len(rows)


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "yuv420p10le"), ("ffv1", "yuv444p12le")])
def test_deep_colours_look_as_eight_bits_do(tmp_path, codec, pix_fmt):
    deep = write(tmp_path / "deep.mkv", 3, codec=codec, pix_fmt=pix_fmt)
    plain = write(tmp_path / "plain.mkv", 3, codec=codec, pix_fmt="yuv420p")
    for (*_, a), (*_, b) in zip(reading.read_frames(deep), reading.read_frames(plain), strict=True):
        difference = np.abs(a.astype(int) - b)
        assert difference.mean() < 2 and b.std() > 20


def lying(path, turns):
    """A video whose pictures are turned by ``turns`` quarters counter-clockwise;
    its face is a tall bright rectangle.
    """
    frames = []
    for _ in range(12):
        image = np.full((120, 160, 3), 20, np.uint8)
        image[20:100, 60:100] = 220
        frames.append(np.ascontiguousarray(np.rot90(image, turns)))
    media.write_video(path, frames, 25.0, None, size=frames[0].shape[1::-1])
    return path


class TallFinder:
    """Stands in for a detector that finds only upright faces:
    bright rectangles that are higher than wide.
    """

    def __init__(self, squares):
        self.squares, self.model = squares, squares.model

    def faces(self, image, longest=0):
        return [face for face in self.squares.faces(image) if face.box[3] > 1.5 * face.box[2]]


@pytest.mark.parametrize(("turns", "degrees"), [(1, 90), (3, 270)])
def test_a_sideways_video_without_a_face_gets_a_hint_that_works(
    tmp_path, run, squares, monkeypatch, turns, degrees
):
    from emolib.video import predictor

    plain = predictor.FaceFinder
    monkeypatch.setattr(predictor, "FaceFinder", lambda model: TallFinder(plain(model)))
    video = lying(tmp_path / "lying.mp4", turns)
    (summary,), lines = go(video, run, tmp_path / "out", detector=squares)
    assert summary["frames_with_face"] == 0
    # Upside down is as upright as upright is for this detector,
    # so the first of the two angles is named.
    hinted = int(summary["hint"].rsplit(" ", 1)[1])
    assert hinted % 180 == 90 and f"--rotate {hinted}" in lines[-1]
    options = {"detector": squares, "overwrite": True}
    (turned,), _ = go(video, run, tmp_path / "out", rotate=degrees, **options)
    assert turned["frames_with_face"] == 12 and turned["hint"] is None
    rows = rows_of(tmp_path / "out", video)
    assert np.abs(rows[["x", "y", "w", "h"]].to_numpy(float) - [60, 20, 40, 80]).max() <= 2
    with pytest.raises(WrongCall, match="rotate=45: choose one of 0, 90, 180, 270"):
        go(video, run, tmp_path / "out", rotate=45, **options)
