"""What counts as finished, and what makes a notebook run again."""

import json
import shutil
from pathlib import Path

import emolib
from emolib.config import preset
from emolib.pipeline import finished
from emolib.system.files import write_json
from tests.support.tiny_notebooks import write_notebook

PACKAGE_HASH = finished.package_hash  # as it is outside the fixture


def test_a_changed_source_setting_or_package_runs_again(project, monkeypatch):
    path = write_notebook(project, "01_first")
    key = finished.key(path, preset("demo"))
    copy = project / "runs/demo/notebooks/01_first.ipynb"
    write_json(copy, {"metadata": {"emolib": {"key": key}}})
    assert not finished.finished(project / "runs/demo", path, key), "its record is missing"
    write_json(project / "runs/demo/records/01_first.json", {})
    assert finished.finished(project / "runs/demo", path, key)
    assert finished.key(path, preset("demo", epochs=3)) != key
    monkeypatch.setattr(finished, "package_hash", lambda: "other")
    assert finished.key(path, preset("demo")) != key
    for content in ('{"metadata": {"emo', "[]", "{}"):  # killed while papermill was writing, damage
        copy.write_text(content)
        assert not finished.finished(project / "runs/demo", path, key)


def test_key_ignores_outputs(project):
    path = write_notebook(project, "01_first")
    key = finished.key(path, preset("demo"))
    content = json.loads(path.read_text())
    content["cells"][0] |= {
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "x"}],
        "execution_count": 7,
    }
    path.write_text(json.dumps(content))
    assert finished.key(path, preset("demo")) == key


def test_the_package_hash_is_of_content_only(tmp_path, monkeypatch):
    copy = shutil.copytree(
        Path(emolib.__file__).parent / "pipeline", tmp_path / "elsewhere" / "emolib"
    )
    (copy / "__init__.py").touch()
    monkeypatch.setattr(emolib, "__file__", str(copy / "__init__.py"))
    before = PACKAGE_HASH()
    (copy / "__pycache__").mkdir(exist_ok=True)
    (copy / "__pycache__" / "x.pyc").touch()
    moved = shutil.copytree(copy, tmp_path / "moved")
    monkeypatch.setattr(emolib, "__file__", str(moved / "__init__.py"))
    assert PACKAGE_HASH() == before
    (moved / "run.py").write_text("changed = True")
    assert PACKAGE_HASH() != before
