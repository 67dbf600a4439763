"""Reading Aff-Wild2: every layout of docs/data.md, true times, strict annotations,
an index that notices change.
"""

import os
import shutil
import time
import warnings
from fractions import Fraction

import numpy as np
import pytest

from emolib.data import index, media
from emolib.data.affwild2 import fit_times, read_tree, source_id
from emolib.data.layout import TEST_LIST, find_layout
from emolib.errors import EmolibError, WrongCall
from emolib.windows import index_windows
from tests.support.avi_files import moving, write_avi
from tests.support.trees import HEADER, JPEG, Spec, age, clean, make_tree, write_video

pytestmark = pytest.mark.usefixtures("empty_runs")


def only(clips, clip_id):
    return next(clip for clip in clips if clip.id == clip_id)


def annotation(root, split="Train_Set", name="1-30-640x480"):
    return root / "EXPR_Recognition_Challenge" / split / f"{name}.txt"


def test_a_clean_tree_is_read_by_frame_number(tmp_path):
    clips = read_tree(make_tree(tmp_path, clean()), splits=("test", "validation", "train"))
    assert [(clip.split, clip.id) for clip in clips] == [
        ("train", "1-30-640x480"),
        ("train", "2-25-640x480_left"),
        ("train", "2-25-640x480_right"),
        ("validation", "3-12-640x480"),
        ("test", "4-30-640x480"),
        ("test", "5-30-640x480"),
    ]
    right = only(clips, "2-25-640x480_right")
    assert right.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7] * 3
    assert right.labels.dtype == np.int8
    assert np.flatnonzero(~right.face_present).tolist() == [2, 3]
    assert (
        right.video
        == only(clips, "2-25-640x480_left").video
        == tmp_path / "batch2" / "2-25-640x480.mp4"
    )
    assert right.image(5) == tmp_path / "cropped_aligned" / "2-25-640x480_right" / "00005.jpg"
    assert all(clip.time_source == "video" for clip in clips)
    slow = only(clips, "3-12-640x480")
    assert slow.fps == pytest.approx(12.5)
    np.testing.assert_allclose(slow.frame_times, np.arange(24) / 12.5, atol=1e-4)
    test = only(clips, "5-30-640x480")
    assert (test.labels == -1).all()
    assert test.face_present.sum() == 23


def test_spans_are_true_time(tmp_path):
    specs = [Spec("1-30-640x480", fps=None), Spec("3-12-640x480", split="validation")]
    times = np.cumsum([0, *([0.04] * 10), *([0.1] * 13)])  # a variable frame rate
    make_tree(tmp_path, specs)
    write_video(tmp_path / "batch1" / "1-30-640x480.mp4", 24, times)
    clip = only(read_tree(tmp_path), "1-30-640x480")
    np.testing.assert_allclose(clip.frame_times, times, atol=1e-4)
    assert clip.span(1, 10) == pytest.approx((0, 0.4), abs=1e-4)
    assert clip.span(11, 24) == pytest.approx((0.4, times[-1] + times[-1] / 23), abs=1e-3)
    assert clip.drift_at_30() == pytest.approx(23 / 30 - times[-1], abs=1e-4)
    for frames in ((0, 3), (1, 25)):
        with pytest.raises(WrongCall, match=r"outside 1\.\.24"):
            clip.span(*frames)


