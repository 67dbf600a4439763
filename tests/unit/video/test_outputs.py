"""Where results go: whole or not there, never over others unasked."""

from pathlib import Path

import pytest

from emolib.data import media
from emolib.errors import EmolibError, WrongCall
from emolib.video import outputs
from emolib.video import predict as predict_module
from emolib.video.outputs import collect, results_in
from emolib.video.predict import SomeFailed
from tests.support.videos import go, make_video


def test_results_are_not_overwritten_unasked(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 25)
    go(video, run, tmp_path / "out", detector=squares)
    with pytest.raises(WrongCall, match="--overwrite"):
        go(video, run, tmp_path / "out", detector=squares)
    stale, notes = (tmp_path / "out" / video.stem / name for name in ("annotated.mp4", "notes.txt"))
    stale.write_bytes(b"of the results that are replaced")
    notes.write_text("not a result")
    go(video, run, tmp_path / "out", detector=squares, overwrite=True)
    assert not stale.exists() and notes.read_text() == "not a result"


def contents(folder):
    return {
        path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


STEPS = {  # where each kind of result is made
    "timeline": (predict_module.figures, "save"),
    "annotated video": (predict_module.annotation, "write_annotated"),
    "table": (predict_module, "write"),
    "summary": (predict_module, "write_json"),
}


def test_a_failure_leaves_the_old_results_whole_and_no_new_ones(
    tmp_path, run, squares, monkeypatch
):
    def fail(*arguments, **options):
        raise OSError("broken")

    video = make_video(tmp_path / "video.mp4", 12)
    everything = {"detector": squares, "timeline": True, "annotate": True}
    go(video, run, tmp_path / "out", detector=squares, timeline=True)
    before = contents(tmp_path / "out")
    make_video(video, 15, faces=lambda i: [(20, 30, 60)])  # another video of the same name
    for step, place in STEPS.items():
        with monkeypatch.context() as patch:
            patch.setattr(*place, fail)
            for folder, overwrite in (("out", True), ("new", False)):
                with pytest.raises(SomeFailed, match="broken"):
                    go(video, run, tmp_path / folder, overwrite=overwrite, **everything)
        assert contents(tmp_path / "out") == before, step
        assert list((tmp_path / "new").iterdir()) == [], step
    go(video, run, tmp_path / "out", overwrite=True, **everything)
    after = contents(tmp_path / "out" / "video")
    assert sorted(map(str, after)) == sorted(outputs.RESULTS)
    assert all(after[name.relative_to("video")] != content for name, content in before.items())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["video"]


def test_something_else_in_a_results_place_is_named_before_any_work(tmp_path, run, squares):
    video = make_video(tmp_path / "video.mp4", 5)
    (tmp_path / "out" / "video" / "annotated.mp4").mkdir(parents=True)
    with pytest.raises(EmolibError, match=r"annotated\.mp4: a folder where a result belongs"):
        go(video, run, tmp_path / "out", detector=squares, overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "video").write_text("")
    with pytest.raises(EmolibError, match="a file where the folder of results belongs"):
        go(video, run, tmp_path / "other", detector=squares)


def test_result_folders_of_equal_names():
    def folders(*videos):
        chosen = collect(map(Path, videos))
        return [folder.as_posix() for folder in results_in(chosen, Path("out")).values()]

    assert folders("a/x.mp4", "a/x.mov", "a/y.mp4") == ["out/x_mp4", "out/x_mov", "out/y"]
    assert folders("a/x.mp4", "b/x.mp4") == ["out/a/x", "out/b/x"]
    with pytest.raises(WrongCall, match="same name"):
        folders("a/x.mp4", "a/x.mov", "a/x_mp4.avi")


def test_folders_are_searched_and_results_keep_their_paths(tmp_path, run, squares):
    """Equal names in two folders, and what an earlier call has written there."""
    for name in ("a/x.mp4", "b/c/x.mp4"):
        make_video(tmp_path / "videos" / name, 8)
    make_video(tmp_path / "videos" / ".trash" / "y.mp4", 8)
    out = tmp_path / "videos" / "results"
    go(tmp_path / "videos", run, out, detector=squares, annotate=True)
    results = sorted(path.relative_to(out).as_posix() for path in out.rglob("summary.json"))
    assert results == ["a/x/summary.json", "b/c/x/summary.json"]
    before = contents(out)
    make_video(tmp_path / "videos" / "b" / "z.mp4", 8)
    options = {"detector": squares, "skip_existing": True}
    summaries, lines = go(tmp_path / "videos", run, out, **options)
    assert [summary["video"] for summary in summaries] == ["z.mp4"]
    assert sum("skipped" in line for line in lines) == 2
    assert {name: content for name, content in contents(out).items() if name in before} == before
    top = collect([tmp_path / "videos" / "b"], recursive=False)
    assert list(top) == [tmp_path / "videos" / "b" / "z.mp4"]


def test_a_folder_says_what_it_does_not_take(tmp_path):
    for name in ("a.mp4", "b.MTS", "c.ogv", ".hidden.txt", *(f"{i}.txt" for i in range(7))):
        (tmp_path / name).write_text("")
    (tmp_path / "sub").mkdir()
    lines = []
    names = [path.name for path in collect([tmp_path], lines.append)]
    assert names == ["a.mp4", "b.MTS", "c.ogv"]
    (line,) = lines
    assert "not taken: 0.txt, 1.txt, 2.txt and 4 more; name them to try them" in line
    lines.clear()
    assert (
        list(collect([tmp_path / "0.txt", tmp_path / "a.mp4"], lines.append))
        == [tmp_path / "0.txt", tmp_path / "a.mp4"]
        and not lines
    )


@pytest.mark.parametrize("name", ["a $_$ b.mp4", r"$\a$.mp4", "caf\udce9.mp4"])
def test_any_name_of_a_file_can_be_a_title(tmp_path, deaf, squares, name):
    video = make_video(tmp_path / name, 8, sound=False)
    (summary,), lines = go(
        video, deaf, tmp_path / "out", detector=squares, timeline=True, annotate=True
    )
    shown = name.replace("\udce9", "?")
    assert summary["video"] == shown and lines[-1].startswith(f"{shown}: 8 frames")
    assert (
        f"{shown}: synthetic weights"
        in (tmp_path / "out" / video.stem / "timeline.svg").read_text()
    )
    assert len(media.frame_times(tmp_path / "out" / video.stem / "annotated.mp4")) == 8
