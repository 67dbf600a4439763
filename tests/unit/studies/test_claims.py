"""Verdicts by the stated rule, and rows from runs on disk that were made by hand."""

import numpy as np
import pandas as pd
import pytest

from emolib import config
from emolib.errors import EmolibError, WrongCall
from emolib.results import sentences
from emolib.studies import claims, comparison
from emolib.studies import figures as ablation_figures
from emolib.studies.claims import verdict
from emolib.studies.faults import FAULTS
from emolib.studies.variants import (
    CHOICES,
    COMPONENTS,
    FULL,
    IMBALANCE,
    RECIPE,
    as_paper,
    choose,
    harder,
    plan,
)


@pytest.mark.parametrize(
    "interval, seeds, expected",
    [
        ((0.001, 0.2), 3, "supported"),
        ((0.001, 0.2), 2, "undecided"),
        ((-0.2, -0.01), 3, "not supported"),
        ((-0.01, 0.015), 3, "not supported"),
        ((-0.03, 0.01), 3, "undecided"),
        ((-0.01, 0.05), 5, "undecided"),
        (None, 3, "undecided"),
    ],
)
def test_verdict(interval, seeds, expected):
    assert verdict(interval, seeds) == expected
    assert (
        f"*{expected}*" in claims.RULE
        and "0.02" in claims.RULE
        and claims.NEGLIGIBLE == 0.02
        and "fewer than 3" in claims.RULE
    )


VARIANTS = {"components": COMPONENTS, "choices": CHOICES, "imbalance": IMBALANCE, "recipe": RECIPE}


