"""What is heard: sound that is absent, silent, late, short or long,
and runs that do not hear or do not see.
"""

import numpy as np
import pandas as pd
import pytest

from emolib.data import media
from emolib.video.timeline import PROBABILITIES
from tests.support.videos import delayed, go, make_run, make_video, rows_of, tone


def test_without_sound_the_result_says_so(tmp_path, run, squares):
    videos = [
        make_video(tmp_path / "mute.mp4", 30, sound=False),
        make_video(tmp_path / "silent.mp4", 30, sound=np.zeros(30 * 640, np.float32)),
    ]
    summaries, lines = go(videos, run, tmp_path / "out", detector=squares)
    assert [summary["sound"] for summary in summaries] == ["absent", "silent"]
    assert "no sound" in lines[1] and "silent sound" in lines[2]
    assert (rows_of(tmp_path / "out", videos[0])["modality"] == "face").all()
    assert rows_of(tmp_path / "out", videos[0])["class"].notna().all()


@pytest.mark.parametrize("context", ["window", "track"])
def test_digital_silence_says_as_much_as_no_sound(tmp_path, squares, context):
    run = make_run(tmp_path / "run", audio_context=context)
    silence = np.zeros(30 * 640, np.float32)
    videos = [
        make_video(tmp_path / f"{name}.mp4", 30, sound=sound)
        for name, sound in (("mute", False), ("silent", silence), ("loud", True))
    ]
    go(videos, run, tmp_path / "out", detector=squares)
    mute, silent, loud = (rows_of(tmp_path / "out", video) for video in videos)
    pd.testing.assert_frame_equal(mute, silent)
    assert (
        np.abs(mute[PROBABILITIES] - loud[PROBABILITIES]).to_numpy().max() > 1e-3
        and (loud["modality"] == "face+voice").all()
    )


def test_sound_may_be_shorter_or_longer_than_the_pictures(tmp_path, run, squares):
    videos = [
        make_video(tmp_path / "short.mp4", 60, times=30.0, sound=tone(1.0)),
        make_video(tmp_path / "long.mp4", 60, times=30.0, sound=tone(9.0)),
    ]
    (short, long), _ = go(videos, run, tmp_path / "out", detector=squares)
    # The modality of windows that end at 20, 24 ... 60.
    voices = rows_of(tmp_path / "out", videos[0])["modality"]
    assert (voices[:46] == "face+voice").all() and (voices[55:] == "face").all()
    assert (rows_of(tmp_path / "out", videos[1])["modality"] == "face+voice").all()
    assert short["sound_seconds"] == pytest.approx(1.0, abs=0.1) and long["frames"] == 60


def test_the_silence_before_late_sound_is_no_voice(tmp_path, run, squares):
    sound = tone(2.0)
    sound[:16000] = 0
    video = make_video(tmp_path / "late.mp4", 50, sound=sound)
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    # AAC smears by at most 0.1 s.
    assert (rows["modality"][:21] == "face").all() and (rows["modality"][25:] == "face+voice").all()
    # What rests on one window says one thing.
    assert (rows.groupby(PROBABILITIES)["modality"].nunique() == 1).all()


def test_late_sound_is_in_every_row_of_the_one_window_of_a_short_video(tmp_path, squares):
    run = make_run(tmp_path / "run", window=60)
    sound = tone(1.8)
    sound[:24000] = 0
    video = make_video(tmp_path / "late.mp4", 45, sound=sound)
    go(video, run, tmp_path / "out", detector=squares)
    rows = rows_of(tmp_path / "out", video)
    assert (rows["modality"] == "face+voice").all() and len(
        rows[PROBABILITIES].drop_duplicates()
    ) == 1


def test_windows_without_sound_say_nothing_in_a_blind_run(tmp_path):
    sound = tone(2.0)
    # 27 frames: the windows that end at 20 and 24 hear nothing, the one at 28 does.
    sound[:14400] = 0
    video = make_video(tmp_path / "late.mp4", 50, faces=lambda i: [], times=30.0, sound=sound)
    rows = {}
    for rule in ("last", "mean"):
        run = make_run(
            tmp_path / rule,
            modalities="audio",
            fusion="concat",
            contrastive_weight=0.0,
            frame_rule=rule,
        )
        go(video, run, tmp_path / "out" / rule)
        rows[rule] = rows_of(tmp_path / "out" / rule, video)
    values = rows["mean"][PROBABILITIES].to_numpy()
    assert np.isnan(values[:8]).all() and not np.isnan(values[8:]).any()
    # Of the three windows there, only the third hears.
    assert np.abs(values[8:12] - rows["last"][PROBABILITIES].to_numpy()[27]).max() < 1e-5


def test_a_deaf_run_hears_nothing(tmp_path, deaf, squares):
    video = make_video(tmp_path / "video.mp4", 30)
    (summary,), _ = go(video, deaf, tmp_path / "out", detector=squares)
    assert summary["sound"] == "not used"
    assert (rows_of(tmp_path / "out", video)["modality"] == "face").all()


def test_a_blind_run_needs_no_face_and_no_detector(tmp_path, blind):
    videos = [
        make_video(tmp_path / "voice.mp4", 50, faces=lambda i: []),
        make_video(tmp_path / "mute.mp4", 30, sound=False),
    ]
    (voice, mute), lines = go(videos, blind, tmp_path / "out")
    rows = rows_of(tmp_path / "out", videos[0])
    assert (
        rows["class"].notna().all()
        and (rows["modality"] == "voice").all()
        and rows["face"].isna().all()
    )
    assert rows_of(tmp_path / "out", videos[1])["class"].isna().all()
    assert mute["share"] is None and "no sound" in lines[-1] and voice["detector"] is None


def test_sound_that_would_begin_in_31_years_is_no_sound(tmp_path, run, squares):
    video = delayed(make_video(tmp_path / "video.mp4", 20), tmp_path / "late.mkv", 1e9)
    (summary,), _ = go(video, run, tmp_path / "out", detector=squares, annotate=True)
    assert summary["sound"] == "absent" and summary["frames"] == 20
    assert (rows_of(tmp_path / "out", video)["modality"] == "face").all()
    assert media.read_waveform(tmp_path / "out" / "late" / "annotated.mp4") is None
