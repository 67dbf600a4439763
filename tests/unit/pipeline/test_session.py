"""Where a notebook's parameters lead."""

import pandas as pd
import pytest

from emolib.config import preset
from emolib.errors import WrongCall
from emolib.pipeline import session
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


def test_every_caption_tells_of_missing_faces(project, module_path):
    root = make_tree(module_path, clean())
    here = session.begin("demo", data=str(root))
    missing = "faces in 97.2% of the annotated train frames (official release: 98.0%)"
    assert here.caption("Scores").endswith(
        f"; {missing}, faces in 95.8% of the annotated validation frames (official release: 98.7%)"
    )
    here.table(pd.DataFrame({"a": [1]}), "scores", "Scores", note=".")
    assert f"; {missing}" in (here.figures / "scores.md").read_text()
    assert session.begin("demo").caption("Scores") == "Scores (synthetic)"
