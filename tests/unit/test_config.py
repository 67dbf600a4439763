"""Experiment: presets, refusals that name the nearest valid name,
and fingerprints that move with what they depend on.
"""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emolib.config import PRESETS, Experiment, check_data, format_settings, parse_settings, preset
from emolib.config.setting import is_within
from emolib.errors import EmolibError, WrongCall
from emolib.features.origin import labelled, origin
from emolib.system.files import read_json, write_json


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
        assert f.metadata["source"] and f.metadata["doc"], f.name


def test_every_number_states_its_range():
    for f in dataclasses.fields(Experiment):
        if f.type in (int, float):
            assert f.metadata["range"], f.name


def out_of_range():
    """Values that a field's type allows and its meaning does not."""
    for f in dataclasses.fields(Experiment):
        if f.type is float:
            yield from ((f.name, value) for value in (float("nan"), float("inf"), -float("inf")))
        if f.type in (int, float):
            yield f.name, -1
        if f.type is str and f.default and f.name != "preset":
            yield f.name, ""
    for name in ("seeds", "windows"):
        yield from ((name, text) for text in ("42,x", "42;43", "42,,43", "-1", "42,42", "4.5"))
    yield from (("windows", "0"), ("tcn_blocks", 17), ("seed", 2**32), ("synth_temper", 1.5))
    yield from (("learning_rate", 0.0), ("clip_norm", 0), ("seeds", str(2**32)))
    for value in (10**12, 10**30):  # more than a memory, or a number of an array, holds
        yield from (("window", value), ("windows", str(value)))
    yield "synth_seconds", 1e300


@pytest.mark.parametrize(("name", "value"), list(out_of_range()))
def test_what_a_field_cannot_mean_is_refused_by_its_name(name, value):
    with pytest.raises(WrongCall, match=name):
        preset("paper", **{name: value})


def test_intervals_are_read_with_their_ends():
    for value, interval, inside in [
        (0, "[0, 1)", True),
        (1, "[0, 1)", False),
        (0, "(0, inf)", False),
        (1e-300, "(0, inf)", True),
        (float("inf"), "[0, inf)", False),
        (float("nan"), "[0, 16]", False),
        (16, "[0, 16]", True),
        (17, "[0, 16]", False),
    ]:
        assert is_within(value, interval) is inside, (value, interval)


@pytest.mark.parametrize("name", ["data", "weights", "preset"])
def test_what_has_an_option_of_its_own_is_no_setting(name):
    with pytest.raises(WrongCall, match=f"--{name}"):
        parse_settings(f"epochs=3,{name}=demo")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windw": 3}, "did you mean 'window'"),
        ({"fusion": "bidirect"}, "did you mean 'bidirectional'"),
        ({"window": "60"}, "expected int"),
        ({"window": 0}, r"in \[1, 10000\]"),
        ({"stride": 0}, "at least 1"),
        ({"tcn_dropout": 1.0}, r"\[0, 1\)"),
        ({"width": 100}, "not a multiple"),
        ({"modalities": "visual"}, "nothing to fuse"),
        ({"modalities": "audio", "fusion": "concat"}, "contrastive_weight=0"),
        ({"smoothing": "box"}, "go together"),
        ({"smoothing": "box", "smoothing_half_width": 10**12}, r"in \[0, 10000\]"),
        ({"learning_rate": 1e-6, "min_learning_rate": 1e-5}, "goes down"),
        ({"epochs": 0}, "epochs=0: must be at least 1"),
    ],
)
def test_unknown_names_and_contradictions_are_refused(changes, message):
    with pytest.raises(WrongCall, match=message):
        preset("demo", **changes)


def test_all_contradictions_are_told_at_once():
    with pytest.raises(WrongCall, match=r"fusion=concat.*; .*contrastive_weight=0"):
        preset("demo", modalities="audio")


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
    assert moved(data="/a") == {"data", "visual", "audio", "train"}


def test_folds_of_actors_are_part_of_the_data_and_of_nothing_for_aff_wild2():
    acted = Experiment(data="/a", dataset="ravdess")
    assert acted.fingerprint("data") != Experiment(data="/a").fingerprint("data")
    for changes in ({"fold": 2}, {"folds": 5}, {"no_counterpart": "Other"}):
        assert acted.replace(**changes).fingerprint("train") != acted.fingerprint("train")
        with pytest.raises(WrongCall, match="acted recordings"):
            Experiment(**changes)
    assert not {"dataset", "fold"} & set(Experiment().settings("data"))


def test_a_collection_needs_its_folder_and_a_fold_that_there_is():
    with pytest.raises(WrongCall, match="needs the folder"):
        check_data(preset("demo", dataset="ravdess"))
    check_data(preset("demo", dataset="ravdess", data="/a"))
    with pytest.raises(WrongCall, match="above folds"):
        Experiment(dataset="ravdess", data="/a", fold=7)


def test_equal_experiments_have_equal_fingerprints():
    for name, values in {"contrastive_weight": (0, 0.0, -0.0), "clip_norm": (1, 1.0)}.items():
        experiments = [preset("demo", **{name: value}) for value in values]
        assert all(experiment == experiments[0] for experiment in experiments)
        assert len({experiment.fingerprint("train") for experiment in experiments}) == 1
    assert preset("demo", clip_norm=2).fingerprint("train") != preset(
        "demo", clip_norm=1
    ).fingerprint("train")


def test_whole_tracks_do_not_depend_on_how_windows_are_cut():
    tracks, windows = preset("demo", audio_context="track"), preset("demo")
    for changes in ({"window": 30}, {"stride": 5}):
        for stage in ("window", "train"):
            assert tracks.replace(**changes).fingerprint(stage) != tracks.fingerprint(stage)
        assert tracks.replace(**changes).fingerprint("audio") == tracks.fingerprint("audio")
        assert windows.replace(**changes).fingerprint("audio") != windows.fingerprint("audio")
    assert tracks.fingerprint("audio") != windows.fingerprint("audio")


@pytest.mark.parametrize(
    "content", [{}, {"experiment": []}, {"experiment": {"epochs": -1}}, {"experiment": {"x": 1}}]
)
def test_a_damaged_record_is_named(tmp_path, content):
    path = tmp_path / "experiment.json"
    path.write_text(json.dumps({"format": 1, **content}))
    with pytest.raises(EmolibError, match=str(path)):
        Experiment.load(path)


def test_another_version_is_refused_with_its_format(tmp_path):
    path = tmp_path / "experiment.json"
    preset("demo", epochs=3).save(path)
    assert Experiment.load(path) == preset("demo", epochs=3)
    write_json(path, {**read_json(path), "format": 0}, sealed=True)
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


def test_settings_as_text():
    experiment = preset("demo", seeds="1,2", standardise=False, learning_rate=1e-4, window=30)
    text = format_settings(experiment)
    assert preset("demo", **parse_settings(text)) == experiment
    assert parse_settings("") == {} and format_settings(preset("paper")) == ""
    for bad, message in (
        ("x", "key=value"),
        ("epochz=3", "did you mean 'epochs'"),
        ("epochs=a", "int"),
        ("standardise=1", "true or false"),
    ):
        with pytest.raises(WrongCall, match=message):
            parse_settings(bad)


def test_where_data_and_weights_lie_is_in_no_fingerprint():
    """Their content makes the difference; given data are never taken for generated ones."""
    given = [Experiment(data=data, weights=data) for data in ("/a", "/b/", "tree")]
    given.append(given[0].replace(synth_seed=8))
    assert len({experiment.fingerprint("train") for experiment in given}) == 1
    assert given[0].fingerprint("train") != Experiment().fingerprint("train")
