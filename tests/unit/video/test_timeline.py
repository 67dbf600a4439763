"""The timeline and the annotated video."""

import cv2
import numpy as np
import pytest

from emolib.data import media
from emolib.labels import EXPRESSIONS
from emolib.video import annotation
from tests.support.videos import go, make_video, rows_of


def test_timeline_and_annotated_video(tmp_path, run, squares):
    times = np.cumsum(np.random.default_rng(2).uniform(0.02, 0.09, 40))
    video = make_video(
        tmp_path / "video.mp4",
        40,
        faces=lambda i: [(20, 40, 45)] if i < 25 else [],
        times=times - times[0],
    )
    go(video, run, tmp_path / "out", detector=squares, timeline=True, annotate=True)
    folder = tmp_path / "out" / "video"
    assert (
        cv2.imread(str(folder / "timeline.png")).shape[1] > 1000
        and "probability" in (folder / "timeline.svg").read_text()[:200000]
    )
    shown = [image.astype(int) for _, _, image in media.read_frames(folder / "annotated.mp4")]
    plain = [image.astype(int) for _, _, image in media.read_frames(video)]
    assert np.allclose(
        media.frame_times(folder / "annotated.mp4"), media.frame_times(video), atol=1e-3
    )
    assert media.read_waveform(folder / "annotated.mp4") is not None
    changed = np.array([np.abs(a - b)[:-20].max() > 60 for a, b in zip(shown, plain, strict=True)])
    assert (changed == (np.arange(40) < 25)).all()
    assert min(np.abs(a - b)[-20:].max() for a, b in zip(shown, plain, strict=True)) > 60, (
        "every picture says that the weights are synthetic"
    )


def test_timeline_of_several_people_without_sound(tmp_path, run, squares):
    video = make_video(
        tmp_path / "two.mp4", 25, faces=lambda i: [(10, 30, 50), (90, 30, 40)], sound=False
    )
    go(video, run, tmp_path / "out", detector=squares, faces="all", timeline=True, annotate=True)
    assert "two.mp4, track 1" in (tmp_path / "out" / "two" / "timeline.svg").read_text()
    assert media.read_waveform(tmp_path / "out" / "two" / "annotated.mp4") is None


@pytest.mark.parametrize("people", [1, 2])
def test_annotated_video_names_classes_and_of_several_people_the_tracks(
    tmp_path, run, squares, monkeypatch, people
):
    texts = []
    write_on = annotation.write_on
    monkeypatch.setattr(
        annotation,
        "write_on",
        lambda image, text, *rest: (texts.append(text), write_on(image, text, *rest)),
    )
    video = make_video(
        tmp_path / "video.mp4", 4, faces=lambda i: [(10, 30, 50), (90, 30, 40)][:people]
    )
    go(video, run, tmp_path / "out", detector=squares, faces="all", annotate=True)
    rows = rows_of(tmp_path / "out", video)
    labels = [f"{row['class']} {row['p_' + row['class']]:.0%}" for _, row in rows.iterrows()]
    expected = (
        labels
        if people == 1
        else [f"{track}: {label}" for track, label in zip(rows["track"], labels, strict=True)]
    )
    assert [text for text in texts if "%" in text] == expected
    assert [text for text in texts if len(text) == 2] == [name[:2] for name in EXPRESSIONS] * len(
        rows
    )
    assert len({name[:2] for name in EXPRESSIONS}) == 8
