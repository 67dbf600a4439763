"""The challenge's file: every row of the template in its order, and a checker that names each kind of damage."""

import time

import numpy as np
import pytest

from emolib.errors import EmolibError, WrongCall
from emolib.submission import check, fill, write_submission
from tests.unit.trees import HEADER

FRAMES = {"14-30-1920x1080": 6, "7-25-640x480_left": 5, "100-12-320x240": 4}


@pytest.fixture
def template(tmp_path):
    rows = [f"{clip}/{frame:05d}.jpg,0" for clip, n in FRAMES.items() for frame in range(1, n + 1)]
    path = tmp_path / "ABAW_Expr_test_set_example.txt"
    path.write_text("\n".join([f"image_location,{HEADER}", *rows]) + "\n")
    return path


def predicted():
    rng = np.random.default_rng(0)
    return {clip: rng.integers(0, 8, n) for clip, n in FRAMES.items()}


def test_every_row_of_the_template_is_written_in_its_order(tmp_path, template):
    predictions, out = predicted(), tmp_path / "out.txt"
    summary = write_submission(template, predictions, out)
    lines = out.read_text().split("\n")
    assert lines[0] == f"image_location,{HEADER}"
    assert lines[-1] == ""
    assert lines[1:-1] == [
        f"{clip}/{frame:05d}.jpg,{predictions[clip][frame - 1]}" for clip, n in FRAMES.items() for frame in range(1, n + 1)
    ]
    assert summary["rows"] == 15
    assert summary["filled"] == 0
    assert check(out, template) == []


