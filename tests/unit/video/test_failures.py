"""What cannot work is said in one line, before any work where possible,
and stops no other video.
"""

from pathlib import Path

import cv2
import pytest

from emolib.errors import EmolibError, WrongCall
from emolib.video import predict as predict_module
from emolib.video.outputs import collect
from emolib.video.predict import SomeFailed, predict
from tests.support.videos import go, make_video


def test_one_bad_file_does_not_stop_the_others(tmp_path, run, squares):
    folder = tmp_path / "videos"
    make_video(folder / "a.mp4", 25)
    (folder / "b.mp4").write_text("not a video")
    make_video(folder / "c.mp4", 25)
    lines = []
    with pytest.raises(SomeFailed, match=r"1 of 3 videos failed: .*b\.mp4") as caught:
        predict(
            [folder],
            run,
            tmp_path / "out",
            detector=squares,
            timeline=False,
            progress=False,
            say=lines.append,
        )
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a", "c"]
    assert sum("failed" in line for line in lines) == 1 and "c.mp4: 25 frames" in lines[-1]
    assert [summary["video"] for summary in caught.value.summaries] == ["a.mp4", "c.mp4"]


@pytest.mark.parametrize(
    "error",
    [
        TypeError("a\nb"),
        MemoryError(),
        ZeroDivisionError("by 0"),
        KeyError("x"),
        cv2.error("no size"),
    ],
)
def test_an_unforeseen_failure_is_one_line_that_names_the_file(
    tmp_path, deaf, squares, monkeypatch, error
):
    def timeline(rows, observation, **options):
        if observation.video.name == "b.mp4":
            raise error
        return draw(rows, observation, **options)

    draw = predict_module.timelines.timeline
    monkeypatch.setattr(predict_module.timelines, "timeline", timeline)
    for name in "bc":
        make_video(tmp_path / "videos" / f"{name}.mp4", 4, sound=False)
    lines = []
    with pytest.raises(
        EmolibError,
        match=rf"1 of 2 videos failed: .*b\.mp4: failed unexpectedly \({type(error).__name__}",
    ) as caught:
        predict(
            [tmp_path / "videos"],
            deaf,
            tmp_path / "out",
            detector=squares,
            timeline=True,
            progress=False,
            say=lines.append,
        )
    assert (
        "\n" not in str(caught.value)
        and sum("failed: " in line and "b.mp4" in line for line in lines) == 1
    )
    assert [path.parent.name for path in (tmp_path / "out").glob("*/predictions.csv")] == ["c"]


def test_calls_that_cannot_work_stop_before_any_work(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 5)
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(EmolibError, match="cannot be written"):
        go(video, run, tmp_path / "file" / "out", detector=squares)
    with pytest.raises(EmolibError, match="cannot be written"):
        go(video, run, Path("/proc/emolib"), detector=squares)  # where not even root may write
    with pytest.raises(WrongCall, match="choose one of tracked"):
        go(video, run, tmp_path / "out", detector=squares, faces="smallest")
    with pytest.raises(EmolibError, match="no video in this folder"):
        go(tmp_path / "empty", run, tmp_path / "out", detector=squares)
    with pytest.raises(WrongCall, match="no video given"):
        collect([])
    with pytest.raises(EmolibError, match=r"experiment\.json"):
        go(video, tmp_path / "no-run", tmp_path / "out", detector=squares)
    with pytest.raises(EmolibError, match="no such face detector"):
        go(video, run, tmp_path / "out", detector=tmp_path / "absent.onnx")


def test_a_bad_detector_stops_before_any_work(tmp_path, run):
    (tmp_path / "bad.onnx").write_text("not a model")
    lines = []
    with pytest.raises(EmolibError, match="not a YuNet face detector") as caught:
        predict(
            [make_video(tmp_path / f"{name}.mp4", 5) for name in "ab"],
            run,
            tmp_path / "out",
            detector=tmp_path / "bad.onnx",
            say=lines.append,
        )
    assert not isinstance(caught.value, SomeFailed) and not lines
