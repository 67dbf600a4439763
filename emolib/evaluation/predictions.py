"""Predictions and scores of a trained model under both protocols (docs/method.md, Evaluation)."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow
import torch

from emolib.config import Experiment
from emolib.data.clip import Clip, independent_of
from emolib.data.datasets import can_show
from emolib.errors import EmolibError
from emolib.evaluation import metrics
from emolib.features.batches import DeviceWindows
from emolib.labels import EXPRESSIONS, NUM_CLASSES
from emolib.model import EmotionModel
from emolib.system.device import autocast, products, run_threads, training_dtype
from emolib.system.files import SEAL, atomic_path
from emolib.windows import frame_predictions, smooth

if TYPE_CHECKING:
    from emolib.features.window_sets import WindowSet

# What pyarrow and pandas raise for a file that is no table, or no longer one.
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    NotImplementedError,
    MemoryError,
    pyarrow.ArrowException,
)

# Windows per forward pass: what stays in a CPU's cache; what fills another device.
BATCH_ON_CPU, BATCH_ELSEWHERE = 64, 1024


def probabilities(model: EmotionModel, windows: DeviceWindows) -> np.ndarray:
    """float32 [N, 8] in the order of the windows,
    in the arithmetic the model was trained in; dropout off.

    Where the device's memory lacks, in smaller batches. Raises EmolibError where it does not hold
    one window.
    """
    was_training = model.training
    model.eval()
    size = BATCH_ON_CPU if windows.device.type == "cpu" else BATCH_ELSEWHERE
    while (result := _in_batches(model, windows, size)) is None:
        if size == 1:
            raise EmolibError(
                f"{windows.device}: out of memory with a single window; "
                "end other programs on it, or set EMOLIB_DEVICE=cpu"
            )
        size //= 2
        if windows.device.type == "cuda":
            torch.cuda.empty_cache()
    model.train(was_training)
    return result


@torch.no_grad()
def _in_batches(model: EmotionModel, windows: DeviceWindows, size: int) -> np.ndarray | None:
    """:func:`probabilities`, ``size`` windows at a time; None where the memory lacks."""
    kind, amp = windows.device.type, model.experiment.amp
    parts = []
    dtype = training_dtype(kind, amp)
    try:
        with run_threads(), products(kind, amp), autocast(kind, dtype):
            for batch in windows.in_order(size):
                parts.append(model(*batch)[0].softmax(dim=1))
    except torch.OutOfMemoryError:
        return None
    if not parts:
        return np.zeros((0, NUM_CLASSES), np.float32)
    return torch.cat(parts).float().cpu().numpy()


def predict_windows(model: EmotionModel, windows: "WindowSet") -> np.ndarray:
    """Class probabilities float32 [N, 8] of every window.

    Raises EmolibError naming a clip with broken features.
    """
    return probabilities(model, DeviceWindows(windows, model))


def fallback(model: EmotionModel) -> np.ndarray:
    """float64 [8], what every frame of a clip without any face gets:
    the class shares of the training windows.
    """
    return model.get_buffer("class_prior").cpu().double().numpy()  # mps has no float64


def predict_clips(model: EmotionModel, windows: "WindowSet") -> list[np.ndarray]:
    """Frame protocol: for each of ``windows.clips`` float64 [n, 8], one row per frame.

    A clip without a window gets :func:`fallback` in every frame.
    """
    return [rows[0] for _, rows in frame_rows([model], [windows])]


def frame_rows(
    models: Sequence[EmotionModel], parts: Iterable["WindowSet"]
) -> Iterator[tuple[Clip, list[np.ndarray]]]:
    """Each clip of ``parts`` with its rows float64 [n, 8] by every model, as soon as it is done.

    One of the ``parts`` (``prepare.FrameSets``) is in memory at a time.
    """

    def predict(windows: "WindowSet") -> np.ndarray:
        return np.stack([predict_windows(model, windows) for model in models], axis=1)  # [N, M, 8]

    for clip, ends, by_window in whole_clips(predict, parts):
        rows = [_rows(model, clip, ends, by_window[:, m]) for m, model in enumerate(models)]
        yield clip, rows


def whole_clips(
    predict: Callable[["WindowSet"], np.ndarray], parts: Iterable["WindowSet"]
) -> Iterator[tuple[Clip, np.ndarray, np.ndarray]]:
    """(clip, ends [N], what ``predict`` gives of its windows [N, ..]) of each clip of ``parts``.

    The windows of a long clip may come in several parts, one after another.
    """
    clip: Clip | None = None
    ends: list[np.ndarray] = []
    predicted: list[np.ndarray] = []
    for part in parts:
        by_window = None
        for position, each in enumerate(part.clips):
            if clip is not None and each is not clip:
                yield clip, np.concatenate(ends), np.concatenate(predicted)
                ends, predicted = [], []
            if by_window is None:  # only now, so that what is done before is not lost with it
                by_window = predict(part)
            clip, in_clip = each, part.clip == position
            ends.append(part.end[in_clip])
            predicted.append(by_window[in_clip])
    if clip is not None:
        yield clip, np.concatenate(ends), np.concatenate(predicted)


def _rows(model: EmotionModel, clip: Clip, ends: np.ndarray, by_window: np.ndarray) -> np.ndarray:
    """A clip's windows [N, 8] to its frames [n, 8] by the run's rule, smoothed as it says."""
    e = model.experiment
    rows = frame_predictions(
        by_window,
        ends,
        len(clip.labels),
        length=e.window,
        rule=e.frame_rule,
        fallback=fallback(model),
    )
    if e.smoothing == "none":
        return rows
    return smooth(rows, e.smoothing, e.smoothing_half_width)


def scored_classes(experiment: Experiment) -> dict[str, Any]:
    """Which classes a run's macro-F1 is the mean of, as ``metrics.score`` takes it."""
    return {"classes": can_show(experiment), "f1_classes": experiment.f1_classes}


