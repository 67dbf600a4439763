"""Named checks of what must hold in model, losses, alignment, windows and metric;
each raises AssertionError when it does not.

``test_mutations`` runs each on the code as it is,
and again with a defect planted that it has to catch.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch.nn import functional

from emolib import windows
from emolib.data import annotations
from emolib.evaluation import metrics
from emolib.evaluation import predictions as evaluation
from emolib.features import window_sets as features
from emolib.features.batches import DeviceWindows
from emolib.labels import EXPRESSIONS
from emolib.model import EmotionModel
from emolib.tcn import TCN
from emolib.training.trainer import Trainer
from tests.support.windowsets import make, prompts, tiny

NO_DROPOUT = {
    "tcn_dropout": 0.0,
    "adapter_dropout": 0.0,
    "attention_dropout": 0.0,
    "classifier_dropout": 0.0,
}


def model(**changes):
    torch.manual_seed(0)
    return EmotionModel(tiny(**{**NO_DROPOUT, **changes})).eval()


def trainer(**changes):
    return Trainer(tiny(**{**NO_DROPOUT, **changes}), make(), *prompts(), "cpu")


def differs(a, b):
    return (a - b).abs().amax(dim=-1) > 1e-5


# model


def temporal_network_is_causal():
    """A later frame changes no earlier step, and every step sees its whole past within the
    receptive field of 29 frames.
    """
    torch.manual_seed(0)
    network, x = TCN(12, 8, blocks=3, kernel=3, dropout=0.0).eval(), torch.randn(2, 40, 12)
    before = network(x)
    for frame in (5, 10, 11, 39):
        changed = x.clone()
        changed[0, frame] += 10
        after = differs(network(changed), before)
        assert not after[0, :frame].any(), "a step sees the future"
        assert not after[1].any(), "a window sees another one of its batch"
        assert after[0, frame] and after[0, 39] == (frame >= 11), (
            "the receptive field is not 1 + 2 * 2 * (1 + 2 + 4) frames"
        )


def each_stream_attends_to_the_other():
    torch.manual_seed(0)
    fusion = model().fusion
    visual, audio = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    fused_visual, fused_audio, *_ = fusion(visual, audio)
    assert differs(fusion(visual, audio.roll(1, dims=0))[0], fused_visual).all(), (
        "the face does not hear the voice"
    )
    assert differs(fusion(visual.roll(1, dims=0), audio)[1], fused_audio).all(), (
        "the voice does not see the face"
    )
    attention = fusion.visual
    with torch.no_grad():
        attention.attention.out_proj.weight.zero_()
        attention.attention.out_proj.bias.zero_()
    torch.testing.assert_close(
        fusion(visual, audio)[0], attention.norm(visual), msg="without attention H must be LN(F)"
    )


def sound_passes_the_adapter():
    """What enters the fusion is ReLU(LN(W a + b))."""
    m, seen = model(), []
    m.fusion.register_forward_hook(lambda module, given, result: seen.append(given[1]))
    audio = torch.randn(2, 6, 768)
    m(torch.randn(2, 10, 512), audio)
    linear, norm = m.adapter[0], m.adapter[1]
    expected = functional.layer_norm(
        audio @ linear.weight.T + linear.bias, (16,), norm.weight, norm.bias
    ).relu()
    torch.testing.assert_close(seen[0], expected)


def a_batch_is_its_windows_rows():
    sets = make(ragged=True)
    m = model(standardise=False)
    rows = torch.tensor([9, 2, 30])
    batch = DeviceWindows(sets, m).batch(rows)
    for place, row in enumerate(rows.tolist()):
        start, length = sets.audio_start[row], sets.audio_length[row]
        np.testing.assert_array_equal(batch.visual[place].numpy(), sets.visual[sets.frames[row]])
        np.testing.assert_array_equal(
            batch.audio[place, :length].numpy(),
            sets.audio[start : start + length],
        )
        assert batch.audio_length is None or batch.audio_length[place] == length


def predictions_come_without_dropout():
    m, sets = EmotionModel(tiny(classifier_dropout=0.5, tcn_dropout=0.5)).train(), make(clips=2)
    first = evaluation.predict_windows(m, sets)
    np.testing.assert_array_equal(first, evaluation.predict_windows(m, sets))
    assert m.training, "training goes on as it was"


# losses


def rare_classes_weigh_more():
    """The training loss is the cross-entropy with weights N / (8 n_c)."""
    t, rows = trainer(class_weights="inverse"), torch.arange(20)
    label = t.label[rows]
    weight = len(t.label) / (8 * torch.bincount(t.label, minlength=8)).double()[label]
    with torch.no_grad():
        log_p = t.model(*t.windows.batch(rows))[0].double().log_softmax(dim=1)
        by_hand = -(weight * log_p[rows, label]).sum() / weight.sum()
        torch.testing.assert_close(
            t.losses(rows)[0].classification.double(), by_hand, rtol=1e-5, atol=1e-6
        )


def prompts_are_learned_from():
    """The contrastive loss is CLIP's in both directions, is part of the total,
    and moves its projection.
    """
    t, rows = trainer(contrastive_weight=0.1), torch.arange(12)
    label, target = t.label[rows], torch.arange(12)
    with torch.no_grad():
        embedding = t.model(*t.windows.batch(rows))[1]
        text = functional.normalize(torch.from_numpy(prompts()[0]), dim=1)[label]
        similarity = prompts()[1] * embedding @ text.T
        by_hand = (
            functional.cross_entropy(similarity, target)
            + functional.cross_entropy(similarity.T, target)
        ) / 2
        torch.testing.assert_close(t.losses(rows)[0].contrastive, by_hand, rtol=1e-4, atol=1e-5)
    before = t.model.contrastive.weight.detach().clone()
    t.epoch(0)
    moved = (t.model.contrastive.weight.detach() - before).abs().amax(dim=1)
    assert (moved > t.experiment.learning_rate / 2).all(), (
        "the projection does not learn (weight decay alone moves it by less than 1e-4)"
    )


# alignment and windows


def labels_of_a_file_begin_after_its_header():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.txt"
        path.write_text(",".join(EXPRESSIONS) + "\n4\n-1\n7\n")
        assert annotations.read_labels(path).tolist() == [4, -1, 7]


def features_are_found_by_frame_number():
    """Frame 3 has no face: frames 4 and 5 stay 4 and 5, not third and fourth."""
    present = np.array([True, True, False, True, True, True])
    index = windows.index_windows(np.zeros(6, int), present, length=3, stride=1)
    numbers = np.flatnonzero(present) + 1
    faces = numbers, np.repeat(numbers[:, None], 512, axis=1).astype(np.float16)
    visual, rows = features._gather_faces([faces, faces], [index, index], 3)
    np.testing.assert_array_equal(visual[rows][:, :, 0], np.tile(index.frames, (2, 1)))


def windows_follow_the_released_rule():
    """By hand, windows of 3, stride 2, a gap of at most 1;
    frame 4 has no face, 7 and 8 no label.
    """
    labels = np.array([0, 1, 2, 3, 4, 5, -1, -1, 6, 6, 7])
    present = np.arange(1, 12) != 4
    index = windows.index_windows(labels, present, length=3, stride=2, max_gap=1)
    assert index.frames.tolist() == [[1, 2, 3], [3, 3, 5], [5, 6, 6], [9, 10, 11]]
    assert index.start.tolist() == [1, 3, 5, 9] and index.end.tolist() == [3, 5, 7, 11]
    assert index.label.tolist() == [2, 4, 5, 7], "a window's label is that of its last frame"


def every_frame_gets_the_nearest_window():
    """By hand: windows of 4 that end at 4, 7 and 9 of 11 frames."""
    by_window, ends, nothing = np.eye(8)[[1, 2, 3]], np.array([4, 7, 9]), np.full(8, 1 / 8)
    last = windows.frame_predictions(by_window, ends, 11, length=4, fallback=nothing)
    assert last.argmax(axis=1).tolist() == [1, 1, 1, 1, 1, 2, 2, 3, 3, 3, 3]
    mean = windows.frame_predictions(by_window, ends, 11, length=4, rule="mean", fallback=nothing)
    np.testing.assert_allclose(mean[3], (by_window[0] + by_window[1]) / 2)
    np.testing.assert_allclose(mean[4], by_window[1])
    np.testing.assert_allclose(mean[6], (by_window[1] + by_window[2]) / 2)
    assert (
        windows.frame_predictions(by_window[:0], ends[:0], 3, length=4, fallback=nothing) == 1 / 8
    ).all()


def missing_faces_repeat_the_last_one():
    present = np.array([False, False, True, True, False, True])
    index = windows.frame_windows(present, length=3, stride=2)
    assert index.end.tolist() == [3, 5, 6] and index.frames.tolist() == [
        [3, 3, 3],
        [3, 4, 4],
        [4, 4, 6],
    ]


# metric


def macro_f1_is_over_all_eight_classes():
    labels, predictions = np.array([0, 0, 1, 1, 4, 4, -1]), np.array([0, 1, 1, 1, 4, 7, 3])
    expected = f1_score(
        labels[:-1], predictions[:-1], labels=range(8), average="macro", zero_division=0
    )
    assert abs(metrics.macro_f1(labels, predictions) - expected) < 1e-12
    result = metrics.score(labels, predictions, np.arange(7), protocol="frame")
    assert abs(result["macro_f1"] - expected) < 1e-12


def intervals_resample_clips():
    """Fifty copies of each frame are no new evidence."""
    rng = np.random.default_rng(0)
    labels, predictions, clips = (
        rng.integers(8, size=160),
        rng.integers(8, size=160),
        np.arange(160) // 8,
    )
    once, often = (
        np.diff(
            metrics.score(
                *(np.repeat(a, n) for a in (labels, predictions, clips)), protocol="frame"
            )["macro_f1_interval"]
        )
        for n in (1, 50)
    )
    np.testing.assert_allclose(once, often, rtol=1e-6)


CHECKS = (
    temporal_network_is_causal,
    each_stream_attends_to_the_other,
    sound_passes_the_adapter,
    a_batch_is_its_windows_rows,
    predictions_come_without_dropout,
    rare_classes_weigh_more,
    prompts_are_learned_from,
    labels_of_a_file_begin_after_its_header,
    features_are_found_by_frame_number,
    windows_follow_the_released_rule,
    every_frame_gets_the_nearest_window,
    missing_faces_repeat_the_last_one,
    macro_f1_is_over_all_eight_classes,
    intervals_resample_clips,
)
