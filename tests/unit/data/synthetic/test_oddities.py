"""Every oddity of the real tree, planted: the doctor finds each and nothing else,
and what is read stays true.
"""

import json
import warnings
from collections import Counter

import numpy as np
import pytest

from emolib.data import media
from emolib.data.affwild2 import read_tree
from emolib.data.doctor import examine
from emolib.data.kinds import KINDS
from emolib.data.synthetic.oddities import CLIP_FAULTS, CLIP_ODDITIES, SHARED_ID, plant
from emolib.errors import EmolibError, WrongCall
from tests.support.trees import Spec, make_tree

LABELS = [0, 1, 2, 3, 4, 5, 6, 7] * 10  # 3.2 s


def generated(root):
    """A clean tree with enough clips: singles and a pair in train, singles in validation."""
    specs = [Spec(f"{100 + i}-25-112x112", labels=LABELS) for i in range(len(CLIP_ODDITIES) + 1)]
    specs += [Spec("video7_left", labels=LABELS), Spec("video7_right", labels=LABELS, fps=None)]
    specs += [
        Spec(f"{200 + i}-25-112x112", labels=LABELS, split="validation")
        for i in range(len(CLIP_FAULTS))
    ]
    return make_tree(root, [*specs, Spec("300-25-112x112", labels=LABELS, split="test")])


@pytest.fixture(scope="module", params=[False, True], ids=["oddities", "with faults"])
def odd(request, module_path):
    """(clips before, root, rows planted, report of the doctor, whether faults were planted)."""
    folder = module_path / ("with faults" if request.param else "oddities")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EMOLIB_RUNS", str(folder / "runs"))
        root = generated(folder / "tree")
        clean = examine(root, progress=False)
        assert clean["problems"] == []
        assert clean["exit_ok"]
        before = {clip.id: clip for clip in read_tree(root)}
        rows = plant(root, faults=request.param)
        yield before, root, rows, examine(root, progress=False), request.param


def test_the_doctor_finds_each_planted_oddity_and_nothing_else(odd):
    _, _, rows, report, faults = odd
    expected = Counter()
    for row in rows:
        for kind in row["kinds"]:
            expected[kind] += 1
    found = Counter()
    for problem in report["problems"]:
        found[problem["kind"]] += problem["count"] if problem["kind"] == "line-count" else 1
    if faults:  # an unreadable test list leaves nobody to say whose crops and videos are left over
        del expected["unpaired-images"], expected["unpaired-videos"]
    assert found == expected
    assert report["exit_ok"] == (not faults)


def test_each_fault_is_found_at_its_own_clip(odd):
    _, _, rows, report, _ = odd
    for row in rows:
        for kind in row["kinds"]:
            if row["severity"] == "fault" and row["clip"]:
                assert any(
                    row["clip"] in problem["where"]
                    for problem in report["problems"]
                    if problem["kind"] == kind
                )


def test_oddities_are_no_errors_and_faults_are(odd):
    for row in odd[2]:
        for kind in row["kinds"]:
            assert (KINDS[kind][0] == "error") == (row["severity"] == "fault")


def test_every_oddity_of_the_list_is_planted(odd):
    _, root, rows, _, faults = odd
    names = {row["oddity"] for row in rows}
    assert names >= set(CLIP_ODDITIES)
    assert (names >= set(CLIP_FAULTS)) == faults
    json.dumps(rows)
    assert (root / "EXPR_Classification_Challenge").is_dir()
    assert (root / "cropped_aligned_new_50_vids").is_dir()


def test_what_is_read_stays_true(odd):
    before, root, rows, _, faults = odd
    if faults:
        with pytest.raises(EmolibError):
            read_tree(root)
        return
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        after = {clip.id: clip for clip in read_tree(root)}
    changed = {row["oddity"]: row["clip"] for row in rows}
    assert [str(warning.message).split(":")[0] for warning in warned] == [changed["no video"]]
    for clip in before.values():
        now = after[clip.id.replace("video7", SHARED_ID)]
        n = min(len(clip.labels), len(now.labels))
        if clip.id != changed["frames without a label"]:
            assert (now.labels[:n] == clip.labels[:n]).all()
        if clip.id != changed["missing faces"]:
            assert (now.face_present[:n] == clip.face_present[:n]).all()
        if clip.id != changed["no video"]:
            np.testing.assert_allclose(now.frame_times[:n], clip.frame_times[:n], atol=1e-3)
    lines = {
        name: len(after[changed[f"{name} than frames"]].labels)
        for name in ("one line more", "two lines more", "one line less")
    }
    assert lines == {"one line more": 81, "two lines more": 82, "one line less": 79}
    assert after[changed["no video but a frame rate"]].time_source == "frame-rate list"
    assert after[changed["video as .avi"]].video.suffix == ".avi"
    assert (after[f"{SHARED_ID}_left"].split, after[f"{SHARED_ID}_right"].split) == (
        "train",
        "validation",
    )


def test_the_avi_sounds_and_looks_as_before(odd):
    _, root, rows, _, _ = odd
    clip_id = next(row["clip"] for row in rows if row["oddity"] == "video as .avi")
    avi = next(root.rglob(f"{clip_id}.avi"))
    assert avi.read_bytes()[:4] == b"RIFF"
    sound = media.read_waveform(avi)
    assert len(sound) == pytest.approx(3.2 * media.SAMPLE_RATE, rel=0.02)
    assert 0.1 < np.abs(sound).max() <= 0.5
    assert len(media.frame_times(avi)) == 80


def test_planting_is_repeatable(tmp_path):
    trees = [generated(tmp_path / name) for name in "ab"]
    assert plant(trees[0]) == plant(trees[1])
    files = [
        sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file())
        for tree in trees
    ]
    assert files[0] == files[1]
    for path in files[0]:
        assert (trees[0] / path).read_bytes() == (trees[1] / path).read_bytes(), path


def test_too_few_clips_are_refused(tmp_path):
    root = make_tree(tmp_path, [Spec("1-25-8x8"), Spec("2-25-8x8", split="validation")])
    with pytest.raises(WrongCall, match="1 training clips"):
        plant(root)
    assert (root / "EXPR_Recognition_Challenge" / "Train_Set" / "1-25-8x8.txt").is_file()
