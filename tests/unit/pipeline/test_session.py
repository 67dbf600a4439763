"""Where a notebook's parameters lead."""

import pandas as pd
import pytest

from emolib.config import preset
from emolib.errors import WrongCall
from emolib.pipeline import session
from emolib.results import tables
from emolib.system.files import write_json
from tests.support.trees import clean, make_tree


def test_changed_settings_have_a_run_of_their_own(project):
    default = session.begin("demo")
    assert default.folder == project / "runs" / "demo" == default.default_folder
    assert default.experiment == preset("demo") and default.origin == "synthetic"

    own = session.begin("demo", settings="epochs=3")
    assert own.experiment == preset("demo", epochs=3)
    assert own.folder.parent == default.folder.parent and own.folder != default.folder
    assert own.default_folder == default.folder
    assert session.begin("demo", settings="epochs=3").folder == own.folder
    assert session.begin("demo", settings="epochs=4").folder != own.folder


def test_a_name_is_taken_as_it_is(project):
    assert session.begin("demo", "short", settings="epochs=3").folder.name == "short"
    with pytest.raises(WrongCall, match="did you mean 'epochs'"):
        session.begin("demo", settings="epochz=3")


def test_long_texts_in_a_notebooks_tables_are_shown_whole(project):
    session.begin("demo")
    text = "A claim that is longer than the fifty characters that pandas shows by default."
    assert text in pd.DataFrame({"Claim": [text]}).to_html()


def test_every_caption_tells_of_missing_clips_and_faces(project, module_path):
    root = make_tree(module_path, clean())
    here = session.begin("demo", data=str(root))
    missing = (
        "4 of the 318 annotated clips, "
        "faces in 97.2% of the annotated train frames (official release: 98.0%)"
    )
    assert here.caption("Scores").endswith(
        f"; {missing}, faces in 95.8% of the annotated validation frames (official release: 98.7%)"
    )
    here.table(pd.DataFrame({"a": [1]}), "scores", "Scores")
    assert f"; {missing}" in (here.figures / "scores.md").read_text()
    assert session.begin("demo").caption("Scores") == "Scores (synthetic)"


def test_captions_of_scores_name_the_arithmetic_that_was_computed_in(project):
    """Where bfloat16 was asked for and the device had no units for it, it was float32."""
    here = session.begin("demo", settings="amp=bf16")
    for place, arithmetic in ((".", "float32"), ("sweep/a", "float32"), ("sweep/b", "bfloat16")):
        write_json(here.folder / place / "provenance.json", {"arithmetic": arithmetic})
    assert here.caption("Scores") == "Scores (synthetic)", "nothing is finished"
    write_json(here.folder / "metrics.json", {})
    write_json(here.folder / "sweep" / "a" / "metrics.json", {})
    assert here.caption("Scores") == "Scores (synthetic, trained in float32)"
    write_json(here.folder / "sweep" / "b" / "metrics.json", {})
    here.table(pd.DataFrame({"a": [1]}), "scores", "Scores")
    text = (here.figures / "scores.md").read_text()
    assert text.startswith("Scores (synthetic, trained in float32 and bfloat16)\n")
    assert here.caption("Frames by class", scores=False) == "Frames by class (synthetic)"


def test_a_caption_over_folds_of_actors_names_their_arithmetic(tmp_path):
    for fold in (1, 2):
        write_json(tmp_path / f"fold={fold}" / "provenance.json", {"arithmetic": "tf32"})
        write_json(tmp_path / f"fold={fold}" / "metrics.json", {})
    assert tables.caption("Voices", origin="", run=tmp_path) == "Voices (trained in tf32)"
