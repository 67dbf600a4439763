"""The table says what it rests on; seconds and subtitles say the same."""

import json

import numpy as np
import pandas as pd
import pytest

from emolib.errors import WrongCall
from emolib.video.options import COLUMNS
from emolib.video.predictor import windows_behind
from emolib.video.seconds import by_second, webvtt
from emolib.video.timeline import PROBABILITIES
from emolib.windows import frame_windows
from tests.support.videos import STRIDE, WINDOW, go, make_video, rows_of


def test_windows_and_copies_are_named(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 50, times=30.0)
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert list(rows.columns) == list(COLUMNS)
    ends = np.array([*range(WINDOW, 50, STRIDE), 50])
    distance = np.abs(ends - np.arange(1, 51)[:, None])
    nearest = ends[len(ends) - 1 - distance[:, ::-1].argmin(axis=1)]  # of two the later one
    assert rows["window_last"].tolist() == nearest.tolist()
    assert rows["window_first"].tolist() == (nearest - WINDOW + 1).tolist()
    assert rows["copied"].tolist() == [i < WINDOW for i in range(1, 51)]
    copies = rows.loc[rows["copied"], PROBABILITIES]
    assert len(copies.drop_duplicates()) == 1
    assert rows["score"].to_numpy() == pytest.approx(0.9)


@pytest.mark.parametrize("half_width", [0, 3])
@pytest.mark.parametrize("count", [7, 33])
def test_windows_behind_a_mean_are_all_that_cover_the_frame(half_width, count):
    index = frame_windows(np.ones(count, bool), length=10, stride=4)
    first, last, _ = windows_behind(index, count, "mean", half_width=half_width)
    for i in range(count):
        around = range(max(0, i - half_width), min(count, i + half_width + 1))
        behind = [
            number
            for number in range(len(index))
            if any(index.start[number] <= j + 1 <= index.end[number] for j in around)
        ]
        assert first[i] == index.start[behind].min() and last[i] == index.end[behind].max()


def test_a_score_and_windows_are_null_where_there_are_none(tmp_path, run, squares):
    wall = make_video(tmp_path / "wall.mp4", 12, faces=lambda i: [])
    crop = make_video(tmp_path / "crop.mp4", 12, size=(112, 112))
    go(wall, run, tmp_path / "out", detector=squares)
    go(crop, run, tmp_path / "out", faces="whole")
    empty = rows_of(tmp_path / "out", wall)[["score", "window_first", "window_last", "copied"]]
    assert empty.isna().all().all()
    rows = rows_of(tmp_path / "out", crop)
    assert rows["score"].isna().all() and (rows["window_last"] == 12).all()


def test_seconds_are_the_means_of_each_track(tmp_path, run, squares):
    video = make_video(
        tmp_path / "two.mp4", 70, faces=lambda i: [(10, 30, 50)] + [(95, 30, 40)] * (i < 30)
    )
    go(video, run, tmp_path / "out", detector=squares, faces="all")
    rows = rows_of(tmp_path / "out", video)
    seconds = pd.read_csv(tmp_path / "out" / "two" / "seconds.csv")
    assert seconds[["second", "track", "rows"]].values.tolist() == [
        [0, 1, 25],
        [0, 2, 25],
        [1, 1, 25],
        [1, 2, 5],
        [2, 1, 20],
    ]
    part = rows[(rows["track"] == 2) & (rows["time"] < 1)]
    expected = part[PROBABILITIES].mean().to_numpy()
    assert np.abs(seconds.loc[1, PROBABILITIES].to_numpy(float) - expected).max() < 1e-5
    subtitles = (tmp_path / "out" / "two" / "predictions.vtt").read_text()
    assert subtitles.startswith("WEBVTT\n\nNOTE weights are synthetic")
    assert subtitles.count("-->") == 5 and "<v Track 2>" in subtitles
    assert "00:00:02.000 --> 00:00:02.800" in subtitles


def test_a_second_without_an_answer_has_an_empty_row_and_no_subtitle():
    rows = pd.DataFrame(
        {"time": [0.0, 0.5, 1.2, 3700.25], "copied": pd.array([True, True, None, False])}
    )
    rows["track"] = pd.array([1, 1, None, 1], "Int32")
    rows[PROBABILITIES] = np.array([[1, 0], [0.5, 0.5], [np.nan, np.nan], [0, 1]]) @ np.eye(8)[:2]
    rows["class"] = pd.array(["Neutral", "Neutral", None, "Anger"], "string")
    seconds = by_second(rows)
    assert seconds["second"].tolist() == [0, 1, 3700] and seconds["rows"].tolist() == [2, 0, 1]
    assert seconds["class"].isna().tolist() == [False, True, False]
    assert seconds["copied"][0] and not seconds["copied"][2]
    cues = webvtt(seconds, 3700.5).split("\n\n")
    assert cues[1] == "00:00:00.000 --> 00:00:01.000\nNeutral 75%"
    assert cues[2].strip() == "01:01:40.000 --> 01:01:40.500\nAnger 100%" and len(cues) == 3


def test_device_and_threads_are_options(tmp_path, run, squares):
    import torch

    video = make_video(tmp_path / "video.mp4", 8)
    before = torch.get_num_threads()
    for threads in (1, 2):
        out = tmp_path / str(threads)
        go(video, run, out, detector=squares, device="cpu", threads=threads)
        assert json.loads((out / "video" / "summary.json").read_text())["frames"] == 8
    assert torch.get_num_threads() == before
    with pytest.raises(WrongCall, match="device=abacus"):
        go(video, run, tmp_path / "other", detector=squares, device="abacus")
    with pytest.raises(WrongCall, match="threads=-1"):
        go(video, run, tmp_path / "other", detector=squares, threads=-1)
