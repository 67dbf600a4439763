"""Acted recordings as readers: names, labels, times, folds of people, and what is refused."""

import shutil

import numpy as np
import pytest

from emolib.config import Experiment
from emolib.data import datasets, recordings
from emolib.data.clip import independent_of
from emolib.data.crema_d import CREMA_D
from emolib.data.index import LinkOut
from emolib.data.layout import TwoCandidates
from emolib.data.ravdess import RAVDESS
from emolib.errors import EmolibError, WrongCall
from emolib.labels import EXPRESSIONS
from tests.support import recordings as made

# The published tables: emotion number of a RAVDESS name, code of a CREMA-D name.
RAVDESS_CLASSES = {
    "01": "Neutral",
    "02": None,
    "03": "Happiness",
    "04": "Sadness",
    "05": "Anger",
    "06": "Fear",
    "07": "Disgust",
    "08": "Surprise",
}
CREMA_D_CLASSES = {
    "ANG": "Anger",
    "DIS": "Disgust",
    "FEA": "Fear",
    "HAP": "Happiness",
    "NEU": "Neutral",
    "SAD": "Sadness",
}


def read(root, dataset="ravdess", **settings):
    experiment = Experiment(data=str(root), dataset=dataset, **settings)
    return datasets.read_clips(experiment, root, ("train", "validation"))


def word(clip):
    """The class of a clip, which has one label."""
    (label,) = np.unique(clip.labels)
    return EXPRESSIONS[label] if label >= 0 else None


def test_published_totals():
    assert (RAVDESS.takes, RAVDESS.people) == (1440, 24)
    assert (CREMA_D.takes, CREMA_D.people) == (7442, 91)


def test_ravdess_voices_in_the_published_folders(tmp_path):
    clips = read(made.ravdess_voices(tmp_path), folds=2)
    assert len(clips) == 4 * 8 * 2
    for clip in clips:
        assert word(clip) == RAVDESS_CLASSES[clip.id[6:8]]
        assert clip.person == clip.id[-2:] and clip.images is None
        assert len(clip.labels) == 30 and not clip.face_present.any()
        assert np.allclose(np.diff(clip.frame_times), 1 / 30)
    assert {clip.person for clip in clips if clip.split == "validation"} == {"01", "02"}
    assert {clip.person for clip in clips if clip.split == "train"} == {"03", "04"}


def test_calm_gets_the_class_of_the_setting(tmp_path):
    root = made.ravdess_voices(tmp_path)
    calm = [word(c) for c in read(root, folds=2, no_counterpart="Other") if c.id[6:8] == "02"]
    assert set(calm) == {"Other"}
    plain = Experiment(data=str(root), dataset="ravdess")
    assert [EXPRESSIONS[c] for c in datasets.can_show(plain)] == list(EXPRESSIONS[:7])
    assert datasets.can_show(plain.replace(no_counterpart="Other")) == list(range(8))
    assert len(datasets.can_show(plain.replace(dataset="crema_d"))) == 6


def test_a_video_is_read_before_sound_and_its_copy_without_sound_is_not(tmp_path):
    root = made.ravdess_videos(tmp_path / "RAVDESS", frames=12)
    made.ravdess_voices(root / "Audio_Speech_Actors_01-24", range(1, 5))
    clips = {clip.id: clip for clip in read(root, folds=2)}
    names = made.ravdess_names(range(1, 3))
    assert set(clips) == {f"01-{name}" for name in names} | {
        f"03-{name}" for name in made.ravdess_names(range(3, 5))
    }
    video = clips[f"01-{names[0]}"]
    assert len(video.labels) == 12 and video.time_source == "video"
    assert video.fps == pytest.approx(29.97, abs=0.01)
    fixed = {clip.id: clip for clip in read(root, folds=2, timing="fixed_30")}[video.id]
    assert fixed.frame_times[-1] == pytest.approx(11 / 30)


def test_crops_are_found_where_aff_wild2_has_them(tmp_path):
    root = made.ravdess_videos(tmp_path, range(1, 5), frames=12)
    name = f"01-{made.ravdess_names(range(1, 5))[0]}"
    made.write_crops(root / "cropped_aligned" / name, 15)
    clip = next(clip for clip in read(root, folds=2) if clip.id == name)
    assert clip.face_present.all() and len(clip.face_present) == 12
    assert clip.image(12).is_file()


def test_song_and_foreign_files_are_passed_over(tmp_path):
    root = made.ravdess_voices(tmp_path, range(1, 5))
    made.write_wave(root / "Actor_01" / "03-02-03-01-01-01-01.wav")  # song
    made.write_wave(root / "Actor_01" / "notes.wav")
    (root / "__MACOSX").mkdir()
    made.write_wave(root / "__MACOSX" / "._03-01-03-01-01-01-01.wav")
    assert len(read(root, folds=2)) == 64


def test_copies_count_once_and_two_different_files_are_named(tmp_path):
    root = made.ravdess_voices(tmp_path, range(1, 5))
    shutil.copytree(root / "Actor_01", root / "audio_speech_actors_01-24" / "Actor_01")
    assert len(read(root, folds=2)) == 64
    made.write_wave(root / "mine" / "03-01-03-01-01-01-01.wav", pitch=999.0)
    with pytest.raises(TwoCandidates, match="03-01-03-01-01-01-01"):
        read(root, folds=2)


