"""Baselines that any claim must beat, scored under both protocols like a trained run.

Majority class, zero-shot CLIP with the eight prompts, logistic regression on a window's mean
features, an MLP on single frames with smoothing (the strongest simple peer: docs/method.md, Peers),
and the model itself with one stream only.
"""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.errors import EmolibError, EmolibWarning, WrongCall
from emolib.evaluation import metrics
from emolib.evaluation import predictions as evaluation
from emolib.features import prepare as inputs
from emolib.features.prepare import Data
from emolib.labels import NUM_CLASSES, class_counts
from emolib.system.files import atomic_path
from emolib.training import run as training
from emolib.training import sweep
from emolib.windows import frame_predictions, smooth

if TYPE_CHECKING:
    from emolib.features.window_sets import WindowSet

MLP_HIDDEN = 128
MLP_FRAMES = 40_000  # training frames at most, drawn evenly from all
SMOOTHING_HALF_WIDTH = 5  # frames; fixed beforehand, not chosen on the validation clips
Predict = Callable[["WindowSet"], np.ndarray]  # windows to probabilities [N, 8]


def majority(experiment: Experiment, data: Data) -> Predict:
    """Always the class that most training windows have."""
    answer = np.eye(NUM_CLASSES, dtype=np.float32)[class_counts(data.train.label).argmax()]
    return lambda windows: np.tile(answer, (len(windows.label), 1))


def zero_shot(experiment: Experiment, data: Data) -> Predict:
    """CLIP without training: softmax of the scaled cosines between the window's last face,
    a still one, and the prompts.
    """
    prompts = data.prompts / np.linalg.norm(data.prompts, axis=1, keepdims=True)

    def predict(windows: "WindowSet") -> np.ndarray:
        faces = windows.visual[windows.frames[:, -1]].astype(np.float32)
        faces /= np.linalg.norm(faces, axis=1, keepdims=True)
        return softmax(data.logit_scale * faces @ prompts.T, axis=1)

    return predict


def logistic(experiment: Experiment, data: Data) -> Predict:
    """Logistic regression, weighted by class, on the standardised mean visual
    and mean audio feature of a window.
    """
    scaler = StandardScaler().fit(mean_features(data.train))
    model = LogisticRegression(C=0.01, max_iter=300, class_weight="balanced")
    model.fit(scaler.transform(mean_features(data.train)), data.train.label)
    return lambda windows: _all_classes(
        model.classes_, model.predict_proba(scaler.transform(mean_features(windows)))
    )


def frame_mlp(experiment: Experiment, data: Data) -> Predict:
    """An MLP with one hidden layer on single faces; a window gets the answer for its last face."""
    features, label = labelled_frames(data.train)
    if len(label) > MLP_FRAMES:
        chosen = np.linspace(0, len(label) - 1, MLP_FRAMES).astype(np.int64)
        features, label = features[chosen], label[chosen]
    scaler = StandardScaler().fit(features)
    model = MLPClassifier(
        (MLP_HIDDEN,),
        alpha=1e-3,
        batch_size=min(256, len(label)),
        max_iter=12,
        early_stopping=False,
        random_state=experiment.seed,
    )
    _fit_without_warning(model, scaler.transform(features), label)

    def predict(windows: "WindowSet") -> np.ndarray:
        faces = windows.visual[windows.frames[:, -1]].astype(np.float32)
        return _all_classes(model.classes_, model.predict_proba(scaler.transform(faces)))

    return predict


# name: (title, how to fit it, smoothed over frames)
BASELINES: dict[str, tuple[str, Callable[[Experiment, Data], Predict], bool]] = {
    "majority": ("Always the majority class", majority, False),
    "zero_shot": ("Zero-shot CLIP, eight prompts", zero_shot, False),
    "logistic": ("Logistic regression, mean features", logistic, False),
    "frame_mlp": ("MLP on frames, smoothed", frame_mlp, True),
}
SINGLE_STREAM = {"audio": "The model, audio only", "visual": "The model, visual only"}
NEEDS = {"zero_shot": "visual", "frame_mlp": "visual", "visual": "visual", "audio": "audio"}