@pytest.mark.parametrize("rate", [12.5, 24000 / 1001, 25, 30000 / 1001, "variable"])
def test_a_sound_lands_on_its_frame_in_every_window_and_drifts_at_fixed_30(tmp_path, rate):
    """A click at the begin of frame 150 of 200, heard through the span of each
    window that holds the frame.
    """
    gaps = np.random.default_rng(0).choice([1 / 30, 1 / 15, 0.05], 199)
    times = np.r_[0, np.cumsum(gaps)] if rate == "variable" else np.arange(200) / rate
    waveform = np.zeros(int((times[-1] + 0.1) * media.SAMPLE_RATE), np.float32)
    click = int(times[149] * media.SAMPLE_RATE)
    waveform[click : click + 160] = np.sin(np.arange(160) / 2)
    make_tree(
        tmp_path, [Spec("1-30-640x480", labels=[0] * 200, fps=None), Spec("3", split="validation")]
    )
    (tmp_path / "batch1").mkdir(exist_ok=True)
    pictures = [np.full((16, 16, 3), 99, np.uint8)] * 200
    media.write_video(
        tmp_path / "batch1" / "1-30-640x480.mp4",
        pictures,
        times if rate == "variable" else rate,
        waveform,
        size=(16, 16),
    )
    errors = {}
    for timing in ("true", "fixed_30"):
        clip = only(read_tree(tmp_path, timing=timing), "1-30-640x480")
        heard = media.read_waveform(clip.video)
        windows = index_windows(clip.labels, clip.face_present, length=60, stride=15)
        errors[timing] = []
        for start, end in zip(windows.start.tolist(), windows.end.tolist(), strict=True):
            begin, finish = clip.span(start, end)
            segment = np.abs(
                heard[round(begin * media.SAMPLE_RATE) : round(finish * media.SAMPLE_RATE)]
            )
            if start <= 150 <= end:
                found = (
                    np.argmax(segment > 0.5) / media.SAMPLE_RATE
                    if (segment > 0.5).any()
                    else np.inf
                )
                # The error in frames.
                errors[timing].append(
                    abs(found - (times[149] - times[start - 1])) / np.diff(times)[149]
                )
    assert len(errors["true"]) >= 4
    assert max(errors["true"]) < 0.5
    assert max(errors["fixed_30"]) > (0.1 if rate == 30000 / 1001 else 10)


def test_fixed_30_keeps_the_released_fault(tmp_path):
    clip = only(read_tree(make_tree(tmp_path, clean()), timing="fixed_30"), "3-12-640x480")
    assert (clip.time_source, clip.fps) == ("fixed 30 fps", 30)
    np.testing.assert_allclose(clip.frame_times, np.arange(24) / 30)


@pytest.mark.parametrize("decoded", [23, 22, 24, 25, 26])
def test_lines_and_decoded_frames_need_not_agree(tmp_path, decoded):
    make_tree(tmp_path, [Spec("1-30-640x480", frames=decoded), Spec("3", split="validation")])
    clip = only(read_tree(tmp_path), "1-30-640x480")
    np.testing.assert_allclose(clip.frame_times, np.arange(24) / 25, atol=1e-4)


def test_fit_times_extrapolates_at_the_mean_rate_and_drops_the_surplus():
    decoded = np.array([0, 0.1, 0.3, 0.6])
    times, fps = fit_times(decoded, 6)
    assert fps == pytest.approx(5)
    assert times.tolist() == pytest.approx([0, 0.1, 0.3, 0.6, 0.8, 1.0])
    assert fit_times(decoded, 2)[0].tolist() == [0, 0.1]
    assert fit_times(np.zeros(1), 3)[0].tolist() == pytest.approx([0, 1 / 30, 2 / 30])


def test_without_a_video_the_frame_rate_list_counts_then_a_warned_30(tmp_path):
    specs = [
        Spec("1-30-640x480"),
        Spec("2-25-640x480_left"),
        Spec("3-12-640x480", split="validation"),
    ]
    make_tree(tmp_path, specs, videos=False)
    (tmp_path / "frame_rates.csv").write_text("id,fps\n2-25-640x480,24.5\n1-30-640x480,12\n")
    with pytest.warns(UserWarning, match="3-12-640x480: no video") as warned:
        clips = read_tree(tmp_path)
    assert len(warned) == 1
    assert [(clip.fps, clip.time_source) for clip in clips] == [
        (12, "frame-rate list"),
        (24.5, "frame-rate list"),
        (30, "assumed 30 fps"),
    ]
    np.testing.assert_allclose(clips[1].frame_times, np.arange(24) / 24.5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,zero", "'zero'"),
        ("a,-3", "'-3'"),
        ("a", "''"),
        ("../a,25", "'../a'"),
        ("a,inf", "'inf'"),
    ],
)
def test_a_bad_frame_rate_is_refused_with_file_and_line(tmp_path, line, message):
    make_tree(tmp_path, clean(), videos=False)
    (tmp_path / "frame_rates.csv").write_text(f"id,fps\nb,25\n{line}\n")
    with pytest.raises(EmolibError, match=rf"frame_rates\.csv:3: {message}"):
        read_tree(tmp_path)


