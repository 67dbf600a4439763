"""``emolib doctor --dataset``: counts against the published ones, and each fault by its name."""

import numpy as np

from emolib.config import parse_settings, preset
from emolib.data.crema_d import CREMA_D
from emolib.data.ravdess import RAVDESS
from emolib.data.recordings_doctor import examine_recordings, format_recordings
from emolib.video.crop_recordings import crop_recordings
from tests.support import recordings as made


def kinds(report):
    return {problem["kind"] for problem in report["problems"]}


def test_a_part_is_counted_against_the_whole(tmp_path):
    report = examine_recordings(RAVDESS, made.ravdess_voices(tmp_path), progress=False)
    assert report["totals"]["recordings"] == 64 and report["totals"]["people"] == 4
    assert report["published"]["recordings"] == 1440 and report["published"]["people"] == 24
    assert report["exit_ok"] and kinds(report) == {"published-totals", "sound-alone"}
    text = "\n".join(format_recordings(report))
    assert "64" in text and "1,440" in text


def test_every_fault_has_its_name(tmp_path):
    root = made.crema_d_voices(tmp_path)
    voices = root / "AudioWAV"
    (voices / "1001_IEO_ANG_MD.wav").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (voices / "1001_IEO_DIS_MD.wav").write_bytes(b"not a sound")
    report = examine_recordings(CREMA_D, root, progress=False)
    of_files = {"git-lfs", "video-unreadable", "published-totals", "known-broken"}
    assert kinds(report) == of_files | {"sound-alone"}
    assert not report["exit_ok"] and report["totals"]["recordings"] == 22


def test_a_folder_without_a_recording_is_no_exception(tmp_path):
    report = examine_recordings(RAVDESS, tmp_path, progress=False)
    assert kinds(report) == {"not-a-tree"} and not report["exit_ok"]


def test_sound_alone_is_told_with_the_settings_it_needs(tmp_path):
    root = made.ravdess_voices(tmp_path / "voices", actors=range(1, 3))
    report = examine_recordings(RAVDESS, root, progress=False)
    (problem,) = [p for p in report["problems"] if p["kind"] == "sound-alone"]
    settings = "dataset=ravdess,modalities=audio,fusion=concat,contrastive_weight=0,selection=last"
    assert f"--set {settings}; emolib crop is not needed" in problem["what"]
    preset("demo", data=str(root), **parse_settings(settings))
    lines = format_recordings(report)
    assert any(line.startswith("06 Fear ") for line in lines)
    assert any(line.startswith("02 no class ") for line in lines)
    cropped = crop_recordings(preset("paper", data=str(root), dataset="ravdess"), progress=False)
    assert "nothing to crop: these recordings have no pictures" in cropped.text()


def test_videos_without_crops_are_named(tmp_path):
    root = made.ravdess_videos(tmp_path, range(1, 2), frames=4)
    first = sorted(root.rglob("01-*.mp4"))[0].stem
    made.write_crops(root / "cropped_aligned" / first, 4)
    report = examine_recordings(RAVDESS, root, progress=False)
    (problem,) = [p for p in report["problems"] if p["kind"] == "no-crops"]
    assert problem["count"] == 15
    assert np.sum([row["images"] for row in report["clips"]]) == 4
