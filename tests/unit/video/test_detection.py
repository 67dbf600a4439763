"""Detection on real faces, tracks on made boxes, alignment against known transforms."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolib.data import media
from emolib.errors import EmolibError, WrongCall
from emolib.video.crops import CROP, LOOSE, TEMPLATE, crop, similarity
from emolib.video.detection import Face, FaceFinder, detector_file
from emolib.video.tracking import Tracker
from tests.support.videos import REAL, YUNET, real


def face(x, y, size, score=0.9):
    return Face(box=(x, y, size, size), points=TEMPLATE * size / CROP + [x, y], score=score)


@pytest.fixture(scope="module")
def finder():
    return FaceFinder(YUNET)


@real
def test_every_frame_of_a_talking_face_has_one_face_in_one_track(finder):
    tracker, tracks, boxes = Tracker(), [], []
    for number, time, image in media.read_frames(REAL / "clips" / "sbwe5n.mpg"):
        if number % 5 == 0:
            found = finder.faces(image)
            assert len(found) == 1
            tracks += tracker.update(time, found)
            boxes.append(found[0].box)
    assert tracks == [1] * 15
    assert np.ptp(np.array(boxes), axis=0).max() < 20  # the speaker sits still


@real
def test_aligned_crop_has_its_eyes_where_the_template_has_them(finder):
    _, _, image = next(media.read_frames(REAL / "clips" / "sbwe5n.mpg"))
    turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((180, 144), 25, 1.0), (360, 288))
    for picture in (image, turned):
        (found,) = finder.faces(picture)
        aligned = crop(picture, found)
        (again,) = finder.faces(cv2.resize(aligned, (224, 224)))
        eyes = again.points[:2] / 2
        assert np.abs(eyes - TEMPLATE[:2]).mean() < 5
        # Upright again, also after 25 degrees.
        assert abs(np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1]))) < 5
        assert (
            np.abs(
                similarity(found.points, TEMPLATE) @ [*found.points.mean(0), 1] - TEMPLATE.mean(0)
            ).max()
            < 1e-9
        )


@real
@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (1080, 1920), (97, 131)])
def test_empty_pictures_of_any_shape_have_no_face(finder, shape):
    assert finder.faces(np.full((*shape, 3), 127, np.uint8)) == []


@real
def test_a_face_is_found_at_the_same_place_at_any_size(finder):
    _, _, image = next(media.read_frames(REAL / "clips" / "sbwe5n.mpg"))
    (small,) = finder.faces(image)
    (large,) = finder.faces(cv2.resize(image, None, fx=6, fy=6, interpolation=cv2.INTER_CUBIC))
    assert np.abs(np.array(large.box) / 6 - small.box).max() < 10
    # Pixel centres move.
    enlarged = Face(
        box=tuple(6 * side for side in small.box), points=6 * small.points + 2.5, score=1.0
    )
    difference = np.abs(
        crop(image, small).astype(float) - crop(cv2.resize(image, None, fx=6, fy=6), enlarged)
    )
    assert difference.mean() < 2 and difference.max() < 60


def test_detector_file_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *names: None)
    with pytest.raises(EmolibError, match=r"face_detection_yunet_2023mar\.onnx.*--detector"):
        detector_file(None)
    with pytest.raises(EmolibError, match="no such face detector"):
        detector_file(tmp_path / "absent.onnx")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda *names: str(tmp_path / "cached.onnx")
    )
    assert detector_file(None) == tmp_path / "cached.onnx"


def test_a_file_that_is_no_detector_is_refused(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(
        EmolibError, match=r"not a YuNet face detector.*face_detection_yunet_2023mar"
    ):
        FaceFinder(tmp_path / "text.onnx")
    (tmp_path / "pointer.onnx").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:8f2383e4\nsize 232589\n"
    )
    with pytest.raises(EmolibError, match=r"pointer\.onnx: a Git-LFS pointer.*git lfs pull"):
        FaceFinder(tmp_path / "pointer.onnx")


def test_tracks_follow_two_people_who_swap_their_order():
    tracker = Tracker()
    for step in range(20):
        left, right = face(10 + step, 50, 40), face(200 - step, 50, 45)
        order = [left, right] if step % 2 else [right, left]
        tracks = tracker.update(step / 30, order)
        assert dict(zip([f.box[2] for f in order], tracks, strict=True)) == ({40: 2, 45: 1})


def test_a_short_absence_keeps_the_track_and_a_long_one_ends_it():
    tracker = Tracker()
    assert tracker.update(0.0, [face(10, 10, 50)]) == [1]
    assert tracker.update(0.5, []) == []
    assert tracker.update(0.9, [face(14, 10, 50)]) == [1]
    assert tracker.update(2.0, [face(14, 10, 50)]) == [2]
    assert tracker.update(2.1, [face(300, 10, 50)]) == [3]


def test_a_face_of_another_size_or_far_away_is_somebody_else():
    tracker = Tracker()
    assert tracker.update(0.0, [face(100, 100, 50)]) == [1]
    assert tracker.update(0.1, [face(30, 30, 200)]) == [2]


@given(
    angle=st.floats(-3, 3),
    scale=st.floats(0.1, 10),
    x=st.floats(-500, 500),
    y=st.floats(-500, 500),
    seed=st.integers(0, 1000),
)
def test_similarity_is_recovered_exactly(angle, scale, x, y, seed):
    points = np.random.default_rng(seed).normal(size=(5, 2)) * 30
    true = np.array(
        [
            [np.cos(angle) * scale, -np.sin(angle) * scale, x],
            [np.sin(angle) * scale, np.cos(angle) * scale, y],
        ]
    )
    target = points @ true[:, :2].T + true[:, 2]
    assert np.allclose(similarity(points, target), true, atol=1e-6)


def test_similarity_of_coinciding_points_is_only_a_shift():
    matrix = similarity(np.full((5, 2), 7.0), TEMPLATE)
    assert np.allclose(matrix[:, :2], np.eye(2))


@pytest.mark.parametrize("size", [30, 112, 900])
@pytest.mark.parametrize("kind", ["cropped_aligned", "cropped"])
def test_crop_shows_the_face_at_every_size(size, kind):
    image = np.zeros((1000, 1000, 3), np.uint8)
    here = face(50, 40, size)
    for x, y in here.points:
        cv2.circle(image, (round(x), round(y)), max(1, size // 20), (255, 128, 64), -1)
    cut = crop(image, here, kind)
    assert cut.shape == (CROP, CROP, 3) and cut.dtype == np.uint8
    lit = np.argwhere(cut[:, :, 0] > 60)[:, ::-1]
    expected = TEMPLATE if kind == "cropped_aligned" else (TEMPLATE - CROP / 2) / LOOSE + CROP / 2
    assert np.abs(lit.mean(0) - expected.mean(0)).max() < 2
    assert np.abs(lit[:, None] - expected).max(-1).min(0).max() < 3


def test_unknown_crop_is_refused():
    with pytest.raises(WrongCall, match="cropped_aligned"):
        crop(np.zeros((9, 9, 3), np.uint8), face(0, 0, 5), "tight")
