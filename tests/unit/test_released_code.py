"""The preset `released_code` repeats what docs/method.md says of the authors' code."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import f1_score

from emolib.config import Experiment, preset
from emolib.data.clip import Clip
from emolib.encoders.load import load_audio
from emolib.encoders.resize import fit
from emolib.errors import WrongCall
from emolib.evaluation import metrics
from emolib.features import prepare
from emolib.features.protocols import index_of
from emolib.features.sound import encode_sound
from emolib.features.train_mode import RATES, redrawn
from emolib.features.window_sets import window_set
from emolib.studies.faults import FAULTS, with_oddities
from emolib.studies.variants import FULL, choose
from emolib.training.trainer import Trainer
from emolib.windows import frame_predictions, listing_windows
from tests.support.trees import Spec, clean, make_tree
from tests.support.windowsets import make, prompts, tiny

METHOD = Path(__file__).parents[2] / "docs" / "method.md"
ASSIGNED = re.compile(r"`(\w+)=([\w.,]+)`")

pytestmark = pytest.mark.usefixtures("empty_runs")


def test_the_preset_is_the_table_in_the_docs():
    section = METHOD.read_text(encoding="utf-8").split("## The released code")[1]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    released, paper = vars(preset("released_code")), vars(Experiment())
    changed = {name: str(value) for name, value in released.items() if value != paper[name]}
    assert changed.pop("preset") == "released_code"
    assert dict(ASSIGNED.findall(table)) == changed


def test_every_fault_is_a_variant_that_changes_the_paper():
    assert choose(preset("paper", data="x"), FAULTS) == list(FAULTS)
    released = {variant.name for variant in choose(preset("released_code"), FAULTS)}
    assert released == {FULL, "train_mode"}
    assert with_oddities(preset("demo")).synth_odd and not with_oddities(tiny(data="x")).synth_odd


def test_a_listing_knows_no_missing_faces():
    present = np.array([0, 1, 1, 0, 0, 1, 1, 0], bool)  # images 2, 3, 6, 7
    index = listing_windows(present, length=3, stride=1)
    assert index.frames.tolist() == [[2, 2, 2], [2, 2, 3], [2, 3, 6], [3, 6, 7]]
    assert index.end.tolist() == [1, 2, 3, 4] and index.start.tolist() == [1, 1, 1, 2]
    seen = np.eye(8)[[0, 1, 2, 3]]  # what each window shows last
    options = {"length": 3, "rule": "listing", "fallback": np.full(8, 1 / 8)}
    rows = frame_predictions(seen, index.end, len(present), **options)
    assert rows.argmax(axis=1).tolist() == [0, 1, 2, 3, 3, 3, 3, 3], (
        "the third image is not frame 3"
    )
    sparse = listing_windows(np.ones(8, bool), length=3, stride=3)
    assert sparse.end.tolist() == [1, 4, 7, 8]
    assert len(listing_windows(np.zeros(4, bool), length=3, stride=1)) == 0
    e = tiny(frame_rule="listing", window=3, frame_stride=1)
    clip = Clip(
        "a", "validation", np.zeros(8, np.int8), present, np.arange(8) / 30, 30.0, "", None, None
    )
    assert index_of(e, clip, "frame").frames.tolist() == index.frames.tolist()
    assert prepare.needs(e) != prepare.needs(e.replace(frame_rule="last"))


def test_f1_over_present_classes_is_scikit_learns():
    rng = np.random.default_rng(3)
    for _ in range(20):
        few = rng.choice(8, size=3, replace=False)
        labels, predictions = rng.choice(few, 40), rng.choice(few[:2], 40)
        expected = f1_score(labels, predictions, average="macro", zero_division=0)
        assert metrics.macro_f1(labels, predictions, f1_classes="present") == pytest.approx(
            expected
        )
        assert metrics.macro_f1(labels, predictions) == pytest.approx(expected * 3 / 8)
    score = metrics.score(
        labels, predictions, np.repeat(np.arange(8), 5), protocol="window", f1_classes="present"
    )
    assert score["macro_f1"] == pytest.approx(expected)
    low, high = score["macro_f1_interval"]
    assert low < expected < high


def test_an_image_is_stretched():
    image = np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    stretched = fit(torch.from_numpy(image)[None], 64, "bilinear", "stretch", exact=True)[0]
    expected = np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR))
    assert np.array_equal(stretched.numpy(), expected)
    quick = fit(torch.from_numpy(image)[None], 64, "bilinear", "stretch")[0].numpy()
    assert np.abs(quick.astype(int) - expected).max() <= 2
    square = torch.from_numpy(image[:, :60].copy())[None]
    both = [fit(square, 64, "bilinear", shape, exact=True) for shape in ("crop", "stretch")]
    assert torch.equal(*both), "equal for the 112 x 112 of the data set"


def test_missing_sound_is_encoded_zeros(tmp_path):
    """Of a clip without a track, of one whose sound ends early, and in the middle of a window."""
    ends_early = Spec("8", labels=[0, 1, 2, 3] * 12, fps=30.0, sound_seconds=0.8)
    specs = [*clean(), Spec("7", fps=30.0, sound=False), ends_early]
    make_tree(tmp_path, specs)
    e = tiny(data=str(tmp_path), window=10, stride=5, timing="fixed_30", max_gap=0)
    e = e.replace(missing_sound="zeros", precision="strict")
    clips = [clip for clip in prepare.clips_of(e, ("train",), progress=False) if clip.id in "78"]
    windows = window_set(e, clips, protocol="window", progress=False)
    assert (windows.audio_length == 16).all(), "T / 30 seconds, whatever there is to hear"
    encoder = load_audio(e)
    silence = encoder.waveforms(torch.zeros(1, 5333))[0].half().numpy()
    of_clip = windows.audio[: 16 * int((windows.clip == 0).sum())].reshape(-1, 16, 768)
    assert np.abs(of_clip - silence).max() < 0.01
    late = windows.audio[windows.audio_start[-1] :]
    assert np.abs(late - silence).max() < 0.01, "after the end of the sound"
    without = window_set(e.replace(missing_sound="none"), clips, protocol="window", progress=False)
    assert set(without.audio_length[without.clip == 0]) == {0} and without.audio_length[-1] == 0
    shared = np.flatnonzero(without.audio_length == 16)
    assert len(shared) and np.array_equal(
        without.audio[without.audio_start[shared[0]] :][:16],
        windows.audio[windows.audio_start[shared[0]] :][:16],
    )
    with pytest.raises(WrongCall, match="audio_context=window"):
        e.replace(audio_context="track")


def test_one_of_two_people_has_no_sound(tmp_path):
    make_tree(tmp_path, clean())
    e = tiny(data=str(tmp_path))
    heard = {clip.id: clip.video for clip in prepare.clips_of(e, progress=False)}
    released = prepare.clips_of(e.replace(two_person_sound="none"), progress=False)
    pair = {"2-25-640x480_left", "2-25-640x480_right"}
    assert all(heard.values())
    assert {clip.id for clip in released if clip.video is None} == pair
    assert {clip.time_source for clip in released} == {"video"}, "frames keep their times"


@pytest.mark.parametrize(("window", "share"), [(10, 0.62), (15, 0.63), (30, 0.37), (60, 0.19)])
def test_train_mode_masks_as_much_as_the_docs_say(window, share):
    encoder = load_audio(tiny(), **RATES)
    encoder.set_train_mode(1)
    mask = encoder.model.masked_spec_embed
    masked = []
    encoder.model.encoder.register_forward_pre_hook(
        lambda _, given: masked.append((given[0] == mask.to(given[0].dtype)).all(dim=-1))
    )
    np.random.seed(2)
    encoder.waveforms(torch.randn(200, round(16000 * window / 30)))
    assert masked[0].float().mean() == pytest.approx(share, abs=0.02)


def test_train_mode_draws_training_sound_anew_each_epoch(tmp_path):
    make_tree(tmp_path, clean())
    e = tiny(data=str(tmp_path), window=15, encoder_mode="train")
    clips = prepare.clips_of(e, ("train",), progress=False)
    still = window_set(e, clips, protocol="window", progress=False)
    first, again, second = (redrawn(e, still, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.audio, again.audio)
    assert not np.array_equal(first.audio, second.audio)
    assert not np.array_equal(first.audio, still.audio)
    for name in ("visual", "frames", "audio_start", "audio_length", "label"):
        assert np.array_equal(getattr(first, name), getattr(still, name))
    spans = {clip.id: np.array([[1, 15]], np.int32) for clip in clips}
    after = encode_sound(clips, spans, load_audio(e))[clips[0].id]["audio"]
    assert np.array_equal(after, still.audio[: len(after)]), "validation takes it as it is"


def history(sets, **changes):
    """The row of one epoch in which the weights stand still."""
    e = tiny(learning_rate=1e-30, min_learning_rate=1e-30, **changes)
    return Trainer(e, sets, *prompts(), "cpu").epoch(0)


def test_the_classification_loss_does_not_depend_on_the_batches():
    sets = make(clips=8)
    sets.label = np.where(np.arange(len(sets.label)) % 2, sets.label, 0)  # half of them Neutral
    rows = [history(sets, batch_size=size, class_weights="inverse") for size in (3, 8, 56)]
    losses = [row["classification_loss"] for row in rows]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    model = Trainer(tiny(), sets, *prompts(), "cpu")
    weights = model.learner.objective.classification.weights[torch.from_numpy(sets.label)]
    with torch.no_grad():
        logits = model.model(*model.windows.batch(torch.arange(len(sets.label))))[0]
    each = torch.nn.functional.cross_entropy(logits, torch.from_numpy(sets.label), reduction="none")
    assert losses[0] == pytest.approx(float((weights * each).sum() / weights.sum()), rel=1e-4)