def test_every_layout_variant_gives_the_same_clips(tmp_path):
    plain = read_tree(make_tree(tmp_path / "plain", clean()))
    odd = tmp_path / "odd"
    specs = clean()
    specs[0].crops = "cropped_aligned_new_50_vids"
    specs[1].videos = "videos"
    make_tree(odd, specs, annotations="EXPR_Classification_Challenge")
    shutil.move(odd / "batch1" / "1-30-640x480.mp4", odd / "1-30-640x480.mp4")
    shutil.move(odd / "batch1", odd / "nested") and shutil.move(
        odd / "nested", odd / "videos" / "batch1"
    )
    (odd / "cropped_aligned" / "1-30-640x480").mkdir()  # left over, empty
    (odd / "EXPR_Classification_Challenge" / "Train_Set" / "._1-30-640x480.txt").write_text(
        "macOS leaves these"
    )
    for a, b in zip(plain, read_tree(odd), strict=True):
        assert (a.id, a.split, a.fps) == (b.id, b.split, b.fps)
        assert (a.labels == b.labels).all()
        assert (a.face_present == b.face_present).all()
        assert (a.frame_times == b.frame_times).all()
        assert b.images.is_dir()
        assert b.video.is_file()


def test_crops_are_a_setting(tmp_path):
    make_tree(tmp_path, clean())
    with pytest.raises(EmolibError, match="looked for cropped/"):
        read_tree(tmp_path, crops="cropped")
    shutil.copytree(tmp_path / "cropped_aligned", tmp_path / "cropped")
    assert read_tree(tmp_path, crops="cropped")[0].images == tmp_path / "cropped" / "1-30-640x480"


def test_avi_and_ids_without_images_or_video(tmp_path):
    make_tree(tmp_path, clean())
    (tmp_path / "batch1" / "1-30-640x480.mp4").unlink()
    avi = tmp_path / "batch1" / "1-30-640x480.AVI"
    write_avi(
        avi, moving(24), Fraction(25), np.zeros(15_360, np.float32), codec="libx264", b_frames=3
    )
    shutil.rmtree(tmp_path / "cropped_aligned" / "2-25-640x480_left")
    (tmp_path / "batch1" / "3-12-640x480.mp4").unlink()
    with pytest.warns(UserWarning, match="3-12-640x480"):
        clips = read_tree(tmp_path)
    assert clips[0].video.name == "1-30-640x480.AVI"
    assert clips[0].time_source == "video"
    np.testing.assert_allclose(clips[0].frame_times, np.arange(24) / 25, atol=1e-6)
    assert clips[1].images is None
    assert not clips[1].face_present.any()
    with pytest.raises(WrongCall, match="no images"):
        clips[1].image(1)
    assert clips[3].video is None


def test_only_numbered_images_count(tmp_path):
    make_tree(tmp_path, clean())
    folder = tmp_path / "cropped_aligned" / "1-30-640x480"
    for name in ("00004.jpg.tmp", "Thumbs.db", ".00002.jpg", "._00003.jpg", "00025.jpg"):
        (folder / name).write_bytes(JPEG)
    (folder / "00002.jpg").unlink()
    (folder / "00002.jpg").mkdir()  # a folder is no image
    faces = read_tree(tmp_path)[0].face_present
    assert len(faces) == 24
    assert np.flatnonzero(~faces).tolist() == [1]


@pytest.mark.parametrize("name", ["1.jpg", "000007.jpg", "00003.png", "00003.JPG", "face_1.jpeg"])
def test_images_of_other_names_are_refused_by_folder_and_name(tmp_path, name):
    """They would count as missing faces."""
    make_tree(tmp_path, clean())
    folder = tmp_path / "cropped_aligned" / "1-30-640x480"
    (folder / "00003.jpg").rename(folder / name)
    with pytest.raises(EmolibError, match=rf"1-30-640x480: 1 images not named .*{name}"):
        read_tree(tmp_path)


def test_images_from_zero_are_refused_by_folder_also_from_the_index(tmp_path, monkeypatch):
    make_tree(tmp_path, clean())
    folder = tmp_path / "cropped_aligned" / "2-25-640x480_right"
    (folder / "00000.jpg").write_bytes(JPEG)
    age(tmp_path)
    listing, listed = index.list_images, []
    monkeypatch.setattr(
        index, "list_images", lambda at, root: listed.append(at) or listing(at, root)
    )
    for _ in range(2):
        with pytest.raises(
            EmolibError,
            match=r"_right: holds an image 00000\.jpg.*number the images from 00001\.jpg",
        ):
            read_tree(tmp_path)
    assert listed.count(folder) == 1, "the second time the index knows"


