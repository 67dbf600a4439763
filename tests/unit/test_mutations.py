"""Planted defects, one line each, and the named check that has to catch it: a test that cannot fail proves nothing."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from emolib import fusion, losses, tcn, windows
from emolib.data import annotations
from emolib.evaluation import metrics
from emolib.evaluation import predictions as evaluation
from emolib.features import window_sets as features
from emolib.features.batches import DeviceWindows
from emolib.model import EmotionModel
from emolib.training.trainer import Trainer
from tests.support import checks
from tests.support.checks import CHECKS


@dataclass(frozen=True)
class Defect:
    """``line`` of ``function`` becomes ``broken``, and ``check`` fails."""

    name: str
    function: Callable
    line: str
    broken: str
    check: Callable


def plant(monkeypatch, defect: Defect) -> None:
    """Swap the function's code for its source with the defect, so that everybody who has imported it runs the defect."""
    source = textwrap.dedent(inspect.getsource(defect.function))
    assert source.count(defect.line) == 1, (
        f"{defect.function.__qualname__} no longer has the line {defect.line!r}: restate the defect"
    )
    module = compile(source.replace(defect.line, defect.broken), f"<{defect.name}>", "exec")
    code = next(
        constant
        for constant in module.co_consts
        if inspect.iscode(constant) and constant.co_name == defect.function.__name__
    )
    monkeypatch.setattr(defect.function, "__code__", code)


DEFECTS = (
    Defect(
        "causality disabled",
        tcn.CausalConv1d.forward,
        "((taps - 1) * dilation, 0)",
        "(0, (taps - 1) * dilation)",
        checks.temporal_network_is_causal,
    ),
    Defect(
        "dilation ignored",
        tcn.CausalConv1d.forward,
        "(dilation,), steps = self.dilation, x.shape[-1]",
        "dilation, steps = 1, x.shape[-1]",
        checks.temporal_network_is_causal,
    ),
    Defect(
        "the past cut off",
        tcn.CausalConv1d.forward,
        "min(self.kernel_size[0], 1 + (steps - 1) // dilation)",
        "1",
        checks.temporal_network_is_causal,
    ),
    Defect(
        "visual direction dropped",
        fusion.Fusion.forward,
        "self.visual(visual, audio, audio_length)",
        "(visual, None)",
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "audio direction dropped",
        fusion.Fusion.forward,
        "self.audio(audio, visual)",
        "(audio, None)",
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "attention to itself",
        fusion.CrossAttention.forward,
        "x, other, other, key_padding_mask",
        "x, x, x, key_padding_mask",
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "residual dropped",
        fusion.CrossAttention.forward,
        "self.norm(x + attended)",
        "self.norm(attended)",
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "adapter bypassed",
        EmotionModel.forward,
        'self.adapter(self.standardised(audio, "audio"))',
        'self.standardised(audio, "audio")[..., : self.experiment.width]',
        checks.sound_passes_the_adapter,
    ),
    Defect(
        "sound of another window",
        DeviceWindows.batch,
        "self.audio_start[here]",
        "self.audio_start.roll(1)[here]",
        checks.a_batch_is_its_windows_rows,
    ),
    Defect(
        "faces one frame late",
        DeviceWindows.batch,
        "self.frames[here]",
        "self.frames[here] - 1",
        checks.a_batch_is_its_windows_rows,
    ),
    Defect(
        "dropout left on",
        inspect.unwrap(evaluation.probabilities),
        "model.eval()",
        "model.train()",
        checks.predictions_come_without_dropout,
    ),
    Defect(
        "class weights ignored",
        losses.Classification.forward,
        ", weight=self.weights",
        "",
        checks.rare_classes_weigh_more,
    ),
    Defect(
        "class weights upside down",
        losses.class_weights,
        "counts.sum() / (NUM_CLASSES * counts)",
        "counts / counts.sum()",
        checks.rare_classes_weigh_more,
    ),
    Defect(
        "contrastive term dropped",
        Trainer.advance,
        "losses.total / len(groups)",
        "losses.classification / len(groups)",
        checks.prompts_are_learned_from,
    ),
    Defect(
        "contrastive loss in one direction",
        losses.Contrastive.forward,
        "(video_to_text + text_to_video) / 2",
        "video_to_text",
        checks.prompts_are_learned_from,
    ),
    Defect(
        "header kept as label 0",
        annotations.read_labels,
        "labels = list(map(_LABELS.get, lines[1:]))",
        "labels = [0, *map(_LABELS.get, lines[1:])]",
        checks.labels_of_a_file_begin_after_its_header,
    ),
    Defect(
        "frame number taken for a place in the listing",
        features._gather_faces,
        "np.searchsorted(numbers, windows.frames)",
        "np.minimum(windows.frames - 1, len(numbers) - 1)",
        checks.features_are_found_by_frame_number,
    ),
    Defect(
        "window label shifted by one",
        windows._window_labels,
        '-1 if rule == "last"',
        '-2 if rule == "last"',
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "frames shifted against labels",
        windows.index_windows,
        "frames=(images + 1)",
        "frames=(images + 2)",
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "labels of the frame after",
        windows.index_windows,
        "labels[images]",
        "labels[np.minimum(images + 1, len(labels) - 1)]",
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "gap rule off by one",
        windows._bridged,
        "<= max_gap",
        "< max_gap",
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "stride ignored",
        windows._starts,
        "within * step",
        "within",
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "frames filled from the next window",
        windows.frame_predictions,
        "later, earlier\n",
        "later, later\n",
        checks.every_frame_gets_the_nearest_window,
    ),
    Defect(
        "clips without a window get zeros",
        windows.frame_predictions,
        "(n_frames, 1))",
        "(n_frames, 1)) * 0",
        checks.every_frame_gets_the_nearest_window,
    ),
    Defect(
        "mean over one window too many",
        windows._covering,
        "frames + length - 1",
        "frames + length",
        checks.every_frame_gets_the_nearest_window,
    ),
    Defect(
        "missing faces repeat the first one",
        windows.frame_windows,
        "(source[positions] + 1)",
        "(np.where(face_present, source, source.min())[positions] + 1)",
        checks.missing_faces_repeat_the_last_one,
    ),
    Defect(
        "last frame forgotten",
        windows.frame_windows,
        "np.append(np.arange(length, n, stride), n)",
        "np.arange(length, n, stride)",
        checks.missing_faces_repeat_the_last_one,
    ),
    Defect(
        "macro-F1 over present classes only",
        metrics.macro_f1,
        "f1_of_classes(confusion(labels, predictions)).mean()",
        "f1_of_classes(confusion(labels, predictions))[np.unique(labels[labels >= 0])].mean()",
        checks.macro_f1_is_over_all_eight_classes,
    ),
    Defect(
        "score over present classes only",
        metrics.score,
        '"macro_f1": float(f1.mean())',
        '"macro_f1": float(f1[total.sum(axis=1) > 0].mean())',
        checks.macro_f1_is_over_all_eight_classes,
    ),
    Defect(
        "intervals resample frames",
        metrics.score,
        "_per_clip(labels, predictions, clips)",
        "_per_clip(labels, predictions, np.arange(len(labels)))",
        checks.intervals_resample_clips,
    ),
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_holds(check):
    check()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_caught(defect, monkeypatch):
    plant(monkeypatch, defect)
    with pytest.raises(AssertionError):
        defect.check()


def test_every_check_catches_something_and_the_code_is_whole_again():
    assert {defect.check for defect in DEFECTS} == set(CHECKS)
    checks.temporal_network_is_causal()
