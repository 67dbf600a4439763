"""Own videos to rows: one a frame, at its true time, with the probabilities of its window;
nothing is invented.
"""

import json

import numpy as np
import torch

from emolib.data import media
from emolib.video.crops import crop
from emolib.video.predictor import Predictor
from emolib.video.rows import answer
from emolib.video.searching import FaceSearch
from emolib.video.timeline import PROBABILITIES
from tests.support.videos import WINDOW, SquareFinder, go, make_run, make_video, rows_of


def test_an_answer_near_chance_is_told_to_say_little():
    summary = {"rows_predicted": 72, "frames_predicted": 72, "share": {"Fear": 1.0}}
    near = answer(summary | {"mean_probability": {"Fear": 0.14}})
    assert near.startswith("mostly Fear (100% of 72 frames, mean probability 0.14; chance 0.125)")
    assert near.endswith("near chance that it says little")
    assert "says little" not in answer(summary | {"mean_probability": {"Fear": 0.6}})


def test_every_frame_has_a_row_at_its_true_time(tmp_path, run, squares):
    times = np.cumsum(np.random.default_rng(1).uniform(0.02, 0.09, 45))
    video = make_video(tmp_path / "phone.mp4", 45, times=times - times[0])
    (summary,), lines = go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert rows["frame"].tolist() == list(range(1, 46))
    assert np.allclose(rows["time"], media.frame_times(video), atol=1e-6) and np.allclose(
        rows["time"], times - times[0], atol=1e-3
    )
    assert (
        rows["face"].all()
        and (rows["track"] == 1).all()
        and (rows["modality"] == "face+voice").all()
    )
    assert np.abs(rows[["x", "y", "w", "h"]].to_numpy(float) - [40, 30, 50, 50]).max() <= 2
    assert rows["class"].notna().all() and (rows["weights"] == "synthetic").all()
    assert (
        summary["frames"],
        summary["frames_with_face"],
        summary["sound"],
        summary["constant_rate"],
    ) == (45, 45, "present", False)
    assert (
        "meaningless" in summary["warning"]
        and "meaningless" in lines[0]
        and "phone.mp4: 45 frames" in lines[1]
    )
    assert json.loads((tmp_path / "out" / "phone" / "summary.json").read_text()) == summary


def test_probabilities_are_those_of_the_window_by_hand(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 50, times=30.0)
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    ready = Predictor.load(run, squares)
    search, wave = FaceSearch(SquareFinder(None)), media.read_waveform(video)
    crops = [crop(image, search(image)[0]) for _, _, image in media.read_frames(video)]
    features = ready.visual.images(torch.from_numpy(np.stack(crops))).half()
    by_hand = []
    for end in (20, 28, 50):
        sound = wave[round((end - WINDOW) / 30 * 16000) : round(end / 30 * 16000)]
        voice = ready.audio.waveforms(torch.from_numpy(sound[None])).half()
        with torch.no_grad():
            by_hand.append(
                ready.model(features[None, end - WINDOW : end], voice)[0].softmax(dim=1)[0].numpy()
            )
    by_hand = np.array(by_hand)
    found = rows[PROBABILITIES].to_numpy()[[19, 27, 49]]
    assert np.abs(found - by_hand).max() < 2e-3
    assert np.abs(found - by_hand[[1, 2, 0]]).max() > 2e-2  # another window's answer would not pass


def test_nothing_is_invented_where_no_face_is(tmp_path, run, squares):
    video = make_video(
        tmp_path / "half.mp4", 60, faces=lambda i: [(40, 30, 50)] if i < 20 or i >= 40 else []
    )
    (summary,), _ = go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    seen = np.array([i < 20 or i >= 40 for i in range(60)])
    assert (rows["face"].to_numpy(bool) == seen).all() and (rows["class"].notna() == seen).all()
    assert rows.loc[~seen, ["track", "x", "p_Neutral"]].isna().all().all()
    assert (rows["track"].dropna() == 1).all()  # back within a second
    assert summary["frames_with_face"] == 40 and summary["frames_predicted"] == 40
    text = (tmp_path / "out" / "half" / "predictions.csv").read_text().splitlines()[31]
    assert text == "31,1.2,31,False" + 19 * "," + ",synthetic"


def test_no_face_at_all_gives_empty_rows_and_a_clear_line(tmp_path, run, squares):
    video = make_video(tmp_path / "wall.mp4", 30, faces=lambda i: [])
    (summary,), lines = go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert len(rows) == 30 and not rows["face"].any() and rows["class"].isna().all()
    assert summary["share"] is None and "no face found: all probabilities are empty" in lines[-1]


def test_a_face_crop_needs_no_detector(tmp_path, run):
    video = make_video(tmp_path / "crop.mp4", 25, size=(112, 112))
    (summary,), _ = go(video, run, tmp_path / "out", faces="whole")
    rows = rows_of(tmp_path / "out", video)
    assert rows["class"].notna().all() and (rows["w"] == 112).all() and summary["faces"] == "whole"


def test_equal_inputs_give_equal_bytes(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 30)
    go(video, run, tmp_path / "a", detector=squares)
    go(video, run, tmp_path / "b", detector=squares)
    for name in ("predictions.csv", "predictions.parquet", "summary.json"):
        assert (tmp_path / "a" / "video" / name).read_bytes() == (
            tmp_path / "b" / "video" / name
        ).read_bytes()


def test_a_run_over_whole_tracks(tmp_path, squares):
    run = make_run(tmp_path / "track", audio_context="track")
    video = make_video(tmp_path / "video.mp4", 50, times=30.0)
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    ready = Predictor.load(run, squares)
    wave, search = media.read_waveform(video), FaceSearch(SquareFinder(None))
    # 0.667 s from 1 s on: 33 steps of 20 ms.
    voice = ready.audio.waveforms(torch.from_numpy(wave[None]))[:, 50:83].half()
    crops = [crop(image, search(image)[0]) for _, _, image in media.read_frames(video)]
    features = ready.visual.images(torch.from_numpy(np.stack(crops))).half()
    with torch.no_grad():
        by_hand = ready.model(features[None, 30:50], voice)[0].softmax(dim=1)[0].numpy()
    assert np.abs(rows[PROBABILITIES].to_numpy()[49] - by_hand).max() < 5e-3
