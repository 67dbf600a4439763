"""scripts/gpu.py: every part has its time and its file, whatever becomes of the others."""

import subprocess
import sys
import time
import zipfile
from importlib.metadata import version

import gpu
import pytest
import wheels

from emolib.system.files import project_root, read_json


def test_limits_add_up_to_eight_minutes(tmp_path):
    assert sum(part.limit for part in gpu.parts(tmp_path, small=False)) <= 480


def test_a_part_that_hangs_or_fails_leaves_time_and_room_for_the_next(
    tmp_path, monkeypatch, capsys
):
    child = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; "
        "time.sleep(600)'])"
    )
    chosen = [
        gpu.Part("hangs", ["-c", child], 1.0),
        gpu.Part("fails", ["-c", "print('half'); raise SystemExit(3)"], 200.0),
        gpu.Part("works", ["-c", "import emolib; print(emolib.__file__)"], 200.0),
    ]
    monkeypatch.setattr(gpu, "parts", lambda out, small: chosen)
    started = time.monotonic()
    assert gpu.main(tmp_path) == 1
    assert time.monotonic() - started < 500  # the child that sleeps is ended, too
    told = capsys.readouterr().err
    assert "hangs: not done after 1 s" in told and "fails: failed (exit code 3)" in told
    assert "works: done" in told
    assert "half" in (tmp_path / "fails.txt").read_text()
    assert str(project_root() / "emolib") in (tmp_path / "works.txt").read_text()
    assert (tmp_path / "works.txt").read_text().startswith("20")  # the date


def wheel(folder, name, version):
    """A wheel of one module that holds its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = f"{name}-{version}.dist-info"
    texts = {
        f"{name}.py": f"VERSION = '{version}'\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*texts, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in {**texts, f"{about}/RECORD": record}.items():
            archive.writestr(file, text)


def test_what_this_python_lacks_is_installed_beside_it_and_nothing_is_shadowed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(gpu, "WHEELS", tmp_path / "wheels")
    monkeypatch.setattr(gpu, "SITE", tmp_path / "site")
    assert gpu.installation() == []
    gpu.WHEELS.mkdir()
    for name in ("torch", "not_at_hand"):
        wheel(gpu.WHEELS, name, "9.9")
    (part,) = gpu.installation()
    assert gpu.run(part._replace(limit=120), tmp_path) == ""
    assert (gpu.SITE / "not_at_hand.py").is_file() and not (gpu.SITE / "torch.py").exists()
    look = "import not_at_hand, torch; print(not_at_hand.VERSION, torch.__version__)"
    assert gpu.run(gpu.Part("look", ["-c", look], 120), tmp_path) == ""
    assert f"9.9 {version('torch')}" in (tmp_path / "look.txt").read_text()


def test_wheels_are_what_notebooks_need_beside_what_such_a_machine_has():
    lacking = wheels.lacking()
    assert {"papermill", "ipykernel", "nbconvert", "av", "open-clip-torch"} <= set(lacking)
    assert not {"torch", "numpy", "pandas", "scipy", "transformers"} & set(lacking)
    assert lacking["papermill"] == version("papermill")


@pytest.mark.slow
def test_make_gpu_runs_small_without_a_gpu(tmp_path):
    """The whole script as it is called, with this Python and without making .venv."""
    command = ["make", "gpu", f"PYTHON={sys.executable}", f"OUT={tmp_path}"]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no GPU here" in done.stderr
    assert read_json(tmp_path / "extract.json")["small"] is True
    assert read_json(tmp_path / "train.json")["small"] is True
    assert "skipped" in (tmp_path / "tests.txt").read_text()
    assert "04_training" in read_json(tmp_path / "notebooks.json")["notebooks"]
