"""``emolib doctor``: a clean tree is ready, and each planted fault is found by
its name and nothing else is.
"""

import json
import shutil
import warnings

import numpy as np
import pytest

from emolib.data import annotations, doctor, media
from emolib.data.affwild2 import read_tree
from emolib.data.coverage import check_coverage
from emolib.data.doctor import examine, format_report
from emolib.data.kinds import KINDS
from emolib.data.layout import TEST_LIST
from emolib.data.mark import MARK
from emolib.errors import EmolibError, WrongCall
from tests.support.trees import HEADER, JPEG, Spec, clean, make_tree, write_test_files, write_video

LABELS = [0, 1, 2, 3, 4, 5, 6, 7] * 3
LONG = [0, 1, 2, 3, 4, 5, 6, 7] * 50

pytestmark = pytest.mark.usefixtures("empty_runs")


def annotation(root, name="1-30-640x480", split="Train_Set"):
    return root / "EXPR_Recognition_Challenge" / split / f"{name}.txt"


def images(root, name="1-30-640x480"):
    return root / "cropped_aligned" / name


def write(file, lines, *, end="\n", mark=b""):
    file.write_bytes(mark + (end.join(map(str, lines)) + end).encode())


def add(root, spec, **options):
    return make_tree(root, [spec], **options)


def link_out(path, root):
    outside = root.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)


def more_images(root):
    for frame in range(25, 30):
        (images(root) / f"{frame:05d}.jpg").write_bytes(JPEG)


def from_zero(root):
    for frame in range(24):
        (images(root) / f"{frame + 1:05d}.jpg").rename(images(root) / f"{frame:05d}.jpg")


def rename_annotations(root, *, copy=False):
    move = shutil.copytree if copy else shutil.move
    move(root / "EXPR_Recognition_Challenge", root / "EXPR_Classification_Challenge")


def other_batch(root, suffix):
    (root / "batch3").mkdir()
    shutil.copy(root / "batch1" / "1-30-640x480.mp4", root / "batch3" / f"1-30-640x480{suffix}")


def remove(root, frames, name="1-30-640x480"):
    for frame in frames:
        (images(root, name) / f"{frame:05d}.jpg").unlink(missing_ok=True)


def capitals(root):
    for path in images(root).iterdir():
        path.rename(path.with_suffix(".JPG"))


