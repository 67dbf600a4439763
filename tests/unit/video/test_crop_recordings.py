"""Crops of acted recordings: whole or not at all, where Aff-Wild2 has its own, and only once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from emolib.config import Experiment
from emolib.data.ravdess import RAVDESS
from emolib.data.recordings import read_collection
from emolib.errors import EmolibError, WrongCall
from emolib.video import crop_recordings as module
from emolib.video.crop_recordings import crop_recordings
from emolib.video.crops import CROP
from emolib.video.detection import Face
from tests.support import recordings as made

POINTS = np.array([[6, 6], [10, 6], [8, 8], [6, 11], [10, 11]], dtype=np.float64)


class Finder:
    """Finds one face in the middle of every picture, or none where ``model`` says so."""

    def __init__(self, model):
        self.blind = model == "blind"

    def faces(self, image, *_, **__):
        return [] if self.blind else [Face((4, 4, 8, 8), POINTS, 0.9)]


@pytest.fixture
def videos(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FaceFinder", Finder)
    monkeypatch.setattr(module, "detector_file", lambda given: given)
    root = tmp_path / "data"
    made.ravdess_videos(root, range(1, 2), frames=6)
    for path in sorted(root.rglob("0[12]-*.mp4")):
        if path.name[6:8] not in ("03", "04"):
            path.unlink()  # four videos are enough
    return Experiment(data=str(root), dataset="ravdess", folds=2)


def crops_of(experiment):
    folder = Path(experiment.data) / "cropped_aligned"
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_frames_with_a_face_have_a_crop_and_the_reader_finds_them(videos):
    result = crop_recordings(videos, progress=False)
    assert (result.recordings, result.now, result.frames, result.faces) == (4, 4, 24, 24)
    root = Path(videos.data)
    assert len(crops_of(videos)) == 4
    folder = root / "cropped_aligned" / crops_of(videos)[0]
    clips = read_collection(RAVDESS, root, fold=1, folds=2, splits=("validation",))
    assert len(clips) == 4 and all(clip.face_present.all() for clip in clips)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{frame:05d}.jpg" for frame in range(1, 7)]
    image = simplejpeg.decode_jpeg((folder / names[0]).read_bytes())
    assert image.shape == (CROP, CROP, 3)


def test_what_is_there_is_not_done_again_and_a_damaged_video_leaves_nothing(videos):
    damaged = sorted(Path(videos.data).rglob("01-*.mp4"))[1]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(EmolibError, match=damaged.name):
        crop_recordings(videos, progress=False)
    assert len(crops_of(videos)) == 3 and damaged.stem not in crops_of(videos)
    damaged.write_bytes(whole)
    assert crop_recordings(videos, progress=False).now == 1
    assert crop_recordings(videos, progress=False).now == 0


def test_two_calls_at_once_crop_once(videos, monkeypatch):
    """Both have seen that nothing is there before one of them begins."""
    both = threading.Barrier(2, timeout=30)

    def finder(model):
        both.wait()
        return Finder(model)

    monkeypatch.setattr(module, "FaceFinder", finder)
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(crop_recordings, videos, progress=False) for _ in range(2)]
    assert sorted(call.result().now for call in calls) == [0, 4]


def test_a_video_without_a_face_is_told_and_not_looked_at_again(videos):
    result = crop_recordings(videos, "blind", progress=False)
    assert result.faces == 0 and len(result.faceless) == 4 and "no face in 4" in result.text()
    assert crop_recordings(videos, "blind", progress=False).now == 0


def test_aff_wild2_has_its_own_crops():
    with pytest.raises(WrongCall, match="come with it"):
        crop_recordings(Experiment(data="/a"))


def test_the_real_video_has_a_face_in_every_frame(tmp_path):
    real = made.real_ravdess()
    detector = real.parent / "yunet" / "yunet_n_320_320.onnx"
    if not detector.is_file():
        pytest.skip(f"{detector}: no face detector here")
    (tmp_path / "01-01-01-01-01-01-01.mp4").write_bytes(
        (real / "native" / "01-01-01-01-01-01-01.mp4").read_bytes()
    )
    experiment = Experiment(data=str(tmp_path), dataset="ravdess")
    result = crop_recordings(experiment, detector, progress=False)
    assert result.frames > 90 and result.faces == result.frames