def window_score(model: EmotionModel, windows: "WindowSet", **options: Any) -> dict[str, Any]:
    """``metrics.score`` under the window protocol, of the classes that the model's run scores."""
    predicted = predict_windows(model, windows).argmax(axis=1)
    unit = independent_of(windows.clips)[windows.clip]
    options = {**scored_classes(model.experiment), **options}
    return metrics.score(windows.label, predicted, unit, protocol="window", **options)


def score_of_clips(clips: list[Clip], rows: list[np.ndarray], **options: Any) -> dict[str, Any]:
    """``metrics.score`` under the frame protocol:
    probabilities [n, 8] of every frame of each clip.
    """
    unit = np.repeat(independent_of(clips), [len(clip.labels) for clip in clips])
    labels = np.concatenate([clip.labels for clip in clips])
    return metrics.score(
        labels, np.concatenate(rows).argmax(axis=1), unit, protocol="frame", **options
    )


def write_clip(path: Path, clip: Clip, probability: np.ndarray) -> None:
    """A table of one clip's frames, atomically: frame (from 1), time (seconds), label,
    face, p_<Class> x 8, prediction.
    """
    table = pd.DataFrame(
        {
            "frame": np.arange(1, len(clip.labels) + 1),
            "time": clip.frame_times,
            "label": clip.labels,
            "face": clip.face_present,
            **{
                f"p_{name}": probability[:, c].astype(np.float32)
                for c, name in enumerate(EXPRESSIONS)
            },
            "prediction": probability.argmax(axis=1).astype(np.int8),
        }
    )
    table.attrs[SEAL] = _hash_of(table)
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_clip(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """What :func:`write_clip` wrote, or ``columns`` of it.

    Raises EmolibError naming the file where it is damaged: every column is compared.
    """
    try:
        table = pd.read_parquet(path)
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise EmolibError(f"{path}: damaged ({reason}); delete it and predict again") from error
    written = table.attrs.pop(SEAL, None)
    if written is not None and written != _hash_of(table):
        raise EmolibError(
            f"{path}: holds other numbers than were written; delete it and predict again"
        )
    return table[columns] if columns else table


def _hash_of(table: pd.DataFrame) -> str:
    """Of every column's name, type and bytes."""
    digest = hashlib.sha256()
    for name, values in table.items():
        array = values.to_numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def score_text(result: dict[str, Any]) -> str:
    """Both protocols of one run, a line each, with what kind of data they are from.

    Raises EmolibError for a metrics.json of another version.
    """
    if lacking := [name for name in ("origin", "frame", "window") if name not in result]:
        raise EmolibError(
            f"metrics.json: written by another version of emolib, lacks {', '.join(lacking)}; "
            "delete it and train again"
        )
    lines = [f"validation, {result['origin'].upper() or 'real data'}"]
    for protocol in ("frame", "window"):
        score = result[protocol]
        low, high = score["macro_f1_interval"]
        of = {"all": "", "present": " over present classes"}[score.get("f1_classes", "all")]
        # never compared unseen with another rule, stride or smoothing;
        # a run of before has noted its smoothing alone
        how = result.get("by_frame", result.get("smoothed", "")) if protocol == "frame" else ""
        lines.append(
            f"{protocol:>8}: macro-F1{of} {score['macro_f1']:.4f} [{low:.4f}, {high:.4f}], "
            f"accuracy {score['accuracy']:.4f}{how}"
        )
    return "\n".join(lines)