# kind, with a word after a colon where there are several -> what plants it
FAULTS = {
    "empty-file": lambda root: annotation(root).write_bytes(b""),
    "unreadable-file": lambda root: annotation(root).write_bytes(b"\xff\xfe0\x00"),
    "header": lambda root: write(annotation(root), LABELS),
    "header-order": lambda root: write(
        annotation(root), [",".join(HEADER.split(",")[::-1]), *LABELS]
    ),
    "label-range": lambda root: write(annotation(root), [HEADER, *LABELS[:-1], 9]),
    "label-not-a-number": lambda root: write(annotation(root), [HEADER, *LABELS[:-1], "x"]),
    "link-out": lambda root: link_out(images(root), root),
    "id-in-both-splits": lambda root: shutil.copy(
        annotation(root), annotation(root, split="Validation_Set")
    ),
    "id-in-test-too": lambda root: write_test_files(
        root, [Spec("4-30-640x480"), Spec("5-30-640x480"), Spec("1-30-640x480")]
    ),
    "shared-source": lambda root: add(
        root, Spec("1-30-640x480_left", split="validation", fps=None)
    ),
    "shared-video": lambda root: (
        add(root, Spec("8-30-640x480", split="validation", fps=None)),
        shutil.copy(root / "batch1" / "1-30-640x480.mp4", root / "batch1" / "8-30-640x480.mp4"),
    ),
    "video-unreadable": lambda root: (root / "batch1" / "1-30-640x480.mp4").write_bytes(
        b"not a video"
    ),
    "frame-count-far": lambda root: add(root, Spec("8-30-640x480", frames=12)),
    "frame-count": lambda root: add(root, Spec("8-30-640x480", labels=LONG, frames=397)),
    "images-beyond-labels": more_images,
    "images-from-zero": from_zero,
    "image-names": lambda root: (images(root) / "00003.jpg").rename(images(root) / "3.jpg"),
    "image-unreadable": lambda root: (images(root) / "00003.jpg").write_bytes(
        JPEG[: len(JPEG) // 2]
    ),
    "frame-rates": lambda root: (root / "frame_rates.csv").write_text(
        "id,fps\n1-30-640x480,fast\n"
    ),
    "test-files": lambda root: (root / "names_of_videos_in_each_test_set" / TEST_LIST).write_text(
        "4-30-640x480\n../5-30\n"
    ),
    "two-candidates": lambda root: other_batch(root, ".avi"),
    "two-candidates: batches": lambda root: other_batch(root, ".mp4"),
    "two-candidates: images": lambda root: shutil.copytree(
        images(root), root / "cropped_aligned_new_50_vids" / "1-30-640x480"
    ),
    "two-candidates: annotations": lambda root: rename_annotations(root, copy=True),
    "two-candidates: test lists": lambda root: shutil.copy(
        root / "names_of_videos_in_each_test_set" / TEST_LIST, root / "batch1"
    ),
    "two-candidates: templates": lambda root: shutil.copy(
        root / "ABAW_Expr_test_set_example.txt", root / "CVPR_6th_ABAW_Expr_test_set_example.txt"
    ),
    "no-images": lambda root: shutil.rmtree(images(root)),
    "split-few-faces: of the test clips": lambda root: shutil.rmtree(images(root, "4-30-640x480")),
    "images-end-early": lambda root: remove(root, range(15, 25)),
    "few-faces: of a test clip": lambda root: remove(root, range(1, 20), "4-30-640x480"),
    "split-few-faces": lambda root: remove(root, range(1, 14), "3-12-640x480"),
    "image-names: capitals": lambda root: capitals(root),
    "image-names: six digits": lambda root: [
        path.rename(path.with_name(f"0{path.name}")) for path in images(root).iterdir()
    ],
    "image-names: png": lambda root: (images(root) / "00002.jpg").rename(
        images(root) / "00002.png"
    ),
    "few-faces": lambda root: remove(root, range(5, 23)),
    "nothing-annotated": lambda root: write(annotation(root), [HEADER, *[-1] * 24]),
    "no-video": lambda root: (root / "batch1" / "1-30-640x480.mp4").unlink(),
    "no-sound": lambda root: write_video(
        root / "batch1" / "1-30-640x480.mp4", 24, 25.0, sound=False
    ),
    "sound-shorter": lambda root: add(root, Spec("8-30-640x480", labels=LONG, sound_seconds=3.0)),
    "test-clips-differ": lambda root: (
        (root / "names_of_videos_in_each_test_set" / TEST_LIST).write_text(
            "4-30-640x480\n5-30-640x480\n7\n"
        )
        and (
            shutil.copytree(images(root), images(root, "7")),
            write_video(root / "batch1" / "7.mp4", 24, 25.0),
        )
    ),
    "known-shared-source": lambda root: (
        add(root, Spec("6-30-1920x1080_left")),
        add(root, Spec("6-30-1920x1080_right", split="validation", fps=None)),
    ),
    "older-annotation-folder": rename_annotations,
    "byte-order-mark": lambda root: write(
        annotation(root), [HEADER, *LABELS], mark=b"\xef\xbb\xbf"
    ),
    "crlf": lambda root: write(annotation(root), [HEADER, *LABELS], end="\r\n"),
    "line-count": lambda root: add(root, Spec("8-30-640x480", frames=23)),
    "unpaired-images": lambda root: shutil.copytree(images(root), images(root, "99-30-640x480")),
    "unpaired-videos": lambda root: write_video(root / "batch2" / "99-30-640x480.mp4", 9, 25.0),
}


def test_a_clean_tree_is_ready_and_counted(tmp_path):
    report = examine(make_tree(tmp_path, clean()), progress=False)
    assert report["problems"] == []
    assert report["exit_ok"]
    json.dumps(report, allow_nan=False)
    train, validation = report["totals"]["train"], report["totals"]["validation"]
    assert (train["clips"], train["lines"], train["labelled"], train["with_face"]) == (
        3,
        72,
        72,
        70,
    )
    assert train["classes"] == [9, 9, 8, 8, 9, 9, 9, 9]
    assert (validation["clips"], validation["with_face"]) == (1, 23)
    assert report["totals"]["test"]["clips"] == 2
    assert report["images_read"] == 6 * 24 - 4
    assert report["clips"][3] == {
        "id": "3-12-640x480",
        "split": "validation",
        "lines": 24,
        "images": 23,
        "faces_missing": 1,
        "decoded": 24,
        "fps": 12.5,
        "time_source": "video",
        "drift_s": pytest.approx(23 / 30 - 23 / 12.5, abs=1e-3),
        "sound": True,
    }


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found_and_nothing_else(tmp_path, fault, full):
    root, kind = make_tree(tmp_path / "tree", clean()), fault.split(":")[0]
    FAULTS[fault](root)
    report = examine(root, full=full, progress=False)
    assert [problem["kind"] for problem in report["problems"]] == [kind]
    assert report["exit_ok"] == (KINDS[kind][0] != "error")
    (problem,) = report["problems"]
    assert all(problem[name] for name in ("where", "what", "do", "severity", "count"))
    assert kind in format_report(report)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("lacking", ["images", "video", "sound"])
def test_a_split_without_any_image_or_sound_is_not_ready(tmp_path, split, lacking):
    root = make_tree(tmp_path / "tree", clean())
    for spec in clean():
        if spec.split == split:
            video = (
                root / spec.videos / f"{spec.id.removesuffix('_left').removesuffix('_right')}.mp4"
            )
            if lacking == "images":
                shutil.rmtree(images(root, spec.id))
            elif lacking == "video":
                video.unlink(missing_ok=True)
            elif video.exists():
                write_video(video, 24, 25.0, sound=False)
    report = examine(root, progress=False)
    assert [
        problem["where"] for problem in report["problems"] if problem["severity"] == "error"
    ] == [split]
    assert not report["exit_ok"] and "Ready for training." not in format_report(report)


def test_a_link_to_a_video_of_the_other_split_is_a_leak(tmp_path):
    root = make_tree(tmp_path / "tree", clean())
    add(root, Spec("8-30-640x480", split="validation", fps=None))
    (root / "batch1" / "8-30-640x480.mp4").symlink_to("1-30-640x480.mp4")
    assert [problem["kind"] for problem in examine(root, progress=False)["problems"]] == [
        "shared-video"
    ]


def test_the_test_list_is_read_once(tmp_path, monkeypatch):
    read, lines = [], annotations.read_lines
    monkeypatch.setattr(
        annotations, "read_lines", lambda path: read.append(path.name) or lines(path)
    )
    examine(make_tree(tmp_path, clean()), progress=False)
    assert read.count(TEST_LIST) == 1


@pytest.mark.parametrize("fault", ["no image", "a folder deeper", "no label"])
def test_a_split_without_one_usable_frame_is_not_ready(tmp_path, fault):
    root = make_tree(tmp_path / "tree", clean())
    assert examine(root, progress=False)["exit_ok"]
    for file in (root / "EXPR_Recognition_Challenge" / "Train_Set").glob("*.txt"):
        if fault == "no label":
            write(file, [HEADER, *[-1] * 24])
        elif fault == "no image":
            shutil.rmtree(images(root, file.stem), ignore_errors=True)
    if fault == "a folder deeper":
        (root / "cropped_aligned").rename(root / "crops")
        (root / "cropped_aligned").mkdir()
        (root / "crops").rename(root / "cropped_aligned" / "cropped_aligned")
    report = examine(root, progress=False)
    expected = {
        "no image": ("split-few-faces", "train"),
        "no label": ("nothing-to-use", "train"),
        "a folder deeper": ("not-a-tree", "."),
    }
    found = [(problem["kind"], problem["where"]) for problem in report["problems"]]
    assert not report["exit_ok"] and expected[fault] in found


def test_unknown_crops_are_a_wrong_call(tmp_path):
    with pytest.raises(WrongCall, match="crops='aligned'"):
        examine(make_tree(tmp_path / "tree", clean()), crops="aligned", progress=False)


def test_a_frame_number_of_years_is_a_wrong_name(tmp_path):
    root = make_tree(tmp_path / "tree", clean())
    (images(root) / "1699999999999.jpg").write_bytes(JPEG)
    assert "image-names" in [
        problem["kind"] for problem in examine(root, progress=False)["problems"]
    ]


def test_every_kind_has_a_test_that_plants_it():
    planted = {fault.split(":")[0] for fault in FAULTS}
    assert set(KINDS) == planted | {"not-a-tree", "nothing-to-use", "totals", "totals-far"}


def of_severity(severity):
    return [fault for fault in FAULTS if KINDS[fault.split(":")[0]][0] == severity]


@pytest.mark.parametrize("fault", of_severity("error"))
def test_only_errors_can_stop_the_reader(tmp_path, fault):
    """What is an error is refused by the reader, or told in a warning, or is silently wrong and
    only the doctor can see it.
    """
    root, kind = make_tree(tmp_path / "tree", clean()), fault.split(":")[0]
    FAULTS[fault](root)
    silent = {"id-in-test-too", "shared-source", "shared-video", "image-unreadable"}
    told = {"frame-count-far", "images-beyond-labels"}
    if kind in silent | told:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            read_tree(root, splits=("train", "validation", "test"))
        assert len(warned) == (kind in told)
    else:
        with pytest.raises(EmolibError):
            check_coverage(read_tree(root, splits=("train", "validation", "test")))


@pytest.mark.parametrize("kind", of_severity("note"))
def test_notes_change_nothing_of_what_is_read(tmp_path, kind):
    root = make_tree(tmp_path / "tree", clean())
    before = read_tree(root)
    FAULTS[kind](root)
    after = {clip.id: clip for clip in read_tree(root)}
    for clip in before:
        assert (after[clip.id].labels == clip.labels).all()
        assert (after[clip.id].face_present == clip.face_present).all()
        assert (after[clip.id].frame_times == clip.frame_times).all()


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda root: None, "not-a-tree"),
        (lambda root: link_out(root / "cropped_aligned", root), "link-out"),
    ],
)
def test_what_is_not_a_tree_is_a_problem_not_a_traceback(tmp_path, make, kind):
    root = tmp_path / "tree"
    root.mkdir()
    if kind == "link-out":
        make_tree(root, clean())
    make(root)
    report = examine(root, progress=False)
    assert [problem["kind"] for problem in report["problems"]] == [kind]
    assert not report["exit_ok"]
    assert "Not ready" in format_report(report)