def run(
    experiment: Experiment, folder: Path, *, names: tuple[str, ...] = (), progress: bool = True
) -> pd.DataFrame:
    """Fit and score the baselines ``names`` (all when empty);
    one row each, also in ``folder``/baselines.csv.

    Columns: ``name``, ``title``, ``<protocol>_macro_f1`` with ``_low`` and ``_high``. The two
    single-stream models are full training runs in ``folder``/<name> and are not repeated. What
    needs a stream that the experiment does not use is left out, and a warning says so.
    Raises WrongCall for an unknown name.
    """
    known = (*BASELINES, *SINGLE_STREAM)
    chosen = names or known
    if unknown := set(chosen) - set(known):
        raise WrongCall(
            f"unknown baseline {', '.join(sorted(unknown))}: choose from {', '.join(known)}"
        )
    reasons = left_out(experiment, chosen)
    if reasons:
        warnings.warn("; ".join(reasons.values()), EmolibWarning, stacklevel=2)
    data = inputs.prepare(experiment, progress=progress)
    rows = []
    possible = [name for name in chosen if name not in reasons]
    for name in tqdm(possible, desc="baselines", unit="baseline", disable=not progress):
        if name in BASELINES:
            title, fit, smoothed = BASELINES[name]
            half_width = SMOOTHING_HALF_WIDTH if smoothed else 0
            scores = score(experiment, data, fit(experiment, data), half_width)
        else:
            title = SINGLE_STREAM[name]
            scores = training.run(single_stream(experiment, name), folder / name, progress=progress)
        rows.append({"name": name, "title": title, **sweep.score_columns(scores)})
    table = pd.DataFrame(rows)
    with atomic_path(folder / "baselines.csv") as temporary:
        table.to_csv(temporary, index=False)
    return table


def left_out(experiment: Experiment, names: Sequence[str]) -> dict[str, str]:
    """Why each of ``names`` that needs a stream which ``experiment`` does not use is left out."""
    words = {"visual": "faces", "audio": "sound"}
    return {
        name: f"baseline {name} is left out: it needs {words[NEEDS[name]]}, "
        f"and modalities={experiment.modalities} has none"
        for name in names
        if NEEDS.get(name, experiment.streams[0]) not in experiment.streams
    }


def single_stream(experiment: Experiment, stream: str) -> Experiment:
    """``experiment`` with one stream (``audio`` or ``visual``) and nothing to fuse or,
    for audio, to align.
    """
    changes: dict[str, Any] = {"modalities": stream, "fusion": "concat"}
    if stream == "audio":
        changes["contrastive_weight"] = 0.0
    return experiment.replace(**changes)


def score(
    experiment: Experiment, data: Data, predict: Predict, half_width: int = 0
) -> dict[str, Any]:
    """``metrics.score`` under both protocols;
    frames box-smoothed by ``half_width`` if that is not 0.
    """
    prior = class_counts(data.train.label) / max(len(data.train.label), 1)

    def checked(windows: "WindowSet") -> np.ndarray:
        by_window = predict(windows)
        if not np.isfinite(by_window).all():
            raise EmolibError(
                "a baseline gave NaN: the features hold NaN, infinite or all-zero rows; "
                "extract them again"
            )
        return by_window

    clips, rows = [], []
    for clip, ends, by_window in evaluation.whole_clips(checked, data.frames):
        by_frame = frame_predictions(
            by_window, ends, len(clip.labels), length=experiment.window, fallback=prior
        )
        clips.append(clip)
        rows.append(smooth(by_frame, "box", half_width) if half_width else by_frame)
    frame = evaluation.score_of_clips(clips, rows)
    validation = data.validation
    predicted = predict(validation).argmax(axis=1)
    window = metrics.score(validation.label, predicted, validation.clip, protocol="window")
    return {"window": window, "frame": frame}


def mean_features(windows: "WindowSet") -> np.ndarray:
    """float32 [N, D_v + D_a]: a window's mean visual feature beside its mean audio feature
    (zero where there is no sound). A stream that is not used has a width of 0.
    """
    audio = np.zeros((len(windows.label), windows.audio.shape[1]), np.float32)
    for row, (start, length) in enumerate(
        zip(windows.audio_start, windows.audio_length, strict=True)
    ):
        if length:
            audio[row] = windows.audio[start : start + length].mean(axis=0, dtype=np.float32)
    faces = np.asarray(windows.visual, np.float32)
    if not faces.shape[1]:
        return audio
    return np.hstack([_mean_of_rows(faces, windows.frames), audio])


def labelled_frames(windows: "WindowSet") -> tuple[np.ndarray, np.ndarray]:
    """Every annotated frame with a face: float32 [n, 512] and labels [n]."""
    label = np.concatenate([clip.labels[clip.face_present] for clip in windows.clips])
    if len(label) != len(windows.visual):
        raise EmolibError(
            f"{len(windows.visual)} faces have features but {len(label)} frames have a face; "
            "extract the features again"
        )
    return windows.visual[label >= 0].astype(np.float32), label[label >= 0].astype(np.int64)


def _mean_of_rows(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean over ``features[rows]`` [N, T, D], one position at a time so that the gather never
    exists whole: [N, D].
    """
    total = np.zeros((len(rows), features.shape[1]), np.float32)
    for column in rows.T:
        total += features[column]
    return total / rows.shape[1]


def _all_classes(classes: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Probabilities [N, len(classes)] to [N, 8], zero for classes the training data lack."""
    result = np.zeros((len(probabilities), NUM_CLASSES), np.float32)
    result[:, classes] = probabilities
    return result


def _fit_without_warning(model: MLPClassifier, features: np.ndarray, label: np.ndarray) -> None:
    """Fit for a fixed number of passes;
    scikit-learn warns that it has not converged, which is not asked of it.
    """
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, label)
