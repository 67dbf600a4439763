"""Planted defects, and the named check that has to catch each:
a test that cannot fail proves nothing.

A defect takes the place of a function or a method and does one thing wrong, whatever the source
behind that name looks like.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from emolib import fusion, losses, tcn, windows
from emolib.data import annotations
from emolib.evaluation import metrics
from emolib.features import window_sets
from emolib.features.batches import DeviceWindows
from emolib.model import EmotionModel
from emolib.training import trainer
from tests.support import checks
from tests.support.checks import CHECKS


@dataclass(frozen=True)
class Defect:
    """``broken``, given what ``owner.name`` is, makes what stands there instead;
    ``check`` fails.
    """

    what: str
    owner: Any
    name: str
    broken: Callable[[Callable], Callable]
    check: Callable


def changed(result: Callable[..., Any]) -> Callable[[Callable], Callable]:
    """Call the original, then hand its answer and its arguments to ``result``, which spoils it."""

    def broken(original: Callable) -> Callable:
        def defective(*args, **kwargs):
            return result(original(*args, **kwargs), *args, **kwargs)

        return defective

    return broken


def called_with(**wrong: Callable[[Any], Any] | Any) -> Callable[[Callable], Callable]:
    """Call the original with keyword arguments spoiled: a value, or a function of the right one."""

    def broken(original: Callable) -> Callable:
        def defective(*args, **kwargs):
            spoiled = {
                name: value(kwargs[name]) if callable(value) else value
                for name, value in wrong.items()
            }
            return original(*args, **{**kwargs, **spoiled})

        return defective

    return broken


# the model


def looks_ahead(forward):
    return lambda self, x: forward(self, x.flip(-1)).flip(-1)


def mixes_the_batch(forward):
    return lambda self, x: forward(self, x.transpose(0, 1)).transpose(0, 1)


def attends_to_itself(forward):
    return lambda self, x, other, other_length=None: forward(self, x, x)


def without_residual(forward):
    def defective(self, x, other, other_length=None):
        attended, weights = self.attention(x, other, other)
        return self.norm(attended), weights

    return defective


def adapter_without_relu(init):
    def defective(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.adapter[2] = nn.Identity()

    return defective


def sound_of_another_window(batch):
    def defective(self, rows, *group):
        other = batch(self, rows.roll(1), *group)
        return batch(self, rows, *group)._replace(
            audio=other.audio, audio_length=other.audio_length
        )

    return defective


# the losses


def upside_down(class_weights):
    return lambda labels, *options: 1 / class_weights(labels, *options)


def one_direction(forward):
    def defective(self, embedding, labels):
        similarity = self.log_scale.exp() * embedding @ self.prompts[labels].t()
        return functional.cross_entropy(similarity, torch.arange(len(labels)))

    return defective


# windows and frames


def labels_of_position(position: int):
    """A window's label is that of the frame at ``position``, counted from its last one."""

    def result(index, labels, *args, **kwargs):
        frames = np.minimum(index.frames[:, -1] + position, len(labels))
        return dataclasses.replace(index, label=labels[frames - 1])

    return changed(result)


def next_window(frame_predictions):
    def defective(probabilities, ends, *args, **kwargs):
        return frame_predictions(np.roll(probabilities, -1, axis=0), ends, *args, **kwargs)

    return defective


def places_in_the_listing(gather):
    def defective(faces, indices, length):
        counted = [(np.arange(1, len(rows) + 1), rows) for _, rows in faces]
        shown = [
            dataclasses.replace(index, frames=np.minimum(index.frames, len(rows)))
            for index, (_, rows) in zip(indices, faces, strict=True)
        ]
        return gather(counted, shown, length)

    return defective


def first_face_again(index, face_present, *, length, stride):
    numbers = np.flatnonzero(face_present) + 1
    own = np.maximum(index.end[:, None] - np.arange(length)[::-1], 1)
    return dataclasses.replace(index, frames=np.where(np.isin(own, numbers), own, numbers[0]))


def without_the_last(index, *args, **kwargs):
    return windows.WindowIndex(
        **{
            field.name: getattr(index, field.name)[:-1]
            for field in dataclasses.fields(windows.WindowIndex)
        }
    )


# the metric


def over_present_classes(original):
    def defective(labels, predictions):
        present = np.unique(labels[labels >= 0])
        return float(metrics.class_f1(labels, predictions)[present].mean())

    return defective


def score_over_present_classes(result, labels, *args, **kwargs):
    f1 = [row["f1"] for row in result["per_class"] if row["support"]]
    return {**result, "macro_f1": float(np.mean(f1))}


def resamples_frames(score):
    def defective(labels, predictions, clips, **kwargs):
        return score(labels, predictions, np.arange(len(labels)), **kwargs)

    return defective


