"""Where things are in a tree: the right file of two, hints that point the right way, no time lost
on what is not ours.
"""

import os
import shutil
import time

import pytest

from emolib.data.affwild2 import read_tree
from emolib.data.doctor import examine
from emolib.data.layout import TEST_LIST, find_layout
from emolib.errors import EmolibError
from tests.support.trees import Spec, clean, make_tree

ALL = ("train", "validation", "test")

pytestmark = pytest.mark.usefixtures("empty_runs")


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", clean())


def older_template(root):
    template = root / "ABAW_Expr_test_set_example.txt"
    shutil.copy(template, root / "CVPR_6th_ABAW_Expr_test_set_example.txt")
    return "CVPR_6th_ABAW_Expr_test_set_example.txt", "ABAW_Expr_test_set_example.txt"


def second_test_list(root):
    shutil.copy(root / "names_of_videos_in_each_test_set" / TEST_LIST, root / "batch1")
    return f"batch1/{TEST_LIST}", f"names_of_videos_in_each_test_set/{TEST_LIST}"


def older_annotations(root):
    shutil.copytree(
        root / "EXPR_Recognition_Challenge", root / "more" / "EXPR_Classification_Challenge"
    )
    return "more/EXPR_Classification_Challenge", "EXPR_Recognition_Challenge"


def second_video(root):
    (root / "batch3").mkdir()
    shutil.copy(root / "batch1" / "1-30-640x480.mp4", root / "batch3")
    return "batch1/1-30-640x480.mp4", "batch3/1-30-640x480.mp4"


def second_images(root):
    there = root / "cropped_aligned_new_50_vids" / "1-30-640x480"
    shutil.copytree(root / "cropped_aligned" / "1-30-640x480", there)
    return "cropped_aligned_new_50_vids/1-30-640x480", "cropped_aligned/1-30-640x480"


@pytest.mark.parametrize(
    "plant", [older_template, second_test_list, older_annotations, second_video, second_images]
)
def test_of_two_candidates_none_is_chosen_and_both_are_named(tree, plant):
    read_tree(tree, splits=ALL)
    names = plant(tree)
    with pytest.raises(EmolibError) as refused:
        read_tree(tree, splits=ALL)
    assert all(name in str(refused.value) for name in names)
    problems = [problem["kind"] for problem in examine(tree, progress=False)["problems"]]
    assert problems == ["two-candidates"]


def test_a_given_template_decides_between_two(tree):
    _, newer = older_template(tree)
    clips = read_tree(tree, splits=("test",), template=tree / newer)
    assert [clip.id for clip in clips] == ["4-30-640x480", "5-30-640x480"]


@pytest.mark.parametrize("junk", ["__MACOSX", ".hidden"])
def test_what_file_managers_leave_is_passed_over(tree, junk):
    """`unzip` on a Mac's archive leaves a second tree of empty shells."""
    before = read_tree(tree, splits=ALL)
    make_tree(tree / junk, [Spec("1-30-640x480"), Spec("9-30-640x480", split="test")])
    make_tree(tree / "annotations" / junk, [Spec("1-30-640x480")])
    for folder in ("cropped_aligned", "cropped_aligned/1-30-640x480", "batch1", "."):
        for name in (".DS_Store", "Thumbs.db", "._00001.jpg"):
            (tree / folder / name).write_bytes(b"left over")
    after = read_tree(tree, splits=ALL)
    assert [clip.id for clip in after] == [clip.id for clip in before]
    assert [clip.video for clip in after] == [clip.video for clip in before]
    assert examine(tree, progress=False)["problems"] == []


def test_annotations_that_lie_too_deep_are_pointed_to(tmp_path):
    make_tree(tmp_path / "download" / "ABAW" / "Annotations" / "2024", clean())
    with pytest.raises(EmolibError, match=r"lie deeper, in .*; give .*/Annotations/2024$"):
        find_layout(tmp_path / "download")


def test_the_annotation_folder_itself_is_pointed_away_from(tree):
    with pytest.raises(EmolibError, match=rf"give the folder above it, {tree}$"):
        find_layout(tree / "EXPR_Recognition_Challenge")


@pytest.mark.parametrize("rest", [0, 2])
def test_nested_crops_are_refused_with_what_to_do(tree, rest):
    """`unzip` into a folder of the same name; with some clips where they belong."""
    crops = tree / "cropped_aligned"
    crops.rename(tree / "inner")
    crops.mkdir()
    for folder in sorted((tree / "inner").iterdir())[:rest]:
        folder.rename(crops / folder.name)
    (tree / "inner").rename(crops / "cropped_aligned")
    with pytest.raises(EmolibError, match=r"a folder too deep; move what is in it up into .*/crop"):
        read_tree(tree)
    assert not examine(tree, progress=False)["exit_ok"]


@pytest.mark.parametrize("what", ["cropped_aligned", "batch1", "EXPR_Recognition_Challenge"])
def test_links_that_leave_the_tree_are_read_where_an_option_says_so(tmp_path, tree, what):
    before = read_tree(tree, splits=ALL)
    (tree / what).rename(tmp_path / "shared")
    (tree / what).symlink_to(tmp_path / "shared")
    with pytest.raises(EmolibError, match="leads out of the tree"):
        read_tree(tree, splits=ALL)
    assert not examine(tree, progress=False)["exit_ok"]
    assert examine(tree, progress=False, links_out=True)["problems"] == []
    after = read_tree(tree, splits=ALL, links_out=True)
    for a, b in zip(before, after, strict=True):
        assert (a.id, a.fps, a.face_present.tolist()) == (b.id, b.fps, b.face_present.tolist())


def test_a_folder_of_very_many_files_costs_no_time(tree):
    """Frames unpacked beside the crops: a million took 37 s, which is 0.74 s for these."""
    frames = tree / "frames"
    frames.mkdir()
    source = frames / "0.jpg"
    source.write_bytes(b"")
    for number in range(1, 20_001):
        os.mknod(frames / f"{number}.jpg")
    find_layout(tree)
    begun = time.process_time()
    find_layout(tree)
    assert time.process_time() - begun < 0.25
