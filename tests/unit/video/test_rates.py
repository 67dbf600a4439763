"""Windows span the same time at any frame rate, and fewer pictures are less work."""

import numpy as np
import pytest

from emolib.data import media
from emolib.errors import WrongCall
from emolib.video.sampling import RATE, Grid, Sampler
from tests.support.videos import go, make_video, picture, rows_of, tone

SECONDS = 8


def moving(path, rate):
    """The same 8 s at ``rate``: a square that moves and grows; a shadow falls on it from above,
    then from the left, and goes.
    """

    def image(t):
        side, x = round(48 + 8 * np.sin(2 * t)), round(50 + 15 * np.sin(1.3 * t))
        result = picture(0, [(x, 30, side)])
        depth = round(0.8 * side * (0.5 - 0.5 * np.cos(np.pi * t / 2)))
        if t % 8 < 4:
            result[30 : 30 + depth, x : x + side] = 178
        else:
            result[30 : 30 + side, x : x + depth] = (255, 178, 178)
        return result

    frames = (image(i / rate) for i in range(round(SECONDS * rate)))
    media.write_video(path, frames, rate, tone(SECONDS), size=(160, 120))
    return path


def sampled(times, fps=RATE):
    sampler = Sampler(fps)
    return [time for time in times if sampler(time)]


@pytest.fixture(scope="module")
def answers(module_path):
    """(summary, rows) of the same video at each rate."""
    from emolib.video import predictor
    from tests.support.videos import SquareFinder, make_run

    folder = module_path
    (folder / "squares.onnx").write_text("squares")
    run = make_run(folder / "run", window=30, width=48)
    result = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predictor, "FaceFinder", SquareFinder)
        for rate in (24.0, 30.0, 60.0, 120.0):
            video = moving(folder / f"at{rate:.0f}.mp4", rate)
            (summary,), lines = go(video, run, folder / "out", detector=folder / "squares.onnx")
            result[rate] = summary, rows_of(folder / "out", video), lines[-1]
    return result


@pytest.mark.parametrize("rate", [24.0, 60.0, 120.0])
def test_the_same_seconds_get_the_same_classes_at_any_rate(answers, rate):
    _, reference, _ = answers[30.0]
    _, rows, _ = answers[rate]
    assert len(rows) == SECONDS * rate
    nearest = np.abs(reference["time"].to_numpy() - rows["time"].to_numpy()[:, None]).argmin(axis=1)
    same = rows["class"].to_numpy() == reference["class"].to_numpy()[nearest]
    assert same.mean() >= 0.95
    assert reference["class"].nunique() > 1
    turned = np.roll(reference["class"].to_numpy(), len(reference) // 2)[nearest]
    assert (rows["class"].to_numpy() == turned).mean() < 0.8  # other seconds have other classes


@pytest.mark.parametrize(("rate", "pictures"), [(24.0, 192), (60.0, 240), (120.0, 240)])
def test_the_summary_says_what_was_looked_at(answers, rate, pictures):
    summary, rows, line = answers[rate]
    assert summary["frames_looked_at"] == pictures == rows["picture"].nunique()
    assert summary["window_rate"] == 30 and summary["window_seconds"] == 1.0
    assert (f"({pictures} pictures looked at)" in line) == (rate > 30)
    assert (rows["picture"] <= rows["frame"]).all()
    spans = (
        rows["time"].to_numpy()[rows["window_last"] - 1]
        - (rows["time"].to_numpy()[rows["window_first"] - 1])
    )
    assert spans == pytest.approx(np.full(len(rows), 29 / 30), abs=0.05)


def test_fewer_pictures_are_looked_at_on_request(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 60, times=30.0)
    (summary,), _ = go(video, run, tmp_path / "out", detector=squares, fps=5)
    rows = rows_of(tmp_path / "out", video)
    assert summary["frames_looked_at"] == 10 and len(rows) == 60
    assert rows["picture"].tolist() == sorted(np.repeat(np.arange(1, 60, 6), 6))
    assert rows["class"].notna().all() and (rows["track"] == 1).all()
    for fps in (0, 60):
        with pytest.raises(WrongCall, match="choose 1 to 30 pictures a second"):
            go(video, run, tmp_path / "other", detector=squares, fps=fps)


@pytest.mark.parametrize(
    ("rate", "least", "most"), [(12.5, 12.5, 12.5), (29.97, 29.9, 30), (50, 29, 31), (240, 29, 31)]
)
def test_at_most_thirty_pictures_a_second_are_chosen(rate, least, most):
    jitter = np.random.default_rng(0).uniform(-0.002, 0.002, round(10 * rate))
    times = np.maximum(np.arange(len(jitter)) / rate + jitter * (rate < 100), 0)
    assert least <= len(sampled(times)) / 10 <= most
    assert 4.9 <= len(sampled(times, fps=5)) / 10 <= 5.1


def test_a_grid_shows_the_nearest_picture_at_each_time():
    grid = Grid.over(np.array([1.0, 1.04, 1.08, 1.12]), 1.16)
    assert grid.times == pytest.approx(1 + np.arange(5) / 30)
    assert grid.nearest.tolist() == [0, 1, 2, 2, 3]
    assert grid.at(np.array([1.0, 1.04, 1.12, 9.0])).tolist() == [0, 1, 4, 4]
