"""The challenge's file: every row of the template in its order,
and a checker that names each kind of damage.
"""

import shutil
import time

import numpy as np
import pytest
import simplejpeg
import torch
from safetensors.torch import save_file

from emolib.config import preset
from emolib.errors import EmolibError, WrongCall
from emolib.evaluation import predictions as evaluation
from emolib.features import prepare as inputs
from emolib.model import EmotionModel
from emolib.studies import submission
from emolib.studies.submission import check, fill, of_run, write_submission
from emolib.system.files import write_json
from emolib.system.runs import writing
from tests.support.trees import HEADER, Spec, age, make_tree

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
        f"{clip}/{frame:05d}.jpg,{predictions[clip][frame - 1]}"
        for clip, n in FRAMES.items()
        for frame in range(1, n + 1)
    ]
    assert summary["rows"] == 15
    assert summary["filled"] == 0
    assert check(out, template) == []


def test_rows_follow_frame_numbers_not_positions(tmp_path, template):
    rows = ["a/00004.jpg", "b/00002.jpg", "a/00001.jpg"]  # frames left out, clips mixed
    template.write_text("\n".join([f"image_location,{HEADER}", *rows]) + "\n")
    write_submission(
        template, {"a": np.array([1, 2, 3, 4]), "b": np.array([5, 6, 7])}, tmp_path / "out.txt"
    )
    assert (tmp_path / "out.txt").read_text().split("\n")[1:-1] == [
        "a/00004.jpg,4",
        "b/00002.jpg,6",
        "a/00001.jpg,1",
    ]
    assert check(tmp_path / "out.txt", template) == []