def test_rows_follow_frame_numbers_not_positions(tmp_path, template):
    rows = ["a/00004.jpg", "b/00002.jpg", "a/00001.jpg"]  # frames left out, clips mixed
    template.write_text("\n".join([f"image_location,{HEADER}", *rows]) + "\n")
    write_submission(template, {"a": np.array([1, 2, 3, 4]), "b": np.array([5, 6, 7])}, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text().split("\n")[1:-1] == ["a/00004.jpg,4", "b/00002.jpg,6", "a/00001.jpg,1"]
    assert check(tmp_path / "out.txt", template) == []


def test_the_fill_rule():
    assert fill(np.array([-1, -1, 3, -1, 5, -1])).tolist() == [3, 3, 3, 3, 5, 5]
    assert fill(np.array([-1, -1])).tolist() == [0, 0]
    rng = np.random.default_rng(1)
    for _ in range(300):
        classes = rng.integers(-1, 8, rng.integers(1, 20)) * (rng.random() < 0.9)
        expected, last = [], next((c for c in classes if c >= 0), 0)
        for c in classes:
            last = c if c >= 0 else last
            expected.append(last)
        assert fill(classes).tolist() == expected


def test_short_empty_and_superfluous_predictions(tmp_path, template):
    predictions = predicted()
    predictions["14-30-1920x1080"] = np.array([-1, 4, 5])
    predictions["100-12-320x240"] = np.zeros(0, int)
    predictions["unasked"] = np.array([1])
    summary = write_submission(template, predictions, tmp_path / "out.txt")
    assert (summary["filled"], summary["empty"], summary["left_out"]) == (4 + 4, ["100-12-320x240"], ["unasked"])
    classes = [int(line.split(",")[1]) for line in (tmp_path / "out.txt").read_text().split("\n")[1:7]]
    assert classes == [4, 4, 5, 5, 5, 5]
    assert check(tmp_path / "out.txt", template) == []


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p: p.pop("7-25-640x480_left"), EmolibError, "7-25-640x480_left"),
        (lambda p: p.update({"100-12-320x240": np.array([8, 0])}), WrongCall, "prediction of 8"),
        (lambda p: p.update({"100-12-320x240": np.array([0.5, 0])}), WrongCall, "integer"),
        (lambda p: p.update({"100-12-320x240": np.zeros((4, 8), int)}), WrongCall, "shape"),
    ],
)
def test_wrong_predictions_are_refused_and_nothing_is_written(tmp_path, template, change, error, message):
    predictions = predicted()
    change(predictions)
    with pytest.raises(error, match=message):
        write_submission(template, predictions, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def edit(*changes):
    """A damage: (0-based line, new text or None to remove it) applied from the last to the first."""

    def damaged(lines):
        for at, text in changes:
            lines[at : at + 1] = [] if text is None else [text]
        return "\n".join(lines).encode() + b"\n"

    return damaged


def swapped(lines):
    lines[3], lines[4] = lines[4], lines[3]
    return "\n".join(lines).encode() + b"\n"


ROW = "14-30-1920x1080/00003.jpg"
DAMAGES = {
    "empty": (lambda lines: b"", {"empty"}, 1),
    "no text": (lambda lines: b"\xff\xfe\x00", {"unreadable"}, 1),
    "byte order mark": (lambda lines: b"\xef\xbb\xbf" + "\n".join(lines).encode(), {"byte-order-mark"}, 1),
    "header without its first column": (edit((0, HEADER)), {"header"}, 1),
    "no header": (edit((0, None)), {"header"}, 1),
    "a class too high": (edit((3, f"{ROW},8")), {"range"}, 4),
    "a class of -1": (edit((3, f"{ROW},-1")), {"range"}, 4),
    "a class by name": (edit((3, f"{ROW},Fear")), {"not-a-class"}, 4),
    "a class with a point": (edit((3, f"{ROW},3.0")), {"not-a-class"}, 4),
    "no class": (edit((3, f"{ROW},")), {"not-a-class"}, 4),
    "eight columns": (edit((3, f"{ROW},0,0,0,1,0,0,0,0")), {"columns"}, 4),
    "one column": (edit((3, ROW)), {"columns"}, 4),
    "a row twice": (edit((4, f"{ROW},1\n{ROW},1"), (4, f"{ROW},1")), {"duplicate", "missing"}, 5),
    "a row too many": (edit((3, f"{ROW},1\n{ROW},1")), {"duplicate"}, 5),
    "a row left out": (edit((3, None)), {"missing"}, 16 - 1 + 1),
    "the end cut off": (lambda lines: "\n".join(lines[:10]).encode(), {"missing"}, 11),
    "a foreign row": (edit((3, f"{ROW},1\n99/00001.jpg,1")), {"unknown"}, 5),
    "two rows exchanged": (swapped, {"order"}, 4),
    "a location of another form": (edit((3, f"./{ROW}.png,1")), {"location", "missing"}, 4),
    "a blank line": (edit((3, f"{ROW},1\n")), {"blank-line"}, 5),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_damage_is_named(tmp_path, template, damage):
    make, kinds, line = DAMAGES[damage]
    out = tmp_path / "out.txt"
    write_submission(template, predicted(), out)
    out.write_bytes(make(out.read_text().rstrip("\n").split("\n")))
    problems = check(out, template)
    assert {problem["kind"] for problem in problems} == kinds
    assert line in {problem["line"] for problem in problems}
    assert all(problem["what"] and problem["count"] >= 1 for problem in problems)


def test_crlf_and_a_missing_last_line_end_are_no_damage(tmp_path, template):
    out = tmp_path / "out.txt"
    write_submission(template, predicted(), out)
    out.write_bytes(out.read_bytes().rstrip(b"\n").replace(b"\n", b"\r\n"))
    assert check(out, template) == []


def test_several_damages_are_all_named_with_their_counts(tmp_path, template):
    out = tmp_path / "out.txt"
    write_submission(template, predicted(), out)
    lines = out.read_text().split("\n")
    lines[2], lines[3], lines[5] = lines[2][:-1] + "9", lines[3][:-1] + "12", lines[5][:-1] + "x"
    out.write_text("\n".join(lines))
    assert {problem["kind"]: (problem["line"], problem["count"]) for problem in check(out, template)} == {
        "range": (3, 2),
        "not-a-class": (6, 1),
    }


def test_a_file_that_is_not_there_and_a_damaged_template(tmp_path, template):
    assert check(tmp_path / "nowhere.txt", template)[0]["kind"] == "unreadable"
    template.write_text("image_location\n")
    with pytest.raises(EmolibError, match=r"example\.txt:1: header"):
        check(template, template)


@pytest.mark.parametrize(("row", "message"), [("14-30-1920x1080/00001.jpg,0", "already"), ("x.jpg,0", "not an image location")])
def test_a_template_with_a_bad_row_is_refused_with_file_and_line(tmp_path, template, row, message):
    template.write_text(template.read_text() + row + "\n")
    with pytest.raises(EmolibError, match=rf"example\.txt:17: .*{message}"):
        write_submission(template, predicted(), tmp_path / "out.txt")


def test_a_million_rows_take_seconds(tmp_path):
    clips = {f"{i}-30-1920x1080": 4485 for i in range(228)}  # 1,022,580 rows
    template, out = tmp_path / "template.txt", tmp_path / "out.txt"
    rows = [f"{clip}/{frame:05d}.jpg,0" for clip, n in clips.items() for frame in range(1, n + 1)]
    template.write_text("\n".join([f"image_location,{HEADER}", *rows]) + "\n")
    begun = time.process_time()
    write_submission(template, {clip: np.full(n, 3) for clip, n in clips.items()}, out)
    written = time.process_time()
    assert check(out, template) == []
    assert written - begun < 15
    assert time.process_time() - written < 15
