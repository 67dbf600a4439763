"""Who is who: cuts end tracks, people are recognised, and small faces are found."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from emolib.data import media
from emolib.video.choice import FaceChoice
from emolib.video.crops import crop
from emolib.video.cuts import CutDetector
from emolib.video.detection import FaceFinder
from emolib.video.recognition import Recogniser
from emolib.video.searching import EVERY, MANY, FaceSearch
from tests.support.videos import REAL, YUNET, SquareFinder, go, make_video, picture, real, rows_of

CLIPS = ("sbwe5n.mpg", "brbk7n.mpg", "lrwp9a.mpg")


def shots(path, pictures, seconds=6, rate=25):
    """``pictures[0]`` and ``pictures[1]``, lists of images, in turn for a second each."""
    frames = [pictures[i // rate % 2][i % len(pictures[0])] for i in range(seconds * rate)]
    media.write_video(path, frames, float(rate), None, size=frames[0].shape[1::-1])
    return path, np.arange(seconds * rate) // rate % 2


@real
@pytest.mark.parametrize("names", [CLIPS[:2], CLIPS[1:], CLIPS[::2]])
@pytest.mark.parametrize("faces", ["tracked", "all"])
def test_two_people_in_turn_are_never_one_track(tmp_path, run, names, faces):
    """Real faces at the same place (their boxes overlap by more than half), a second each."""
    both = [[image for *_, image in media.read_frames(REAL / "clips" / name)] for name in names]
    video, person = shots(tmp_path / "interview.mp4", both)
    go(video, run, tmp_path / "out", detector=YUNET, faces=faces)
    rows = rows_of(tmp_path / "out", video)
    assert len(rows) == 150 and rows["class"].notna().mean() > 0.95
    tracks = [set(rows["track"][person == one].dropna()) for one in (0, 1)]
    assert tracks[0] and tracks[1] and not tracks[0] & tracks[1]


def painted(dark):
    """A square whose upper or lower half is dark: two people who stand at the same place."""
    image = picture(0, [(40, 30, 50)])
    image[30:55, 40:90] = 160 if dark else 255
    image[55:80, 40:90] = 255 if dark else 160
    return image


def test_two_faces_in_turn_before_the_same_wall_are_two(tmp_path, run, squares):
    """Too small a part of the picture changes for a cut; the faces themselves tell."""
    video, person = shots(tmp_path / "wall.mp4", [[painted(True)], [painted(False)]])
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert rows["track"].notna().all()
    assert rows.groupby(person)["track"].nunique().tolist() == [1, 1]  # and are recognised
    assert rows["track"].nunique() == 2


@real
def test_no_clip_of_one_shot_has_a_cut_and_two_clips_have_one():
    ends = {}
    for name in (*CLIPS, "WolfgangLanger_Pexels.mp4", "single_face.mp4"):
        detector = CutDetector()
        images = [image for *_, image in media.read_frames(REAL / "clips" / name)]
        assert not any(detector(image) for image in images)
        ends[name] = images[0]
    for one in CLIPS:
        for other in CLIPS:
            detector = CutDetector()
            detector(ends[one])
            assert detector(ends[other]) == (one != other)


@real
@pytest.mark.parametrize("name", [*CLIPS, "WolfgangLanger_Pexels.mp4", "single_face.mp4"])
def test_one_person_stays_one_track(tmp_path, run, name):
    (summary,), _ = go(REAL / "clips" / name, run, tmp_path, detector=YUNET)
    assert summary["tracks"] == 1


@real
@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(("size", "side"), [((1920, 1080), 40), ((1920, 1080), 60)])
def test_a_face_of_forty_pixels_is_found_at_1080p(name, size, side):
    """Two places of each of three people: six in six."""
    finder = FaceFinder(YUNET)
    _, _, image = next(media.read_frames(REAL / "clips" / name))
    (whole,) = finder.faces(image)
    scale = side / max(whole.box[2:])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for x, y in ((300, 200), (1500, 700)):
        wall = np.full((size[1], size[0], 3), 90, np.uint8)
        wall[y : y + small.shape[0], x : x + small.shape[1]] = small
        (found,) = FaceSearch(finder)(wall)
        expected = np.array(whole.box) * scale + [x, y, 0, 0]
        assert np.abs(np.array(found.box) - expected).max() < 0.15 * side


@real
def test_around_a_known_face_is_found_what_the_whole_picture_shows():
    finder, search = FaceFinder(YUNET), None
    for name in (CLIPS[0], "WolfgangLanger_Pexels.mp4"):
        search = FaceSearch(finder)
        for number, _, image in media.read_frames(REAL / "clips" / name):
            (near,) = search(image)
            if number % 10 == 5:
                (whole,) = finder.faces(image)
                assert np.abs(np.array(near.box) - whole.box).max() < 0.1 * whole.box[3]
                assert_same_pixels(image, near, whole)


def assert_same_pixels(image, face, whole):
    """The crop of ``face`` is nearer to that of ``whole`` than crops shifted by a fifth are."""
    right = crop(image, whole).astype(float)
    step = 0.2 * whole.box[2]
    shifts = [(step, 0), (-step, 0), (0, step), (0, -step)]
    shifted = [crop(image, replace(whole, points=whole.points + shift)) for shift in shifts]
    distance = np.abs(crop(image, face) - right).mean()
    assert distance < min(np.abs(other - right).mean() for other in shifted)


def test_whole_pictures_are_searched_seldom_while_everybody_is_in_sight():
    sizes = []

    class Counting(SquareFinder):
        def faces(self, image, longest=0):
            sizes.append(longest)
            return super().faces(image, longest)

    search = FaceSearch(Counting(None))
    for i in range(30):
        assert len(search(picture(i, [(40, 30, 50)] * (i < 25)))) == (i < 25)
    assert sizes.count(960) == 3  # once in ten pictures
    assert sizes.count(480) == 5 - 0  # each of the pictures without the face


@pytest.mark.parametrize("count", [9, 40])
def test_the_time_of_a_picture_does_not_grow_with_its_faces(count):
    calls = []

    class Counting(SquareFinder):
        def faces(self, image, longest=0):
            calls.append(longest)
            return super().faces(image, longest)

    places = [(16 + 36 * (i % 8), 16 + 36 * (i // 8), 20) for i in range(count)]
    image = picture(0, [], (320, 240))
    for x, y, side in places:
        image[y : y + side, x : x + side] = 255
    search = FaceSearch(Counting(None))
    for _ in range(EVERY):
        assert len(search(image)) == count
    assert len(calls) <= EVERY * (1 if count > MANY else count) + MANY


def test_features_must_agree_as_well_as_crops():
    """Crops that look alike, of which the encoder says that they are somebody else's."""
    rng = np.random.default_rng(0)
    crops = rng.integers(100, 110, (12, 112, 112, 3)).astype(np.uint8)
    other = np.array([0.0, 1.0])
    one = np.array([1.0, 0.0])
    for stranger, expected in ((one, True), (other, False)):

        def features(batch, stranger=stranger):
            return np.stack([*[one] * (len(batch) - 1), stranger])

        recogniser = Recogniser(features)
        for cut in crops[:-1]:
            recogniser.remember(1, cut)
        assert np.isfinite(recogniser.distance(1, crops[-1])) == expected


def test_the_detectors_size_can_be_chosen(tmp_path, run, squares):
    from emolib.errors import WrongCall

    video = make_video(tmp_path / "video.mp4", 8)
    go(video, run, tmp_path / "out", detector=squares, detector_size=1920)
    with pytest.raises(WrongCall, match="detector_size=64: choose 128 pixels or more"):
        go(video, run, tmp_path / "other", detector=squares, detector_size=64)


@real
def test_a_face_that_fills_the_picture_stays_one_person():
    """Where the detector places such a face changes by a few hundredths of it at every picture."""
    whole = REAL / "ravdess" / "native" / "01-01-01-01-01-01-01.mp4"
    choose, tracks = FaceChoice("tracked", FaceFinder(YUNET)), set()
    for number, time, image in media.read_frames(whole):
        close = cv2.resize(image[:, 437:842], (1080, 1920), interpolation=cv2.INTER_CUBIC)
        tracks |= {track for track, *_ in choose(time, close)}
        if number == 20:
            break
    assert tracks == {1}
