"""The generated benchmark: its tree, its symmetries,
and ceilings against independent computations.
"""

import hashlib
import json
import shutil
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import norm

from emolib.config import preset
from emolib.data import synthetic
from emolib.data.layout import find_layout
from emolib.data.synthetic import faces, observer, plan, voices
from emolib.data.synthetic import tree as tree_module
from emolib.errors import EmolibError
from emolib.labels import EXPRESSIONS, class_counts

SMALL = preset(
    "demo", synth_train_clips=10, synth_validation_clips=4, synth_test_clips=1, synth_seconds=2.0
)
ANGER, DISGUST = EXPRESSIONS.index("Anger"), EXPRESSIONS.index("Disgust")


@pytest.fixture(scope="module")
def tree(module_path) -> Path:
    root = module_path / "tree"
    synthetic.write_tree(SMALL, root, progress=False)
    return root


def digest(root: Path) -> dict[str, str]:
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path, monkeypatch):
    """Also where several processes draw one of the two."""
    tiny = SMALL.replace(synth_train_clips=2, synth_validation_clips=1)
    for name, seed in (("a", 7), ("c", 8)):
        synthetic.write_tree(tiny.replace(synth_seed=seed), tmp_path / name, progress=False)
    monkeypatch.setattr(tree_module, "FRAMES_OF_A_PROCESS", 1)
    synthetic.write_tree(tiny.replace(synth_seed=7), tmp_path / "b", progress=False)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    shared = set(digest(tmp_path / "a").items()) & set(digest(tmp_path / "c").items())
    assert all(not name.endswith((".jpg", ".mp4")) for name, _ in shared)


def test_an_export_is_a_marked_tree_in_an_empty_folder(tmp_path):
    small = SMALL.replace(synth_train_clips=2, synth_validation_clips=1)
    synthetic.export_tree(small, tmp_path / "tree", progress=False)
    assert synthetic.is_synthetic(tmp_path / "tree")
    assert len(find_layout(tmp_path / "tree").labels_of("train")) >= 2
    assert not list((tmp_path / "tree").glob(".*"))
    with pytest.raises(EmolibError, match="not empty"):
        synthetic.export_tree(small, tmp_path / "tree", progress=False)


