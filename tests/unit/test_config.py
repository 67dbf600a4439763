"""Experiment: presets, refusals that name the nearest valid name, and fingerprints that move with what they depend on."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolib.config import PRESETS, Experiment, format_settings, parse_settings, preset
from emolib.errors import WrongCall
from emolib.features.origin import labelled, origin


def test_paper_preset_holds_the_papers_values():
    e = preset("paper")
    assert (e.learning_rate, e.epochs, e.batch_size, e.seed, e.contrastive_weight) == (
        1e-5,
        30,
        64,
        42,
        0.1,
    )
    assert (e.width, e.tcn_blocks, e.attention_heads, e.window_list()) == (
        512,
        6,
        8,
        [10, 15, 30, 60],
    )
    assert (
        preset("released_code").timing == "fixed_30"
        and preset("released_code").contrastive_scale == "frozen"
    )


def test_every_field_says_what_it_is_and_where_from():
    for f in dataclasses.fields(Experiment):
        assert f.metadata["source"], f.name
        assert f.metadata["doc"] or f.name.endswith(
            ("dropout", "heads", "decay", "epochs", "seed")
        ), f.name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windw": 3}, "did you mean 'window'"),
        ({"fusion": "bidirect"}, "did you mean 'bidirectional'"),
        ({"window": "60"}, "expected int"),
        ({"window": 0}, "at least 1"),
        ({"tcn_dropout": 1.0}, r"\[0, 1\)"),
        ({"width": 100}, "not a multiple"),
        ({"modalities": "visual"}, "nothing to fuse"),
        ({"modalities": "audio", "fusion": "concat"}, "contrastive_weight=0"),
        ({"smoothing": "box"}, "go together"),
    ],
)
def test_unknown_names_and_contradictions_are_refused(changes, message):
    with pytest.raises(WrongCall, match=message):
        preset("demo", **changes)


def test_unknown_preset_names_the_nearest():
    with pytest.raises(WrongCall, match="did you mean 'demo'"):
        preset("dmeo")


def test_fingerprints_move_with_what_they_depend_on():
    base = preset("demo")
    stages = ("synth", "data", "visual", "audio", "window", "train")

    def moved(**changes):
        return {
            stage
            for stage in stages
            if base.replace(**changes).fingerprint(stage) != base.fingerprint(stage)
        }

    assert moved(learning_rate=1e-4) == {"train"}
    assert moved(window=30) == {"audio", "window", "train"}
    assert moved(resize="bilinear") == {"visual", "train"}
    assert moved(synth_seed=8) == {"synth", "data", "visual", "audio", "train"}
    assert (
        moved(seeds="1")
        == moved(weights="/elsewhere")
        == moved(half_width_from="validation")
        == set()
    )
    assert base.replace(data="/a").fingerprint("data") != base.replace(data="/b").fingerprint(
        "data"
    )


def test_another_version_is_refused_with_its_format(tmp_path):
    path = tmp_path / "experiment.json"
    preset("demo", epochs=3).save(path)
    assert Experiment.load(path) == preset("demo", epochs=3)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 0}))
    with pytest.raises(WrongCall, match="another version"):
        Experiment.load(path)


def test_how_a_frame_is_predicted_is_said_in_words():
    assert (
        preset("paper").by_frame()
        == ", window that ends nearest to the frame, a window every frame"
    )
    assert (
        preset("demo").by_frame()
        == ", window that ends nearest to the frame, a window every 5 frames"
    )
    plain = preset("demo", smoothing="box", smoothing_half_width=5)
    assert plain.by_frame() == preset("demo").by_frame() + ", smoothed over ±5 frames (box)"
    assert (
        plain.replace(half_width_from="validation")
        .smoothed()
        .endswith("(box), half-width tuned on validation")
    )
    strong = ", smoothed over ±25 frames (box), half-width chosen on published validation scores"
    assert (
        preset("strong").by_frame()
        == ", mean of the windows that cover the frame, a window every frame" + strong
    )
    assert preset("strong", smoothing="none", smoothing_half_width=0).smoothed() == ""


@given(
    st.sampled_from(sorted(PRESETS)),
    st.integers(1, 99),
    st.floats(0, 0.9),
    st.sampled_from(["last", "majority", "centre"]),
)
def test_settings_as_text_come_back(name, window, dropout, rule):
    changes = {"window": window, "tcn_dropout": dropout, "label_rule": rule, "windows": "10,60"}
    e = preset(name, **changes)
    assert preset(name, **parse_settings(format_settings(e))) == e


def test_origin_is_said_unless_all_is_real(tmp_path):
    assert (
        origin(preset("demo")) == "synthetic"
        and labelled("Title", "synthetic") == "Title (synthetic)"
        and labelled("Title", "") == "Title"
    )
    real = preset(
        "paper", data=str(tmp_path), visual_encoder=str(tmp_path), audio_encoder=str(tmp_path)
    )
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text("{}")
    assert origin(real) == ""
    (tmp_path / "config.json").write_text('{"random_weights": true}')
    assert origin(real) == "random weights"
    (tmp_path / "SYNTHETIC.json").touch()
    assert origin(real) == "synthetic, random weights"