def test_the_fill_rule():
    assert fill(np.array([-1, -1, 3, -1, 5, -1])).tolist() == [3, 3, 3, 3, 5, 5]
    assert fill(np.array([-1, -1])).tolist() == [0, 0] and fill(np.array([-1, -1]), 5).tolist() == [
        5,
        5,
    ]
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
    assert (summary["filled"], summary["empty"], summary["left_out"]) == (
        4 + 4,
        ["100-12-320x240"],
        ["unasked"],
    )
    classes = [
        int(line.split(",")[1]) for line in (tmp_path / "out.txt").read_text().split("\n")[1:7]
    ]
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
def test_wrong_predictions_are_refused_and_nothing_is_written(
    tmp_path, template, change, error, message
):
    predictions = predicted()
    change(predictions)
    with pytest.raises(error, match=message):
        write_submission(template, predictions, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


def edit(*changes):
    """A damage: (0-based line, new text or None to remove it)
    applied from the last to the first.
    """

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
    "byte order mark": (
        lambda lines: b"\xef\xbb\xbf" + "\n".join(lines).encode(),
        {"byte-order-mark"},
        1,
    ),
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
    assert {
        problem["kind"]: (problem["line"], problem["count"]) for problem in check(out, template)
    } == {
        "range": (3, 2),
        "not-a-class": (6, 1),
    }


def test_a_file_that_is_not_there_and_a_damaged_template(tmp_path, template):
    assert check(tmp_path / "nowhere.txt", template)[0]["kind"] == "unreadable"
    template.write_text("image_location\n")
    with pytest.raises(EmolibError, match=r"example\.txt:1: header"):
        check(template, template)


@pytest.mark.parametrize(
    ("row", "message"),
    [("14-30-1920x1080/00001.jpg,0", "already"), ("x.jpg,0", "not an image location")],
)
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


# of a run

TEST = {"4-30-640x480": 24, "5-30-640x480": 24, "6-30-640x480": 24}
MOST = 5  # the class that the untrained model has seen most


def asked(path, frames):
    """A template for so many frames of each clip."""
    rows = [f"{clip}/{frame:05d}.jpg,0" for clip, n in frames.items() for frame in range(1, n + 1)]
    path.write_text("\n".join([f"image_location,{HEADER}", *rows]) + "\n")
    return path


def a_run(folder, root, seed=0, **changes):
    """A run folder with an untrained model on the tree ``root``."""
    small = {
        "width": 16,
        "attention_heads": 2,
        "tcn_blocks": 2,
        "amp": "float32",
        "window": 10,
        "timing": "fixed_30",
        "min_face_share": 0.0,  # the tree lacks a clip's images
    }
    experiment = preset("demo", data=str(root), **{**small, **changes})
    experiment.save(folder / "experiment.json")
    torch.manual_seed(seed)
    model = EmotionModel(experiment)
    model.get_buffer("class_prior").copy_(torch.eye(8)[MOST])
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "model.safetensors",
    )
    return folder


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Three test clips, of which the last has no image; nothing else."""
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    root = tmp_path / "tree"
    missing = {"6-30-640x480": tuple(range(1, 25))}
    make_tree(
        root,
        [
            Spec(clip, split="test", missing=missing.get(clip, ()), fps=None, labels=[0] * n)
            for clip, n in TEST.items()
        ],
    )
    age(root)
    return root


def test_a_clip_without_its_faces_stops_a_submission_unless_an_option_goes_on(tmp_path, tree):
    run, out = a_run(tmp_path / "run", tree, min_face_share=0.5), tmp_path / "out.txt"
    with pytest.raises(EmolibError, match=r"6-30-640x480: no image of its 24 frames.*--min-face"):
        of_run(run, out, progress=False)
    assert not out.exists()
    result = of_run(run, out, min_face_share=0.0, progress=False)
    total = sum(TEST.values())
    assert result["face_share"] == pytest.approx((total - TEST["6-30-640x480"]) / total)
    assert result["missing_faces"] == ""
    write_json(run / "metrics.json", {"face_shares": {"train": 0.61, "validation": 0.99}})
    told = of_run(run, out, min_face_share=0.0, progress=False)["missing_faces"]
    assert told == "faces in 61.0% of the annotated train frames (official release: 98.0%)"


@pytest.fixture
def predicted_clips(monkeypatch):
    """Ids of the clips that are predicted anew, in order; a clip a group."""
    ids, original = [], evaluation.predict_windows
    monkeypatch.setattr(inputs, "STEPS_AT_ONCE", 100)
    monkeypatch.setattr(
        evaluation,
        "predict_windows",
        lambda model, part: [ids.extend(c.id for c in part.clips), original(model, part)][1],
    )
    return ids


def classes_of(out):
    found = {}
    for line in out.read_text().splitlines()[1:]:
        found.setdefault(line.split("/")[0], []).append(int(line.rsplit(",", 1)[1]))
    return found


def test_the_given_template_alone_says_what_is_predicted(tmp_path, tree):
    run, out = a_run(tmp_path / "run", tree), tmp_path / "out.txt"
    asked(tree / "ABAW_Expr_test_set_example.txt", dict.fromkeys(TEST, 12))
    assert of_run(run, out, progress=False)["rows"] == 36
    given = asked(tmp_path / "given.txt", {"5-30-640x480": 24, "4-30-640x480": 24})
    result = of_run(run, out, template=given, progress=False)
    assert (result["rows"], result["filled"], result["empty"], result["left_out"]) == (
        48,
        0,
        [],
        ["6-30-640x480"],
    )
    shutil.rmtree(tree / "names_of_videos_in_each_test_set")
    (tree / "ABAW_Expr_test_set_example.txt").unlink()
    without = of_run(run, out, template=given, progress=False)
    assert without == {**result, "left_out": []} and check(out, given) == []
    with pytest.raises(EmolibError, match="give it with --template FILE"):
        of_run(run, out, progress=False)


def test_a_clip_without_a_face_is_submitted_as_validation_scores_it(tmp_path, tree):
    run, out = a_run(tmp_path / "run", tree), tmp_path / "out.txt"
    result = of_run(run, out, progress=False)
    assert (
        result["empty"] == ["6-30-640x480"]
        and result["filled"] == 24
        and result["fill_rule"].endswith("without any is Sadness")
    )
    assert classes_of(out)["6-30-640x480"] == [MOST] * 24
    for clip in ("4-30-640x480", "5-30-640x480"):
        shutil.rmtree(tree / "cropped_aligned" / clip)
    age(tree)
    with pytest.raises(
        EmolibError, match="cropped_aligned: no image of any of the 3 test clips; unpack"
    ):
        of_run(run, out, progress=False)


def test_a_run_that_only_hears_needs_no_face(tmp_path, tree):
    audio = {"modalities": "audio", "fusion": "concat", "contrastive_weight": 0.0}
    result = of_run(a_run(tmp_path / "run", tree, **audio), tmp_path / "out.txt", progress=False)
    assert (result["filled"], result["empty"]) == (0, [])
    heard = classes_of(tmp_path / "out.txt")
    assert heard["6-30-640x480"] == heard["5-30-640x480"], (
        "both are silent, so the model says the same of them"
    )


def test_a_stopped_submission_goes_on_with_what_is_missing(
    tmp_path, tree, predicted_clips, monkeypatch
):
    run, out, other = a_run(tmp_path / "run", tree), tmp_path / "out.txt", tmp_path / "other.txt"
    keep, whole = submission._keep, a_run(tmp_path / "whole", tree)
    of_run(whole, other, progress=False)
    predicted_clips.clear()

    def stop(path, rows):
        keep(path, rows)
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(submission, "_keep", stop)
        of_run(run, out, progress=False)
    assert predicted_clips == ["4-30-640x480"] and not out.exists()
    of_run(run, out, progress=False)
    assert (
        predicted_clips == ["4-30-640x480", "5-30-640x480"]
        and out.read_bytes() == other.read_bytes()
    )
    of_run(run, out, progress=False)
    assert len(predicted_clips) == 2, "nothing is predicted twice"


def other_model(run, tree):
    a_run(run, tree, seed=1)


def other_experiment(run, tree):
    a_run(run, tree, frame_rule="mean")


def longer_template(run, tree):
    asked(tree / "ABAW_Expr_test_set_example.txt", TEST | {"5-30-640x480": 25})


def other_image(run, tree):
    path = tree / "cropped_aligned" / "5-30-640x480" / "00001.jpg"
    path.write_bytes(simplejpeg.encode_jpeg(np.full((8, 8, 3), 64, np.uint8)))


def test_what_other_code_predicted_is_predicted_anew(tmp_path, tree, predicted_clips, monkeypatch):
    run = a_run(tmp_path / "run", tree)
    of_run(run, tmp_path / "out.txt", progress=False)
    predicted_clips.clear()
    monkeypatch.setattr(submission, "LOADED", "of-another-version")
    of_run(run, tmp_path / "out.txt", progress=False)
    assert predicted_clips == ["4-30-640x480", "5-30-640x480"]


def test_a_run_in_use_is_not_written_into(tmp_path, tree, predicted_clips):
    run = a_run(tmp_path / "run", tree)
    with writing(run), pytest.raises(EmolibError, match="run is in use by process"):
        of_run(run, tmp_path / "out.txt", progress=False)
    assert not predicted_clips and not (run / "test_predictions").exists()
    of_run(run, tmp_path / "out.txt", progress=False)
    assert predicted_clips


@pytest.mark.parametrize(
    ("change", "anew"),
    [(other_model, [4, 5]), (other_experiment, [4, 5]), (longer_template, [5]), (other_image, [5])],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_kept_of_something_else_is_predicted_anew(
    tmp_path, tree, predicted_clips, change, anew
):
    run = a_run(tmp_path / "run", tree)
    of_run(run, tmp_path / "out.txt", progress=False)
    predicted_clips.clear()
    change(run, tree)
    of_run(run, tmp_path / "out.txt", progress=False)
    assert predicted_clips == [f"{number}-30-640x480" for number in anew]


def test_a_damaged_kept_prediction_is_named(tmp_path, tree):
    run = a_run(tmp_path / "run", tree)
    of_run(run, tmp_path / "out.txt", progress=False)
    (path,) = (run / "test_predictions").glob("4-30-640x480-*.json")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(EmolibError, match=r"4-30-640x480-\w+\.json: not valid.*; delete it"):
        of_run(run, tmp_path / "out.txt", progress=False)


def test_kept_predictions_of_another_clip_are_named(tmp_path, tree):
    """Whole files under each other's names would give each clip the other's rows."""
    run = a_run(tmp_path / "run", tree)
    of_run(run, tmp_path / "out.txt", progress=False)
    first, second = sorted((run / "test_predictions").glob("[!.]*.json"))
    contents = second.read_bytes(), first.read_bytes()
    for path, content in zip((first, second), contents, strict=True):
        path.write_bytes(content)
    with pytest.raises(EmolibError, match=r"4-30-640x480-\w+\.json: holds .* of 5-30-640x480"):
        of_run(run, tmp_path / "out.txt", progress=False)


def test_the_template_is_not_written_over(tmp_path, tree):
    run, template = a_run(tmp_path / "run", tree), tree / "ABAW_Expr_test_set_example.txt"
    content = template.read_bytes()
    (tmp_path / "link.txt").symlink_to(template)
    for out in (template, tmp_path / "link.txt"):
        with pytest.raises(WrongCall, match="the template itself"):
            of_run(run, out, progress=False)
    assert template.read_bytes() == content and not (run / "test_predictions").exists()


@pytest.mark.parametrize("shares", [[], {"train": "many"}, 3])
def test_shares_of_another_form_are_refused_by_name(tmp_path, tree, shares):
    run = a_run(tmp_path / "run", tree)
    write_json(run / "metrics.json", {"face_shares": shares})
    with pytest.raises(EmolibError, match=r"metrics\.json: holds values of another form"):
        of_run(run, tmp_path / "out.txt", progress=False)
