"""The summary of a run, and its table for the terminal."""

from emolib.config import preset
from emolib.pipeline import finished, summary
from emolib.system.files import write_json
from tests.support.tiny_notebooks import write_notebook


def test_the_summary_holds_finished_notebooks_only(project):
    first, _ = write_notebook(project, "01_first"), write_notebook(project, "02_second")
    for stem in ("01_first", "02_second"):
        write_json(
            project / f"runs/demo/records/{stem}.json", {"metrics": {}, "summary": {stem: 1}}
        )
        key = finished.key(first, preset("demo")) if stem == "01_first" else "of another state"
        write_json(
            project / f"runs/demo/notebooks/{stem}.ipynb", {"metadata": {"emolib": {"key": key}}}
        )
    result = summary.summarise(project / "runs/demo", preset("demo"))
    assert (
        list(result["notebooks"]) == ["01_first"]
        and "01_first" in result
        and "02_second" not in result
    )


def test_the_table_for_the_terminal_says_what_data_it_is_from():
    row = {
        "window": 10,
        "protocol": "frame",
        "macro_f1": 0.5,
        "interval": [0.4, 0.6],
        "interval_over": "seeds",
        "seeds": 3,
        "ceiling": None,
        "paper_validation": 0.3265,
        "paper_test": 0.28,
    }
    run = {"name": "demo", "origin": "synthetic", "smoothed": "", "window_table": [row]}
    text = summary.window_text(run)
    assert "3 seeds, interval over seeds" in text and "SYNTHETIC" in text
    assert "0.500 [0.400, 0.600]        – |      0.327      0.280" in text
    del run["window_table"]
    assert "no window table yet (notebook 05)" in summary.window_text(run)