def test_nobody_is_on_both_sides_and_everybody_is_held_out_once():
    for collection in (RAVDESS, CREMA_D):
        first = collection.first_person
        people = [str(first + number) for number in range(collection.people)]
        for folds in (2, 5, 6):
            fold = [recordings.fold_of(collection, person, folds) for person in people]
            sizes = np.bincount(fold)[1:]
            assert len(sizes) == folds and sizes.max() - sizes.min() <= 2
            again = [recordings.fold_of(collection, person, folds) for person in people[::-1]]
            assert again[::-1] == fold
    six = {p: recordings.fold_of(RAVDESS, f"{p:02d}", 6) for p in range(1, 25)}
    for fold in range(1, 7):
        held_out = [person for person, one in six.items() if one == fold]
        assert len(held_out) == 4 and sum(person % 2 for person in held_out) == 2


def test_a_fold_without_a_person_is_refused(tmp_path):
    with pytest.raises(EmolibError, match="no person in validation with fold=3"):
        read(made.ravdess_voices(tmp_path, range(1, 3)), folds=3, fold=3)


def test_no_recording_and_no_test_split(tmp_path):
    with pytest.raises(EmolibError, match="no recording of RAVDESS"):
        read(tmp_path)
    experiment = Experiment(data=str(tmp_path), dataset="ravdess")
    with pytest.raises(WrongCall, match="folds of people"):
        datasets.read_clips(experiment, tmp_path, ("test",))


def test_a_link_out_is_refused_until_it_is_allowed(tmp_path):
    made.ravdess_voices(tmp_path / "elsewhere", range(1, 5))
    root = tmp_path / "data"
    root.mkdir()
    (root / "voices").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LinkOut, match="links_out"):
        read(root, folds=2)
    assert len(read(root, folds=2, links_out=True)) == 64


def test_an_empty_sound_file_is_named(tmp_path):
    root = made.ravdess_voices(tmp_path, range(1, 5))
    made.write_wave(root / "Actor_01" / "03-01-03-01-01-01-01.wav", seconds=0)
    with pytest.raises(EmolibError, match="03-01-03-01-01-01-01"):
        read(root, folds=2)


def test_crema_d_and_its_known_broken_file(tmp_path):
    root = made.crema_d_voices(tmp_path)
    (root / "AudioWAV" / "1076_MTI_SAD_XX.wav").write_bytes(b"")
    clips = read(root, "crema_d", folds=2)
    assert len(clips) == 24
    assert {clip.id: word(clip) for clip in clips} == {
        clip.id: CREMA_D_CLASSES[clip.id[9:12]] for clip in clips
    }


def test_the_crowds_vote_by_what_is_read(tmp_path):
    root = made.crema_d_voices(tmp_path)
    (root / "processedResults").mkdir()
    (root / "processedResults" / "summaryTable.csv").write_text(
        '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"\n'
        '"1","1001_IEO_ANG_MD","N","40","A","60","A","55"\n'
        '"2","1001_IEO_SAD_MD","N:S","40:50","S","60","S","55"\n'
    )

    def voted(**settings):
        clips = read(root, "crema_d", folds=2, label_source="crowd", **settings)
        return {clip.id[5:12]: word(clip) for clip in clips if clip.person == "1001"}

    heard = voted(modalities="audio", fusion="concat", contrastive_weight=0.0)
    assert (heard["IEO_ANG"], heard["IEO_SAD"]) == ("Neutral", None), "a tie is no label"
    both = voted()
    assert (both["IEO_ANG"], both["IEO_SAD"], both["IEO_FEA"]) == ("Anger", "Sadness", None)
    with pytest.raises(WrongCall, match="no table of votes"):
        read(root, "ravdess", label_source="crowd")


def test_takes_of_one_person_are_one_unit_of_an_interval(tmp_path):
    clips = read(made.ravdess_voices(tmp_path), folds=2)
    units = independent_of(clips)
    assert len(set(units.tolist())) == 4
    for clip, unit in zip(clips, units, strict=True):
        assert unit == units[[other.person for other in clips].index(clip.person)]


def test_the_real_recordings_are_all_read():
    root = made.real_ravdess() / "voices"
    clips = read(root, no_counterpart="Other")
    assert len(clips) == 384 and len({clip.person for clip in clips}) == 24
    counts = np.bincount([clip.labels[0] for clip in clips], minlength=8)
    assert counts.tolist() == [48] * 8
    assert all(80 < len(clip.labels) < 180 for clip in clips), "3 to 5 seconds each"


def test_of_the_real_files_of_one_take_the_video_is_read():
    found = recordings.find_recordings(RAVDESS, made.real_ravdess() / "native")
    assert [one.path.name for one in found] == [
        "01-01-01-01-01-01-01.mp4",  # and not 03-01-01-01-01-01-01.wav
        "03-01-03-02-01-01-04.wav",
        "03-01-05-02-02-01-11.wav",
    ]
