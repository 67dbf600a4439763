"""Several people in one video: whose rows, which tracks, which thumbnails."""

import numpy as np

from emolib.video import thumbnails
from emolib.video.predictor import Predictor
from emolib.video.timeline import PROBABILITIES
from tests.support.videos import go, make_video, rows_of


def test_each_of_two_people_is_predicted_as_if_alone(tmp_path, run, squares):
    def left(i):
        return [(10 + i // 5, 30, 44)]

    def both(i):
        return [*left(i), (100 - i // 5, 40, 50)]

    alone, together = (
        make_video(tmp_path / "alone.mp4", 50, faces=left),
        make_video(tmp_path / "together.mp4", 50, faces=both),
    )
    go([alone, together], run, tmp_path / "out", detector=squares, faces="all")
    one, two = rows_of(tmp_path / "out", alone), rows_of(tmp_path / "out", together)
    assert (
        len(two) == 100
        and sorted(two["track"].unique()) == [1, 2]
        and (two.groupby("track").size() == 50).all()
    )
    is_left = two["w"] < 47
    assert two.loc[is_left, "track"].nunique() == 1
    alone_rows = one[PROBABILITIES].to_numpy()
    same = np.abs(two.loc[is_left, PROBABILITIES].to_numpy() - alone_rows).mean()
    other = np.abs(two.loc[~is_left, PROBABILITIES].to_numpy() - alone_rows).mean()
    assert same < 0.02 and other > 0.05


def test_tracked_stays_with_one_person_and_largest_does_not(tmp_path, run, squares):
    video = make_video(
        tmp_path / "two.mp4", 40, faces=lambda i: [(10, 30, 50), (90, 30, 40 if i < 20 else 60)]
    )
    go(video, run, tmp_path / "tracked", detector=squares)
    go(video, run, tmp_path / "largest", detector=squares, faces="largest")
    tracked, largest = rows_of(tmp_path / "tracked", video), rows_of(tmp_path / "largest", video)
    assert len(tracked) == len(largest) == 40
    assert (tracked["track"] == 1).all()
    assert largest["track"].tolist() == [1] * 20 + [2] * 20


def test_a_face_is_found_also_where_it_is_not_the_followed_one(tmp_path, run, squares):
    video = make_video(
        tmp_path / "two.mp4",
        40,
        faces=lambda i: [(95, 30, 40)] * (i < 35) + [(10, 30, 50)] * (not 15 <= i < 25),
    )
    (summary,), lines = go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    followed = np.array([not 15 <= i < 25 for i in range(40)])
    assert (
        rows["face"].all()
        and (rows["track"].notna() == followed).all()
        and (rows["class"].notna() == followed).all()
    )
    assert (
        summary["frames_with_face"] == 40
        and summary["frames_followed"] == summary["frames_predicted"] == 30
    )
    assert "a face in 40, the followed one in 30" in lines[-1]


def test_shares_are_of_faces_where_a_frame_has_several(tmp_path, run, squares):
    two = make_video(
        tmp_path / "two.mp4", 30, faces=lambda i: [(10, 30, 50)] + [(95, 30, 40)] * (i < 20)
    )
    one = make_video(tmp_path / "one.mp4", 30)
    (many, alone), lines = go([two, one], run, tmp_path / "out", detector=squares, faces="all")
    assert (many["rows_predicted"], many["frames_predicted"]) == (
        50,
        30,
    ) and "of 50 faces," in lines[-2]
    assert many["share"]["Anger"] == round(
        (rows_of(tmp_path / "out", two)["class"] == "Anger").sum() / 50, 4
    )
    assert (
        alone["rows_predicted"] == alone["frames_predicted"] == 30 and "of 30 frames," in lines[-1]
    )


def test_a_picture_shows_the_faces_of_the_one_whose_probabilities_it_shows(tmp_path, run, squares):
    """The larger face is seen shortly; the one seen longest has 255 in its green, the other 225."""
    video = make_video(
        tmp_path / "two.mp4", 50, faces=lambda i: [(10, 30, 40)] + [(80, 30, 60)] * (i < 30)
    )
    observation = Predictor.load(run, squares, "all").observe(video, progress=False)
    assert observation.shown == 2 and observation.title == "two.mp4, track 2"
    green = [cut[40:70, 40:70, 1].mean() for _, cut in observation.thumbnails]
    assert len(green) >= thumbnails.THUMBNAILS and min(green) > 245
    alone = Predictor.load(run, squares, "tracked").observe(video, progress=False)
    assert (
        alone.shown is None
        and alone.title == "two.mp4"
        and alone.thumbnails[0][1][40:70, 40:70, 1].mean() < 235
    )


def test_a_person_lost_for_long_is_followed_by_the_next(tmp_path, run, squares):
    video = make_video(
        tmp_path / "next.mp4",
        90,
        faces=lambda i: [(10, 30, 50)] if i < 20 else ([(95, 30, 45)] if i > 30 else []),
    )
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert rows["track"][:20].tolist() == [1] * 20 and (rows["track"][60:] == 2).all()