@pytest.mark.parametrize("variants", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_is_a_valid_other_experiment_with_a_claim(variants):
    for preset in ("demo", "paper"):
        base = config.preset(preset)
        chosen = choose(base, variants)
        prints = {base.replace(**variant.changes).fingerprint("train") for variant in chosen}
        assert (
            len(prints) == len(chosen) >= len(variants) - 1 and base.fingerprint("train") in prints
        )
    assert variants[0].name == FULL and (
        variants is VARIANTS["recipe"] or all(bool(v.claim) == bool(v.changes) for v in variants)
    )
    assert len({v.name for v in variants}) == len(variants)


def test_issue_lists_are_complete():
    changes = [dict(v.changes) for v in COMPONENTS]
    assert (
        {"tcn_blocks": 0} in changes
        and {"contrastive_targets": "classes"} in changes
        and {"class_weights": "none"} in changes
    )
    assert {change["fusion"] for change in changes if "fusion" in change} == {
        "concat",
        "visual_queries",
        "audio_queries",
    }
    assert {change["modalities"] for change in changes if "modalities" in change} == {
        "visual",
        "audio",
    }
    switched = {name for v in CHOICES for name in v.changes}
    assert switched == {
        "label_rule",
        "stride",
        "audio_context",
        "timing",
        "resize",
        "waveform_norm",
        "contrastive_scale",
        "selection",
        "accumulation",
    }


def test_a_component_is_named_where_one_is_taken_away(found):
    assert all(v.component for v in COMPONENTS if v.name != FULL)
    assert [row["component"] for row in found] == ["", "TCN", "Cross-attention", ""]
    figure = ablation_figures.effects(found, title="Effects", origin="")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["TCN", "Cross-attention"]


def test_what_the_released_code_has_is_its_preset():
    released = {v.name: v.released for v in CHOICES}
    assert released["bilinear"] == "bilinear" and released["label_centre"] == "last"
    assert released["stride_30"] == "15" and released["fixed_30"] == "fixed_30"


def test_choose_and_plan():
    demo = config.preset("demo")
    chosen = choose(demo, COMPONENTS, "concat, no_tcn")
    assert [v.name for v in chosen] == ["full", "no_tcn", "concat"] and choose(
        demo, COMPONENTS
    ) == list(COMPONENTS)
    assert plan(chosen[:2], [1, 2]) == [
        {"seed": 1},
        {"seed": 2},
        {"tcn_blocks": 0, "seed": 1},
        {"tcn_blocks": 0, "seed": 2},
    ]
    with pytest.raises(WrongCall, match="did you mean 'no_tcn'"):
        choose(demo, COMPONENTS, "notcn")
    released = config.preset("released_code")
    assert not {"bilinear", "fixed_30"} & {v.name for v in choose(released, CHOICES)}
    with pytest.raises(WrongCall, match="bilinear: the experiment has resize=bilinear already"):
        choose(released, CHOICES, "bilinear")


def run_folder(root, name, accuracy, seed):
    """Predictions of 20 clips of 40 frames, right with probability ``accuracy``."""
    rng = np.random.default_rng([7, seed, round(1000 * accuracy)])
    for clip in range(20):
        label = np.full(40, clip % 8)
        right = rng.random(40) < accuracy
        table = pd.DataFrame(
            {
                "frame": np.arange(1, 41),
                "label": label,
                "prediction": np.where(right, label, (label + 1) % 8),
            }
        )
        (root / name / "predictions").mkdir(parents=True, exist_ok=True)
        table.to_parquet(root / name / "predictions" / f"c{clip:02d}.parquet", index=False)
    return {"folder": str(root / name), "seed": seed}


@pytest.fixture
def found(tmp_path):
    variants = choose(config.preset("demo"), COMPONENTS, "no_tcn,concat")
    accuracies = {"full": 0.9, "no_tcn": 0.6, "concat": 0.9}
    runs = pd.DataFrame(
        [
            run_folder(tmp_path, f"{v.name}{seed}", accuracies[v.name], seed)
            for v in variants
            for seed in range(3)
        ]
    )
    simple = pd.DataFrame(
        [
            {
                "name": "majority",
                "title": "Majority",
                "frame_macro_f1": 0.1,
                "frame_macro_f1_low": 0.05,
                "frame_macro_f1_high": 0.2,
            }
        ]
    )
    best = {"full": 1.0, "no_tcn": 0.875}
    return claims.rows(variants, runs, best) + claims.baseline_rows(simple, best)


def test_rows_and_verdicts(found):
    full, no_tcn, concat, majority = found
    assert (
        "verdict" not in full
        and full["ceiling"] == 1.0
        and concat["ceiling"] is None
        and majority["values"] == []
    )
    assert (
        no_tcn["difference"] == pytest.approx(0.3, abs=0.05)
        and no_tcn["difference_interval"][0] > 0.2
    )
    assert (
        no_tcn["verdict"] == "supported"
        and concat["verdict"] != "supported"
        and abs(concat["difference"]) < 0.02
    )
    assert (
        full["macro_f1"] == pytest.approx(0.9, abs=0.02)
        and full["macro_f1"] == pytest.approx(np.mean(full["values"]))
        and full["interval"][0] < full["macro_f1"] < full["interval"][1]
    )


def test_table_and_figure(found):
    table = claims.table(found, origin="synthetic")
    assert list(table.columns) == [
        "Variant",
        "Macro-F1, frames, synthetic",
        "Ceiling",
        "Full minus this",
        "Interval over",
    ]
    assert (
        list(table["Interval over"]) == ["3 seeds"] * 3 + ["clips"]
        and table["Full minus this"][0] == "–"
    )
    assert "Ceiling" not in claims.table([{**row, "ceiling": None} for row in found], origin="")
    figure = ablation_figures.components(found, title="Components", origin="synthetic")
    assert figure.get_suptitle() == "Components (synthetic)" and len(figure.axes[0].patches) == 4
    assert figure.axes[0].get_yticklabels()[0].get_text() == "Full model"


def test_runs_on_different_frames_are_refused(found, tmp_path):
    ours = claims.predictions(tmp_path / "full0")
    with pytest.raises(EmolibError, match="different frames"):
        claims.compare([ours], [ours[:-1]])
    with pytest.raises(EmolibError, match="empty; finish"):
        claims.predictions(tmp_path / "nothing")


def test_classes_by_window_and_the_rarest(tmp_path):
    runs = pd.DataFrame(
        [
            {"window": w, **run_folder(tmp_path, f"w{w}_{s}", a, s)}
            for w, a in ((10, 0.6), (60, 0.9))
            for s in range(3)
        ]
    )
    scores, effects = claims.class_windows(runs)
    means = {window: np.mean(values) for window, values in scores["Fear"].items()}
    assert list(means) == [10, 60] and means[60] == pytest.approx(0.9, abs=0.06)
    assert len(set(scores["Fear"][60])) == 3, "one value a seed"
    low, high = effects["Fear"]["interval"]
    assert effects["Fear"]["difference"] == pytest.approx(means[60] - means[10])
    assert 0 < low < effects["Fear"]["difference"] < high
    scores, effects = claims.class_windows(runs, {"both": [3, 7]})
    by_class = np.array([scores["Fear"][60], scores["Other"][60]])
    np.testing.assert_allclose(scores["both"][60], by_class.mean(axis=0))
    assert 0.1 < effects["both"]["difference"] < 0.5 and len(scores) == 9
    assert claims.rarest([0.3, 0.1, 0.05, 0.2, 0.05]) == [2, 4, 1]


def test_the_imbalance_table_shows_rare_classes_beside_the_mean(tmp_path):
    variants = choose(config.preset("demo"), IMBALANCE, "balanced")
    accuracies = {"full": 0.9, "balanced": 0.6}
    runs = pd.DataFrame(
        [
            run_folder(tmp_path, f"{v.name}{seed}", accuracies[v.name], seed)
            for v in variants
            for seed in range(3)
        ]
    )
    full, balanced = claims.rows(variants, runs, {}, [3, 2])
    assert full["part"] == pytest.approx(0.9, abs=0.06) and full["part_difference"] == 0
    assert (
        balanced["part_difference"] == pytest.approx(0.3, abs=0.1)
        and balanced["part"] != balanced["macro_f1"]
    )
    table = claims.imbalance_table([full, balanced], [3, 2], origin="synthetic")
    assert (
        "F1 of Fear, Disgust" in table
        and table["Weights minus this"][0] == "–"
        and table["Weights minus this"][1].startswith("+0.")
    )


def test_choices_table_holds_paper_released_code_and_ours(tmp_path):
    demo = config.preset("demo")
    variants = choose(demo, CHOICES, "bilinear,frozen_scale")
    runs = pd.DataFrame(
        [run_folder(tmp_path, f"{v.name}{seed}", 0.9, seed) for v in variants for seed in range(3)]
    )
    table = claims.choices_table(
        claims.rows(variants, runs, {}), variants, demo, origin="synthetic"
    )
    assert table["Ours"].tolist() == ["–", "resize=bicubic", "contrastive_scale=learnable"]
    assert table["Paper"].tolist() == ["–", "silent", "learnable (v1)"] and table[
        "Released code"
    ].tolist() == ["–", "bilinear", "frozen"]
    assert all(v.choice and v.paper and v.released for v in CHOICES if v.name != FULL), (
        "docs/method.md has both columns"
    )


def test_faults_table_holds_the_setting_and_what_it_costs(tmp_path):
    variants = choose(config.preset("demo"), FAULTS, "zeros,four_of_32")
    accuracies = {FULL: 0.9, "zeros": 0.9, "four_of_32": 0.6}
    runs = pd.DataFrame(
        [
            run_folder(tmp_path, f"{v.name}{seed}", accuracies[v.name], seed)
            for v in variants
            for seed in range(3)
        ]
    )
    rows = claims.labelled(claims.rows(variants, runs, {}), variants)
    table = claims.faults_table(rows, variants, origin="synthetic")
    assert table["Released code"].tolist() == [
        "As in the preset",
        "missing sound: Zeros, encoded",
        "batches a step: Four of 32",
    ]
    settings = ["–", "missing_sound=zeros", "batch_size=32, accumulation=4"]
    assert table["Setting"].tolist() == settings
    assert table["Cost"][0] == "–" and table["Cost"][2].startswith("+0.")
    assert table["Outcome for ours"].tolist() == ["–", rows[1]["verdict"], "supported"]
    said = sentences.costs(rows)
    assert said.startswith("By the rule, with 3 seeds each, 2 faults, alone. Cost something: ")
    assert f"batches a step: Four of 32 ({rows[2]['difference']:+.3f})" in said


def test_strong_is_the_paper_with_stated_changes():
    strong = config.preset("strong")
    assert (
        as_paper(strong).fingerprint("train")
        == config.preset("paper").fingerprint("train")
        != strong.fingerprint("train")
    )
    assert config.preset("demo").replace(**config.STRONG).fingerprint("train") == harder_off(strong)
    assert strong.timing == "true" and len(strong.seed_list()) == 5
    demo = harder(config.preset("demo"))
    assert (
        demo.synth_label_noise > 0
        and demo.synth_difficulty > 0
        and demo.synth_temper > config.preset("demo").synth_temper
    )
    assert harder(strong.replace(data="/tree")) == strong.replace(data="/tree")


def harder_off(strong):
    """The preset ``strong`` with the demo's size."""
    return strong.replace(**config.PRESETS["demo"]).fingerprint("train")


def test_a_seed_of_a_cross_validation_holds_every_clip_once(tmp_path):
    """Five folds of one seed are one table, in the same order for every variant."""
    rows = []
    for seed in range(2):
        for fold in range(1, 6):
            row = run_folder(tmp_path, f"seed{seed}fold{fold}", 0.9, seed)
            for path in (tmp_path / f"seed{seed}fold{fold}" / "predictions").iterdir():
                if int(path.stem[1:]) % 5 != fold - 1:
                    path.unlink()
            rows.append(row | {"fold": fold})
    tables = comparison.predictions_by_seed(pd.DataFrame(rows))
    assert [len(table) for table in tables] == [20 * 40] * 2
    assert tables[0]["clip"].nunique() == 20
    comparison.check_same_frames(tables)
    assert comparison.scored(tables)["macro_f1"] == pytest.approx(0.9, abs=0.02)
