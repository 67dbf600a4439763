"""`make lab` works on copies: they follow the committed notebooks until their user changes them."""

import json

from emolib.pipeline import lab
from tests.support.tiny_notebooks import write_notebook


def source(path) -> str:
    return "".join(json.loads(path.read_text())["cells"][1]["source"])


def test_copies_follow_until_they_are_changed(project):
    original = write_notebook(project, "01_first", "a = 1")
    before = original.read_bytes()
    folder, kept = lab.working_copies()
    copy = folder / original.name
    assert folder == project / "runs" / "lab" and kept == []
    assert copy.read_bytes() == before

    write_notebook(project, "01_first", "a = 2")
    assert lab.working_copies()[1] == [] and source(copy) == "a = 2"

    copy.write_text(copy.read_text().replace("a = 2", "a = 22"))
    assert lab.working_copies()[1] == [], "changed by its user, and nothing newer is there"
    write_notebook(project, "01_first", "a = 3")
    assert lab.working_copies()[1] == [original.name] and source(copy) == "a = 22"


def test_outputs_are_no_change(project):
    original = write_notebook(project, "01_first", "a = 1")
    copy = lab.working_copies()[0] / original.name
    content = json.loads(copy.read_text())
    content["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    copy.write_text(json.dumps(content))
    write_notebook(project, "01_first", "a = 2")
    assert lab.working_copies()[1] == [] and source(copy) == "a = 2"
