"""My run beside the default one."""

from dataclasses import asdict

import pytest

from emolib.config import preset
from emolib.errors import EmolibError, EmolibWarning
from emolib.evaluation.identity import at_hand
from emolib.results import comparison
from emolib.system.files import write_json
from tests.support.damage import OTHER_RECORDS


def result(score: float) -> dict:
    scored = {"macro_f1": score, "macro_f1_interval": [score - 0.1, score + 0.1]}
    return {"frame": scored, "window": scored, "best_epoch": 2, "parameters": 12345}


def test_changed_settings_and_both_scores_are_shown(tmp_path):
    preset("demo").save(tmp_path / "experiment.json", **asdict(at_hand(preset("demo"))))
    write_json(tmp_path / "metrics.json", result(0.5))
    default = comparison.default_result(tmp_path)
    table = comparison.beside_default(preset("demo", epochs=3), result(0.7), default)
    rows = {row[""]: (row["default"], row["mine"]) for row in table.to_dict("records")}
    assert rows["setting epochs"] == (str(preset("demo").epochs), "3")
    assert rows["macro-F1, frame protocol"] == ("0.500 [0.400, 0.600]", "0.700 [0.600, 0.800]")
    assert rows["parameters"] == ("12,345", "12,345")
    assert [name for name in rows if name.startswith("setting")] == ["setting epochs"]


def test_a_default_run_of_other_code_is_not_shown_as_todays(tmp_path):
    preset("demo").save(tmp_path / "experiment.json", code="other")
    write_json(tmp_path / "metrics.json", result(0.5))
    with pytest.warns(EmolibWarning, match="made by other code"):
        assert comparison.default_result(tmp_path) is None


@pytest.mark.parametrize("content", OTHER_RECORDS)
def test_a_record_of_another_form_is_refused_by_name(tmp_path, content):
    preset("demo").save(tmp_path / "experiment.json", **asdict(at_hand(preset("demo"))))
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(EmolibError, match=r"metrics\.json: (holds no values by name|lacks \w+)"):
        comparison.default_result(tmp_path)


def test_without_a_default_run_its_column_is_empty(tmp_path):
    assert comparison.default_result(tmp_path) is None
    table = comparison.beside_default(preset("demo"), result(0.7), None)
    assert set(table["default"]) == {"–"}
    assert table["mine"].str.contains("0.700").sum() == 2


@pytest.mark.parametrize("data", ["", "elsewhere"])
def test_the_place_of_the_data_is_no_change(data):
    table = comparison.beside_default(preset("demo", data=data), result(0.7), None)
    assert not table[""].str.startswith("setting").any()
