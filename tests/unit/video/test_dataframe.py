"""``emolib.predict`` in Python: one video or several, files or folders, as on the command line."""

import subprocess
import sys

import pandas as pd
import pytest

import emolib
from emolib.errors import EmolibError, WrongCall
from tests.support.videos import make_video, rows_of


def test_a_string_is_one_path(tmp_path, run, squares):
    video = make_video(tmp_path / "a.mp4", 20)
    rows = emolib.predict(str(video), run, detector=squares)
    assert len(rows) == 20 and (rows["video"] == str(video)).all()
    assert rows.attrs["summaries"][0]["frames"] == 20 and rows.attrs["failures"] == []


def test_lists_and_folders_give_one_table_that_equals_the_files(tmp_path, run, squares):
    for name in "ab":
        make_video(tmp_path / "videos" / f"{name}.mp4", 20)
    rows = emolib.predict(tmp_path / "videos", run, out=tmp_path / "out", detector=squares)
    again = emolib.predict(sorted((tmp_path / "videos").iterdir()), run, detector=squares)
    pd.testing.assert_frame_equal(rows, again)
    assert rows["video"].nunique() == 2
    for video, part in rows.groupby("video"):
        written = rows_of(tmp_path / "out", video)
        pd.testing.assert_frame_equal(
            part.drop(columns="video").reset_index(drop=True), written, check_dtype=False
        )


def test_a_run_may_be_named(tmp_path, run, squares, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(run.parent))
    video = make_video(tmp_path / "a.mp4", 12)
    assert len(emolib.predict(video, run.name, detector=squares)) == 12


def test_what_fails_is_a_warning_unless_all_does(tmp_path, run, squares):
    good, bad = make_video(tmp_path / "a.mp4", 12), tmp_path / "b.mp4"
    bad.write_text("no video")
    with pytest.warns(UserWarning, match=r"b\.mp4"):
        rows = emolib.predict([good, bad], run, detector=squares)
    assert len(rows) == 12 and "b.mp4" in rows.attrs["failures"][0]
    with pytest.raises(EmolibError, match=r"b\.mp4"), pytest.warns(UserWarning, match=r"b\.mp4"):
        emolib.predict(bad, run, detector=squares)


def test_an_unknown_option_names_the_nearest(tmp_path, run):
    with pytest.raises(WrongCall, match="no option 'face'; did you mean 'faces'"):
        emolib.predict(tmp_path / "a.mp4", run, face="all")


def test_importing_emolib_is_cheap():
    code = "import sys, emolib; assert callable(emolib.__getattr__); print(*sys.modules)"
    words = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "numpy", "av", "cv2"} & set(words.stdout.split())