@pytest.mark.parametrize("lines", [24, 400])
@pytest.mark.parametrize("more", [-5, -3, -2, 2, 3, 5])
def test_a_frame_count_or_images_far_from_the_labels_are_told_by_clip(tmp_path, lines, more):
    """Two frames are usual (docs/data.md, Frame times), beyond that 1 %."""
    make_tree(
        tmp_path,
        [
            Spec("1-30-640x480", labels=[0] * lines, frames=lines + more),
            Spec("3", split="validation"),
        ],
    )
    for frame in range(lines + 1, lines + more + 1):
        (tmp_path / "cropped_aligned" / "1-30-640x480" / f"{frame:05d}.jpg").write_bytes(JPEG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        read_tree(tmp_path)
    far = abs(more) > max(2, 0.01 * lines)
    told = [
        f"1-30-640x480: {lines} annotation lines, but the video has {lines + more} frames"
    ] * far
    told += [
        f"1-30-640x480: the last image is {lines + more:05d}.jpg, "
        f"the annotation ends at frame {lines}"
    ] * (far and more > 0)
    assert [str(warning.message).split(";")[0] for warning in warned] == told
    assert {warning.filename for warning in warned} <= {__file__}


def test_test_clips_take_their_length_from_the_template_else_from_the_images(tmp_path):
    make_tree(
        tmp_path,
        [
            Spec("4", split="test", labels=[0] * 9),
            Spec("5", split="test", labels=[0] * 4, missing=(4,)),
        ],
    )
    assert [len(clip.labels) for clip in read_tree(tmp_path, splits=("test",))] == [9, 4]
    template = tmp_path / "ABAW_Expr_test_set_example.txt"
    template.rename(tmp_path / "CVPR_6th_ABAW_Expr_test_set_example.txt")
    assert [len(clip.labels) for clip in read_tree(tmp_path, splits=("test",))] == [9, 4]
    (tmp_path / "CVPR_6th_ABAW_Expr_test_set_example.txt").unlink()
    assert [len(clip.labels) for clip in read_tree(tmp_path, splits=("test",))] == [9, 3]
    shutil.rmtree(tmp_path / "names_of_videos_in_each_test_set")
    with pytest.raises(EmolibError, match="no test clips"):
        read_tree(tmp_path, splits=("test",))


HEADERS = HEADER.split(",")


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", 1, "empty"),
        (b"\n\n", 1, "empty"),
        (f"{HEADER}\n".encode(), 2, "no label"),
        ((",".join(HEADERS[::-1]) + "\n0\n").encode(), 1, "another order"),
        (b"0\n1\n", 1, "no header"),
        (b"valence,arousal\n0\n", 1, "not the header"),
        (f"{HEADER}\n0\n9\n1\n".encode(), 3, "9 is outside"),
        (f"{HEADER}\n0\n-2\n".encode(), 3, "-2 is outside"),
        (f"{HEADER}\n0\n0\nx\n".encode(), 4, "'x' is not a label"),
        (f"{HEADER}\n0\n1.0\n".encode(), 3, "'1.0' is not a label"),
        (f"{HEADER}\n0\n\n1\n".encode(), 3, "'' is not a label"),
        (f"{HEADER}\n0,1\n".encode(), 2, "'0,1' is not a label"),
        (f"{HEADER}\n0\n\xff\n".encode("latin-1"), 3, "not a text file"),
    ],
)
def test_a_bad_annotation_is_refused_with_file_and_line(tmp_path, content, line, message):
    make_tree(tmp_path, clean())
    annotation(tmp_path).write_bytes(content)
    with pytest.raises(EmolibError, match=rf"1-30-640x480\.txt:{line}: .*{message}"):
        read_tree(tmp_path)


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("tail", ["", "{end}", "{end}{end}  {end}"])
def test_byte_order_mark_line_ends_and_blank_tail_are_understood(tmp_path, end, mark, tail):
    make_tree(tmp_path, clean(), videos=False)
    annotation(tmp_path).write_bytes(
        mark + end.join([HEADER, "3", " -1 ", "7"]).encode() + tail.format(end=end).encode()
    )
    assert read_tree(tmp_path, timing="fixed_30")[0].labels.tolist() == [3, -1, 7]


@pytest.mark.parametrize(
    "bad", ["../secret", "/etc/passwd", "a/b", "a\\b", "..", ".hidden", "a\0b"]
)
def test_an_id_that_could_leave_the_tree_is_refused_with_file_and_line(tmp_path, bad):
    make_tree(tmp_path, clean())
    names = tmp_path / "names_of_videos_in_each_test_set" / TEST_LIST
    names.write_text(f"4-30-640x480\n{bad}\n")
    with pytest.raises(EmolibError, match=rf"{TEST_LIST}:2: .*not the id"):
        read_tree(tmp_path, splits=("test",))