def test_a_stopped_export_leaves_no_tree_that_reads_as_real_data(tmp_path, monkeypatch):
    """It is stopped when all but the mark of a generated tree is written."""
    small = SMALL.replace(synth_train_clips=2, synth_validation_clips=1)
    monkeypatch.setattr(tree_module, "_ceilings", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        synthetic.export_tree(small, tmp_path / "tree", progress=False)
    with pytest.raises(EmolibError, match="not an Aff-Wild2 tree"):
        find_layout(tmp_path / "tree")


def test_tree_has_aff_wild2_layout(tree):
    annotation = next((tree / "EXPR_Recognition_Challenge" / "Train_Set").glob("*.txt"))
    lines = annotation.read_text().splitlines()
    assert lines[0] == "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    assert set(lines[1:]) <= {str(i) for i in range(-1, 8)}
    truth = json.loads((tree / "latents" / f"{annotation.stem}.json").read_text())
    assert (tree / "cropped_aligned" / annotation.stem / "00001.jpg").is_file()
    assert any((tree / batch / f"{truth['video']}.mp4").is_file() for batch in ("batch1", "batch2"))
    image = cv2.imread(str(tree / "cropped_aligned" / annotation.stem / "00001.jpg"))
    assert image.shape == (112, 112, 3)
    template = (
        (tree / "names_of_videos_in_each_test_set" / "CVPR_6th_ABAW_Expr_test_set_example.txt")
        .read_text()
        .splitlines()
    )
    assert template[0].startswith("image_location,Neutral,") and template[1].endswith("/00001.jpg,")
    assert any(path.stem.endswith("_left") for path in annotation.parent.glob("*.txt"))


def test_a_folder_in_use_is_refused(tree):
    with pytest.raises(EmolibError, match="not empty"):
        synthetic.write_tree(SMALL, tree, progress=False)


def test_ensure_makes_the_tree_once_and_recovers_from_a_killed_run(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path))
    tiny = SMALL.replace(synth_train_clips=1, synth_validation_clips=1)
    root = synthetic.ensure(tiny, progress=False)
    shutil.rmtree(root)
    left = root.parent / f".{root.name}-killed"
    left.mkdir()
    assert synthetic.ensure(tiny, progress=False) == root
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    assert (
        synthetic.ensure(tiny, progress=False) == root
        and synthetic.is_synthetic(root)
        and not left.exists()
    )
    assert before == {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    monkeypatch.setattr("emolib.data.synthetic.tree.code_hash", lambda sources: "another generator")
    assert synthetic.ensure(tiny, progress=False) != root


def test_labels_follow_the_tempered_priors_and_every_split_has_every_class():
    clips = plan.plan_clips(preset("demo"))
    for split in ("train", "validation"):
        labels = [
            s.label
            for c in clips
            if c.split == split and not c.id.endswith("_right")
            for s in c.segments
        ]
        assert set(labels) == set(range(8))
        assert np.abs(np.bincount(labels) / len(labels) - plan.class_priors(0.25)).max() < 0.03
    assert np.allclose(plan.class_priors(0), 1 / 8)
    assert plan.class_priors(1)[EXPRESSIONS.index("Other")] == pytest.approx(0.2952, abs=1e-3)


def test_cues_are_where_they_should_be_and_random_elsewhere():
    clips = plan.plan_clips(preset("demo", synth_train_clips=600))
    segments = [s for c in clips for s in c.segments]
    for name, direction in (("Anger", 1), ("Disgust", -1)):
        assert {s.direction for s in segments if EXPRESSIONS[s.label] == name} == {direction}
    for name, quality in (("Fear", 0), ("Sadness", 0), ("Surprise", 1), ("Other", 1)):
        assert {s.quality for s in segments if EXPRESSIONS[s.label] == name} == {quality}
    for name in ("Neutral", "Happiness", "Fear", "Other"):
        assert abs(np.mean([s.direction for s in segments if EXPRESSIONS[s.label] == name])) < 0.35
    for name in ("Neutral", "Happiness", "Anger", "Disgust"):
        assert 0.3 < np.mean([s.quality for s in segments if EXPRESSIONS[s.label] == name]) < 0.7
    assert all(
        len(c.segments) == 1 for c in clips for s in c.segments if s.label in (ANGER, DISGUST)
    )


def test_training_people_say_nothing_about_the_label():
    clips = [
        c for c in plan.plan_clips(preset("demo", synth_train_clips=400)) if c.split == "train"
    ]
    people = {c.person for c in clips}
    assert len(people) == plan.PEOPLE
    anger = [c.person for c in clips if c.segments[0].label == ANGER]
    disgust = [c.person for c in clips if c.segments[0].label == DISGUST]
    assert set(anger) == set(disgust) == people


def test_no_frame_and_no_unordered_set_of_frames_tells_the_motion_pair():
    rng = np.random.default_rng(0)
    up = np.stack([plan.pitch_of(90, 1, rng) for _ in range(4000)])
    down = np.stack([plan.pitch_of(90, -1, rng) for _ in range(4000)])
    # reversal in time turns one law into the other: means and covariances agree
    assert np.abs(up.mean(0) - down[:, ::-1].mean(0)).max() < 0.05
    variance = np.var(up - up.mean(0))
    assert np.abs(np.cov(up.T) - np.cov(down[:, ::-1].T)).max() < 0.12 * variance
    # any symmetric function of the frames has the same law,
    # for instance mean and spread over the clip
    assert abs(up.mean() - down.mean()) < 0.02 and abs(up.std(1).mean() - down.std(1).mean()) < 0.01
    # while the slope tells them apart
    assert (up[:, 45:].mean(1) > up[:, :45].mean(1)).mean() > 0.999


@pytest.mark.parametrize("window", [10, 15, 30, 60])
def test_pair_accuracy_matches_simulated_likelihood_ratio(window):
    rng = np.random.default_rng(window)
    time = np.arange(window) - (window - 1) / 2
    lags = np.abs(np.subtract.outer(time, time))
    # 1e4: the variance of an unknown level.
    covariance = (
        plan.DRIFT**2 * np.exp(-lags / plan.DRIFT_FRAMES) + plan.TREMBLE**2 * np.eye(window) + 1e4
    )
    weights = np.linalg.solve(covariance, time)
    paths = np.stack(
        [plan.SLOPE * time + plan.pitch_noise(window, rng) + rng.normal() for _ in range(6000)]
    )
    simulated = (paths @ weights > 0).mean()
    assert simulated == pytest.approx(observer.pair_accuracy(window), abs=0.02)
    assert simulated > 0.55


def test_ceilings_with_equal_classes_are_the_designed_ones():
    equal = np.ones(8)
    for inputs, expected in (
        ("still", 0.625),
        ("still+voice", 0.875),
        ("motion", 0.75),
        ("motion+voice", 1.0),
    ):
        assert observer.ceiling_row(inputs, 60, "frame", equal)["macro_f1"] == pytest.approx(
            expected, abs=1e-3
        )
    scores = [
        observer.ceiling_row("motion+voice", window, "frame", equal)["macro_f1"]
        for window in (10, 15, 30, 60)
    ]
    assert scores == sorted(scores) and scores[0] < 0.92 and scores[-1] > 0.999


def test_best_macro_f1_against_exhaustive_search():
    rng = np.random.default_rng(3)
    for _ in range(5):
        likelihood = np.zeros((8, 3))
        likelihood[:2] = rng.dirichlet(np.ones(3), 2)
        priors = np.r_[rng.dirichlet([2, 2]), np.zeros(6)]
        grid = np.linspace(0, 1, 41)
        best = 0.0
        for rule in product(grid, repeat=3):
            q = np.array(rule)
            hit = np.array(
                [(q * likelihood[0]).sum() * priors[0], ((1 - q) * likelihood[1]).sum() * priors[1]]
            )
            predicted = np.array(
                [
                    (q * (likelihood[:2].T @ priors[:2])).sum(),
                    ((1 - q) * (likelihood[:2].T @ priors[:2])).sum(),
                ]
            )
            best = max(best, (2 * hit / (priors[:2] + predicted)).sum())
        assert observer.best_macro_f1(likelihood, priors).sum() == pytest.approx(best, abs=2e-3)


def test_slope_deviation_of_white_noise_is_the_textbook_one(monkeypatch):
    monkeypatch.setattr(observer, "DRIFT", 0.0)
    n = 60
    assert observer.slope_deviation(n) == pytest.approx(plan.TREMBLE / np.sqrt(n * (n**2 - 1) / 12))
    assert observer.pair_accuracy(n) == pytest.approx(
        norm.cdf(plan.SLOPE / observer.slope_deviation(n))
    )


def test_ceiling_is_found_for_an_experiment(tree):
    voice = synthetic.ceiling(tree, SMALL, "frame")
    still = synthetic.ceiling(
        tree, SMALL.replace(tcn_blocks=0, modalities="visual", fusion="concat"), "frame"
    )
    assert (
        still < voice
        and synthetic.inputs_of(
            SMALL.replace(modalities="audio", fusion="concat", contrastive_weight=0.0)
        )
        == "voice"
    )
    with pytest.raises(EmolibError, match="no row"):
        synthetic.ceiling(tree, SMALL.replace(window=37), "frame")


def test_the_ceiling_of_windows_follows_their_stride(tree):
    strides = {stride: synthetic.ceilings(tree, stride) for stride in (15, 1)}
    frame, window = (
        [[row for row in rows if row["protocol"] == protocol] for rows in strides.values()]
        for protocol in ("frame", "window")
    )
    assert frame[0] == frame[1] and window[0] != window[1]
    annotations = [clip.annotation for clip in plan.plan_clips(SMALL) if clip.split == "validation"]
    counts = class_counts(np.concatenate([lines[9:] for lines in annotations]))
    expected = observer.ceiling_row("voice", 10, "window", counts, SMALL.synth_difficulty)
    assert expected in window[1]
    every = SMALL.replace(
        stride=1, window=10, modalities="audio", fusion="concat", contrastive_weight=0
    )
    assert synthetic.ceiling(tree, every, "window") == expected["macro_f1"]


RELATED = SMALL.replace(synth_cues="relation", synth_train_clips=1500, synth_seconds=10.0)
FEAR, SURPRISE = EXPRESSIONS.index("Fear"), EXPRESSIONS.index("Surprise")


def related_windows(length):
    """A window of each clip of Fear and Surprise: class, pitch and pressed voice, ``[length]``."""
    for clip in plan.plan_clips(RELATED):
        segment = clip.segments[0]
        if segment.label in (FEAR, SURPRISE):
            first, qualities = zip(*segment.qualities(), strict=True)
            pressed = np.repeat(qualities, np.diff([*first, segment.last])) == 0
            yield segment.label, clip.pitch[:length], pressed[:length]


def test_only_the_relation_of_head_and_voice_tells_the_related_pair():
    labels, pitch, pressed = map(np.array, zip(*related_windows(30), strict=True))
    fear = labels == FEAR
    assert 100 < fear.sum() < len(fear) - 100
    together = ((pitch - pitch.mean(axis=1, keepdims=True)) * (pressed - 0.5)).mean(axis=1)
    assert np.mean((together > 0) == fear) > 0.97
    assert np.all(pressed.mean(axis=1) == 0.5), "as much of each voice in every window"
    for alone in (pitch.mean(axis=1), pitch.std(axis=1), *pitch.T[:4], *pressed.T[:4]):
        order = np.argsort(alone, kind="stable")
        half = np.isin(np.arange(len(fear)), order[: len(fear) // 2])
        assert abs(np.mean(half == fear) - 0.5) < 0.08


def test_the_relation_changes_nothing_else():
    """Other classes keep their signals, bit for bit."""
    related = plan.plan_clips(SMALL.replace(synth_cues="relation"))
    for clip, separate in zip(related, plan.plan_clips(SMALL), strict=True):
        assert np.array_equal(clip.annotation, separate.annotation)
        if not {s.label for s in clip.segments} & {FEAR, SURPRISE}:
            assert np.array_equal(clip.pitch, separate.pitch)


@pytest.mark.parametrize("window", [10, 30])
def test_relation_accuracy_matches_simulated_likelihood_ratio(window):
    rng = np.random.default_rng(0)
    precision = np.linalg.inv(observer.pitch_covariance(window, 3.0))
    right = []
    for _ in range(4000):
        phase = int(rng.integers(2 * plan.BEAT))
        nods = plan.Segment(0, window, FEAR, 1, 0, relation=1, phase=phase).nods()
        pitch = plan.NOD * nods + plan.pitch_noise(window, rng, 3.0)
        # The level of the pitch is unknown: project it out.
        centred = precision - np.outer(precision.sum(0), precision.sum(0)) / precision.sum()
        right.append(nods @ centred @ pitch > 0)
    assert np.mean(right) == pytest.approx(observer.relation_accuracy(window, 3.0), abs=0.025)
    assert 0.6 < np.mean(right) < 0.97


def test_ceilings_of_the_relation_need_both_streams():
    equal = np.ones(8)

    def ceiling(inputs, cues):
        return observer.ceiling_row(inputs, 60, "frame", equal, cues=cues)["macro_f1"]

    assert ceiling("motion+voice", "relation") == pytest.approx(1.0, abs=0.002)
    assert ceiling("still+voice", "relation") == pytest.approx(0.75, abs=0.002)
    assert ceiling("motion", "relation") == ceiling("motion", "separate")
    assert ceiling("still+voice", "separate") == pytest.approx(0.875, abs=0.002)


def test_pitch_moves_the_features_and_not_the_head():
    rng = np.random.default_rng(0)
    person = faces.draw_identity(rng)
    up, down = (
        faces.render(
            person, faces.PROTOTYPES[0], faces.Pose(pitch=p), np.random.default_rng(1)
        ).astype(int)
        for p in (1, -1)
    )
    change = np.abs(up - down).sum(2) > 40
    rows, columns = np.nonzero(change)
    assert change.sum() > 200 and columns.min() > 20 and columns.max() < 92 and rows.min() > 25


def test_voice_qualities_differ_in_brightness():
    rng = np.random.default_rng(0)
    centroid = []
    for quality in (0, 1):
        sound = np.stack(
            [voices.speak(voices.draw_speaker(rng), quality, 16000, rng) for _ in range(20)]
        )
        power = np.abs(np.fft.rfft(sound)) ** 2
        centroid.append((power * np.fft.rfftfreq(16000, 1 / 16000)).sum(1) / power.sum(1))
    assert centroid[0].mean() > 1.25 * centroid[1].mean()


@pytest.mark.parametrize("window", [15, 30, 60])
def test_the_windows_of_a_motion_clip_lie_evenly_on_both_sides_of_its_middle(window):
    clips = [c for c in plan.plan_clips(preset("demo")) if c.segments[0].label in (ANGER, DISGUST)]
    assert len(clips) > 50
    for clip in clips:
        (segment,) = clip.segments
        middles = np.arange(0, segment.last - window + 1, 15) + window / 2
        assert middles.mean() == segment.last / 2