DEFECTS = (
    Defect(
        "causality disabled",
        tcn.CausalConv1d,
        "forward",
        looks_ahead,
        checks.temporal_network_is_causal,
    ),
    Defect(
        "dilation ignored",
        tcn.TemporalBlock,
        "__init__",
        called_with(dilation=1),
        checks.temporal_network_is_causal,
    ),
    Defect(
        "time mixed with the batch",
        tcn.TCN,
        "forward",
        mixes_the_batch,
        checks.temporal_network_is_causal,
    ),
    Defect(
        "visual direction dropped",
        fusion.Fusion,
        "forward",
        changed(lambda fused, self, visual, *_: fused._replace(visual=visual)),
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "audio direction dropped",
        fusion.Fusion,
        "forward",
        changed(lambda fused, self, visual, audio, *_: fused._replace(audio=audio)),
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "attention to itself",
        fusion.CrossAttention,
        "forward",
        attends_to_itself,
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "residual dropped",
        fusion.CrossAttention,
        "forward",
        without_residual,
        checks.each_stream_attends_to_the_other,
    ),
    Defect(
        "adapter without its ReLU",
        EmotionModel,
        "__init__",
        adapter_without_relu,
        checks.sound_passes_the_adapter,
    ),
    Defect(
        "sound of another window",
        DeviceWindows,
        "batch",
        sound_of_another_window,
        checks.a_batch_is_its_windows_rows,
    ),
    Defect(
        "faces one frame late",
        DeviceWindows,
        "batch",
        changed(lambda batch, *_: batch._replace(visual=batch.visual.roll(1, dims=1))),
        checks.a_batch_is_its_windows_rows,
    ),
    Defect(
        "dropout left on",
        EmotionModel,
        "eval",
        lambda _: lambda self: self.train(),
        checks.predictions_come_without_dropout,
    ),
    Defect(
        "class weights ignored",
        trainer,
        "class_weights",
        changed(lambda weights, *_: torch.ones_like(weights)),
        checks.rare_classes_weigh_more,
    ),
    Defect(
        "class weights upside down",
        trainer,
        "class_weights",
        upside_down,
        checks.rare_classes_weigh_more,
    ),
    Defect(
        "contrastive term dropped",
        losses.Objective,
        "forward",
        changed(lambda result, *_: result._replace(total=result.classification)),
        checks.prompts_are_learned_from,
    ),
    Defect(
        "contrastive loss in one direction",
        losses.Contrastive,
        "forward",
        one_direction,
        checks.prompts_are_learned_from,
    ),
    Defect(
        "header kept as label 0",
        annotations,
        "read_labels",
        changed(lambda labels, *_: np.r_[0, labels]),
        checks.labels_of_a_file_begin_after_its_header,
    ),
    Defect(
        "frame number taken for a place in the listing",
        window_sets,
        "_gather_faces",
        places_in_the_listing,
        checks.features_are_found_by_frame_number,
    ),
    Defect(
        "window label of the frame before",
        windows,
        "index_windows",
        labels_of_position(-1),
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "window label of the frame after",
        windows,
        "index_windows",
        labels_of_position(1),
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "frames shifted against labels",
        windows,
        "index_windows",
        changed(lambda index, *_, **__: dataclasses.replace(index, frames=index.frames + 1)),
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "gap rule off by one",
        windows,
        "index_windows",
        called_with(max_gap=lambda gap: gap - 1),
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "stride ignored",
        windows,
        "index_windows",
        called_with(stride=1),
        checks.windows_follow_the_released_rule,
    ),
    Defect(
        "frames filled from the next window",
        windows,
        "frame_predictions",
        next_window,
        checks.every_frame_gets_the_nearest_window,
    ),
    Defect(
        "clips without a window get zeros",
        windows,
        "frame_predictions",
        called_with(fallback=np.zeros(8)),
        checks.every_frame_gets_the_nearest_window,
    ),
    Defect(
        "mean over one window too many",
        windows,
        "frame_predictions",
        called_with(length=lambda length: length + 1),
        checks.every_frame_gets_the_nearest_window,
    ),
    Defect(
        "missing faces repeat the first one",
        windows,
        "frame_windows",
        changed(first_face_again),
        checks.missing_faces_repeat_the_last_one,
    ),
    Defect(
        "last frame forgotten",
        windows,
        "frame_windows",
        changed(without_the_last),
        checks.missing_faces_repeat_the_last_one,
    ),
    Defect(
        "macro-F1 over present classes only",
        metrics,
        "macro_f1",
        over_present_classes,
        checks.macro_f1_is_over_all_eight_classes,
    ),
    Defect(
        "score over present classes only",
        metrics,
        "score",
        changed(score_over_present_classes),
        checks.macro_f1_is_over_all_eight_classes,
    ),
    Defect(
        "intervals resample frames",
        metrics,
        "score",
        resamples_frames,
        checks.intervals_resample_clips,
    ),
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_holds(check):
    check()


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.what)
def test_caught(defect, monkeypatch):
    original = getattr(defect.owner, defect.name)
    monkeypatch.setattr(defect.owner, defect.name, defect.broken(original))
    with pytest.raises(AssertionError):
        defect.check()


def test_every_check_catches_something():
    assert {defect.check for defect in DEFECTS} == set(CHECKS)
