"""Nothing is trained, scored or submitted on a fraction of the faces in silence."""

import shutil

import numpy as np
import pytest

from emolib.config import parse_settings, preset
from emolib.data.coverage import Coverage, check_coverage, coverage_of, face_shares, told
from emolib.errors import EmolibError
from emolib.features.prepare import clips_of
from tests.support.trees import Spec, clean, make_tree

LONG = [0, 1, 2, 3, 4, 5, 6, 7] * 25  # 200 frames

pytestmark = pytest.mark.usefixtures("empty_runs")


def read(root, splits=("train", "validation"), **settings):
    return clips_of(preset("demo", data=str(root), **settings), splits, progress=False)


def keep(folder, last, step=1):
    """Only every ``step``-th of the first ``last`` images is left."""
    for path in folder.iterdir():
        number = int(path.stem)
        if number > last or number % step:
            path.unlink()


def test_shares_count_annotated_frames_and_every_frame_of_a_test_clip(tmp_path):
    labels = [0, -1] * 12
    make_tree(
        tmp_path,
        [
            Spec("1", labels=labels, missing=(1, 2, 4)),
            Spec("2", labels=labels),
            Spec("3", split="validation", labels=[0] * 24, missing=(5, 6, 7)),
            Spec("4", split="test", labels=[0] * 10, missing=(1,)),
        ],
    )
    clips = read(tmp_path, ("train", "validation", "test"))
    shares = face_shares(coverage_of(clips))
    assert shares == pytest.approx({"train": 23 / 24, "validation": 21 / 24, "test": 9 / 10})
    assert check_coverage(clips) == shares


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_clip_with_30_of_200_faces_stops_and_an_option_goes_on(tmp_path, split):
    specs = [*clean(), Spec("8", split=split, labels=LONG), Spec("9", split=split, labels=LONG)]
    make_tree(tmp_path, [*specs, Spec("7", split=split, labels=LONG)])
    keep(tmp_path / "cropped_aligned" / "8", 200, step=7)
    with pytest.raises(EmolibError, match=r"8: 28 of 200 frames have an image.*min_face_share=0"):
        read(tmp_path, (split,))
    clips = read(tmp_path, (split,), min_face_share=0.0)
    assert 0.5 < face_shares(coverage_of(clips))[split] < 0.95


@pytest.mark.parametrize("share", [0.6, 0.85])
def test_a_clip_whose_images_end_early_stops(tmp_path, share):
    make_tree(tmp_path, [*clean(), Spec("8", labels=LONG)])
    keep(tmp_path / "cropped_aligned" / "8", int(share * 200))
    with pytest.raises(EmolibError, match=rf"8: the images end at frame {share * 200:.0f}"):
        read(tmp_path)
    read(tmp_path, min_face_share=0.0)


def test_13_of_15_clips_without_faces_stop(tmp_path):
    make_tree(
        tmp_path,
        [Spec(f"{n}", fps=None, split="train" if n < 15 else "validation") for n in range(16)],
    )
    (tmp_path / "frame_rates.csv").write_text("".join(f"{n},25\n" for n in range(16)))
    for number in range(13):
        shutil.rmtree(tmp_path / "cropped_aligned" / str(number))
    with pytest.raises(EmolibError, match=r"train: 13% of the frames .*13 of 15 clips have none"):
        read(tmp_path)


def test_a_run_that_only_hears_needs_no_faces(tmp_path):
    make_tree(tmp_path, clean())
    shutil.rmtree(tmp_path / "cropped_aligned" / "1-30-640x480")
    hears = {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0}
    assert len(read(tmp_path, **hears)) == 4
    with pytest.raises(EmolibError, match="1-30-640x480: no image of its 24 frames"):
        read(tmp_path)


def test_without_any_face_the_sound_alone_is_advised(tmp_path):
    make_tree(tmp_path, clean())
    for clip in (tmp_path / "cropped_aligned").iterdir():
        keep(clip, 0)
    with pytest.raises(EmolibError, match="no frame of any clip has an image") as caught:
        read(tmp_path)
    advice = str(caught.value)
    assert "min_face_share" not in advice
    assert len(read(tmp_path, **parse_settings(advice.rpartition("--set ")[2]))) == 4


def test_nothing_annotated_is_no_missing_face():
    labels, nothing = np.full(50, -1, np.int8), np.zeros(50, bool)
    assert Coverage.of("a", "train", labels, nothing).shortfall(0.5) is None
    assert Coverage.of("a", "test", labels, nothing).shortfall(0.5) is not None


def test_a_caption_tells_of_smaller_shares_only():
    assert told({"train": 0.98, "validation": 0.99}) == "" == told({"test": 0.2})
    assert told({"train": 0.61}) == (
        "faces in 61.0% of the annotated train frames (official release: 98.0%)"
    )
