"""Baselines on small sets with known answers."""

import numpy as np
import pytest

from emolib.errors import WrongCall
from emolib.evaluation import metrics
from emolib.features import prepare as inputs
from emolib.features.prepare import Data
from emolib.studies import baselines
from emolib.training import run as training
from tests.support.windowsets import make, prompts, tiny


@pytest.fixture(scope="module")
def data():
    return Data(
        make(ragged=True),
        make(seed=1, ragged=True),
        [make(seed=1, stride=3, ragged=True)],
        *prompts(),
    )


def test_majority_gives_the_score_of_one_class(data):
    scores = baselines.score(tiny(), data, baselines.majority(tiny(), data))
    answer = np.bincount(data.train.label).argmax()
    share = (data.validation.label == answer).mean()
    assert scores["window"]["macro_f1"] == pytest.approx(2 * share / (1 + share) / 8)


def test_learned_baselines_learn(data):
    for fit in (baselines.logistic, baselines.frame_mlp):
        assert baselines.score(tiny(), data, fit(tiny(), data))["window"]["macro_f1"] > 0.9
        shuffled = Data(
            make(ragged=True), data.validation, data.frames, data.prompts, data.logit_scale
        )
        rng = np.random.default_rng(0)
        shuffled.train.label[:] = rng.permutation(shuffled.train.label)
        for clip in shuffled.train.clips:
            clip.labels[:] = rng.integers(0, 8, len(clip.labels))
        assert baselines.score(tiny(), shuffled, fit(tiny(), shuffled))["window"]["macro_f1"] < 0.5


def test_zero_shot_finds_the_prompt_that_is_nearest(data):
    aligned = make(seed=2)
    aligned.visual[:] = prompts()[0][np.concatenate([clip.labels for clip in aligned.clips])]
    predicted = baselines.zero_shot(tiny(), Data(aligned, aligned, aligned, *prompts()))(aligned)
    assert metrics.macro_f1(aligned.label, predicted.argmax(axis=1)) == 1.0
    assert predicted.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_mean_features(data):
    features = baselines.mean_features(data.train)
    start, length = data.train.audio_start[9], data.train.audio_length[9]
    assert length > 0
    assert features[9, 512:] == pytest.approx(
        data.train.audio[start : start + length].astype(float).mean(0), abs=1e-3
    )
    assert features[9, :512] == pytest.approx(
        data.train.visual[data.train.frames[9]].astype(float).mean(0), abs=1e-3
    )
    silent = np.flatnonzero(data.train.audio_length == 0)
    assert len(silent) and not features[silent, 512:].any()


def test_table_of_all(tmp_path, data, monkeypatch):
    for module in (inputs, training):  # else the single streams would be trained on the whole demo
        monkeypatch.setattr(module, "prepare", lambda experiment, *, progress=True: data)
    few = {"synth_train_clips": 2, "synth_validation_clips": 2, "synth_test_clips": 1}
    table = baselines.run(tiny(epochs=1, **few), tmp_path, progress=False)
    assert table.name.tolist() == [
        "majority",
        "zero_shot",
        "logistic",
        "frame_mlp",
        "audio",
        "visual",
    ]
    assert (tmp_path / "baselines.csv").exists() and (tmp_path / "audio" / "metrics.json").exists()
    assert (table.frame_macro_f1_low <= table.frame_macro_f1).all() and table.frame_macro_f1[
        0
    ] < 0.1 < table.frame_macro_f1[2]
    with pytest.raises(WrongCall, match="unknown baseline svm"):
        baselines.run(tiny(), tmp_path, names=("svm",))