@pytest.mark.parametrize(("missing", "kinds"), [(0, set()), (10, {"totals-far"}), (1, {"totals"})])
def test_totals_are_held_against_the_official_ones(tmp_path, monkeypatch, missing, kinds):
    monkeypatch.setattr(doctor, "LOOKS_OFFICIAL", 3)
    root = make_tree(tmp_path, clean())
    have = examine(root, progress=False)["totals"]
    official = {
        split: {name: have[split][name] for name in ("clips", "labelled", "with_face")}
        for split in ("train", "validation")
    }
    official["test"] = {"clips": 2}
    official["train"]["with_face"] += missing
    monkeypatch.setattr(doctor, "FAR", 0.05)
    monkeypatch.setattr(doctor, "OFFICIAL", official)
    report = examine(root, progress=False)
    assert {problem["kind"] for problem in report["problems"]} == kinds
    assert report["exit_ok"] == ("totals-far" not in kinds)
    (root / MARK).write_text("{}")
    assert examine(root, progress=False)["problems"] == []


def test_images_are_sampled_unless_full(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "SAMPLED_IMAGES", 20)
    root = make_tree(tmp_path, clean())
    assert examine(root, progress=False)["images_read"] <= 24
    assert examine(root, full=True, progress=False)["images_read"] == 140