@pytest.mark.parametrize(
    "row",
    [
        "../secret/00001.jpg,0",
        "/etc/00001.jpg,0",
        "4-30/x/00001.jpg",
        "4-30/00000.jpg",
        "4-30/00001.png",
        "..\\a/00001.jpg",
    ],
)
def test_a_template_row_that_could_leave_the_tree_is_refused_with_file_and_line(tmp_path, row):
    make_tree(tmp_path, clean())
    (tmp_path / "ABAW_Expr_test_set_example.txt").write_text(
        f"image_location,{HEADER}\n4-30-640x480/00001.jpg,0\n{row}\n"
    )
    with pytest.raises(EmolibError, match=r"example\.txt:3: "):
        read_tree(tmp_path, splits=("test",))


@pytest.mark.parametrize("what", ["images", "image", "video", "annotation", "crops", "batch"])
def test_a_link_out_of_the_tree_is_refused(tmp_path, what):
    root, outside = make_tree(tmp_path / "tree", clean()), tmp_path / "outside"
    target = {
        "images": root / "cropped_aligned" / "1-30-640x480",
        "image": root / "cropped_aligned" / "1-30-640x480" / "00001.jpg",
        "video": root / "batch1" / "1-30-640x480.mp4",
        "annotation": annotation(root),
        "crops": root / "cropped_aligned",
        "batch": root / "batch1",
    }[what]
    target.rename(outside)
    target.symlink_to(outside)
    with pytest.raises(EmolibError, match="a link that leads out of the tree"):
        read_tree(root)


def test_links_inside_the_tree_are_followed_and_loops_end(tmp_path):
    root = make_tree(tmp_path / "tree", clean())
    before = read_tree(root)
    (root / "loop").symlink_to(root)
    (root / "batch1" / "loop").symlink_to(root / "batch1")
    (root / "cropped_aligned" / "1-30-640x480" / "loop").symlink_to(root / "cropped_aligned")
    (root / "cropped_aligned" / "circle").symlink_to(root / "cropped_aligned" / "circle")
    (root / "elsewhere").symlink_to(tmp_path)  # passed over
    image = root / "cropped_aligned" / "1-30-640x480" / "00009.jpg"
    image.unlink()
    image.symlink_to(image.with_name("00008.jpg"))
    after = read_tree(root)
    assert [clip.id for clip in after] == [clip.id for clip in before]
    assert after[0].face_present.all()
    assert after[0].video == before[0].video


def test_a_video_that_is_a_link_to_another_clips_keeps_its_name(tmp_path):
    make_tree(tmp_path, clean())
    (tmp_path / "batch1" / "4-30-640x480.mp4").unlink()
    (tmp_path / "batch1" / "4-30-640x480.mp4").symlink_to("1-30-640x480.mp4")
    (tmp_path / "batch1" / "1-30-640x480.avi").symlink_to("1-30-640x480.mp4")
    layout = find_layout(tmp_path)
    assert layout.videos["4-30-640x480"] == [tmp_path / "batch1" / "4-30-640x480.mp4"]
    assert layout.videos["1-30-640x480"] == [tmp_path / "batch1" / "1-30-640x480.mp4"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no such folder"),
        (
            lambda root: root.mkdir(),
            "looked for EXPR_Recognition_Challenge/ or EXPR_Classification_Challenge/",
        ),
        (
            lambda root: make_tree(root, clean()) and shutil.rmtree(root / "cropped_aligned"),
            "looked for cropped_aligned/",
        ),
        (lambda root: make_tree(root, clean()[:3]), "Validation_Set: no annotation"),
        (
            lambda root: make_tree(root, clean()) and shutil.rmtree(annotation(root).parent),
            "Train_Set: no such folder",
        ),
    ],
)
def test_what_is_not_a_tree_is_told_in_one_line(tmp_path, make, message):
    root = tmp_path / "tree"
    root.parent.mkdir(exist_ok=True)
    if message != "no such folder":
        make(root) if message.startswith("looked for EXPR") else (root.mkdir(), make(root))
    with pytest.raises(EmolibError, match=message) as refused:
        read_tree(root)
    assert "\n" not in str(refused.value)


def test_an_id_in_both_splits_is_refused(tmp_path):
    make_tree(tmp_path, clean())
    shutil.copy(annotation(tmp_path), annotation(tmp_path, "Validation_Set"))
    with pytest.raises(EmolibError, match="as well"):
        read_tree(tmp_path)