def test_each_video_is_opened_once(tmp_path, monkeypatch):
    opened = []
    seconds = media.sound_seconds
    monkeypatch.setattr(
        media,
        "sound_seconds",
        lambda video, decode: opened.append(video.name) or seconds(video, decode=decode),
    )
    examine(make_tree(tmp_path, clean()), progress=False)
    assert sorted(opened) == sorted({*opened})


def test_the_report_shows_every_clip_and_total(tmp_path):
    root = make_tree(tmp_path, clean())
    (images(root) / "00003.jpg").write_bytes(b"")
    text = format_report(examine(root, progress=False))
    for spec in clean():
        assert spec.id in text
    assert "image-unreadable: cropped_aligned/1-30-640x480/00003.jpg" in text
    assert "597,361" in text
    assert np.max([len(line) for line in text.splitlines()]) < 200


def test_a_clip_that_only_the_template_has_is_named_and_predicted(tmp_path):
    root = make_tree(tmp_path / "tree", clean())
    folder = root / "names_of_videos_in_each_test_set"
    (folder / TEST_LIST).write_text("4-30-640x480\n")
    (problem,) = examine(root, progress=False)["problems"]
    assert (
        problem["kind"] == "test-clips-differ"
        and "5-30-640x480, which the test list lacks" in problem["what"]
    )
    assert {clip.id for clip in read_tree(root, splits=("test",))} == {
        "4-30-640x480",
        "5-30-640x480",
    }