@pytest.mark.parametrize(
    "call", [{"crops": "aligned"}, {"timing": "fixed"}, {"splits": ("training",)}]
)
def test_unknown_settings_are_refused(tmp_path, call):
    with pytest.raises(WrongCall, match="choose"):
        read_tree(tmp_path, **call)


def test_a_video_that_cannot_be_read_is_named(tmp_path):
    make_tree(tmp_path, clean())
    (tmp_path / "batch1" / "1-30-640x480.mp4").write_bytes(b"not a video")
    with pytest.raises(EmolibError, match=r"1-30-640x480\.mp4"):
        read_tree(tmp_path)


def test_the_index_saves_work_and_notices_change(tmp_path, monkeypatch):
    make_tree(tmp_path, clean())
    age(tmp_path)
    first = read_tree(tmp_path)
    work = []
    listing, timing = index.list_images, media.frame_times
    monkeypatch.setattr(index, "list_images", lambda *a: work.append(a[0].name) or listing(*a))
    monkeypatch.setattr(
        media, "frame_times", lambda video: work.append(video.name) or timing(video)
    )
    for a, b in zip(first, read_tree(tmp_path), strict=True):
        assert (a.face_present == b.face_present).all()
        assert (a.frame_times == b.frame_times).all()
    assert work == []
    (tmp_path / "cropped_aligned" / "1-30-640x480" / "00007.jpg").unlink()
    assert np.flatnonzero(~read_tree(tmp_path)[0].face_present).tolist() == [6]
    write_video(tmp_path / "batch1" / "1-30-640x480.mp4", 24, 20.0)
    assert read_tree(tmp_path)[0].fps == pytest.approx(20)
    assert set(work) == {"1-30-640x480", "1-30-640x480.mp4"}
    work.clear()
    read_tree(tmp_path, cache=False)
    assert len(work) == 4 + 3  # each folder and each video once


def test_a_folder_that_has_just_changed_is_listed_again(tmp_path):
    make_tree(tmp_path, clean())
    folder = tmp_path / "cropped_aligned" / "1-30-640x480"
    status = folder.stat()
    read_tree(tmp_path)
    (folder / "00007.jpg").unlink()
    # A change within one tick of the clock.
    os.utime(folder, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not read_tree(tmp_path)[0].face_present[6]


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"junk" * 99]
)
def test_a_damaged_index_is_made_anew(tmp_path, empty_runs, damage):
    make_tree(tmp_path, clean())
    age(tmp_path)
    first = read_tree(tmp_path)
    (stored,) = (empty_runs / "cache" / "index").iterdir()
    whole = stored.read_bytes()
    stored.write_bytes(damage(whole))
    again = read_tree(tmp_path)
    assert all((a.frame_times == b.frame_times).all() for a, b in zip(first, again, strict=True))
    assert len(stored.read_bytes()) == len(whole)


def test_source_id_strips_one_suffix():
    assert (
        source_id("135-24-1920x1080_left")
        == source_id("135-24-1920x1080_right")
        == "135-24-1920x1080"
    )
    assert source_id("6-30-1920x1080") == "6-30-1920x1080"
    assert source_id("video_left_right") == "video_left"
    assert source_id("left_video") == "left_video"


def test_a_tree_of_full_length_reads_in_seconds_once_indexed(tmp_path, monkeypatch):
    """318 clips with all 881,591 annotated frames, the images known to the index."""
    rng = np.random.default_rng(0)
    train, validation = ([f"{split}{i}" for i in range(n)] for split, n in (("t", 248), ("v", 70)))
    for split, ids, lines in (("Train_Set", train, 2409), ("Validation_Set", validation, 4060)):
        (tmp_path / "EXPR_Recognition_Challenge" / split).mkdir(parents=True)
        for clip_id in ids:
            body = "\n".join(map(str, rng.integers(-1, 8, lines)))
            annotation(tmp_path, split, clip_id).write_text(f"{HEADER}\n{body}\n")
            (tmp_path / "cropped_aligned" / clip_id).mkdir(parents=True)
    age(tmp_path)
    monkeypatch.setattr(index, "list_images", lambda folder, root: np.arange(4061) > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no video, more images than labels
        read_tree(tmp_path)
        begun = time.process_time()
        clips = read_tree(tmp_path)
    assert time.process_time() - begun < 3
    assert sum(len(clip.labels) for clip in clips) == 248 * 2409 + 70 * 4060
