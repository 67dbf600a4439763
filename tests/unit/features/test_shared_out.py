"""Several devices: another process does the work that was asked of this one, and the same work."""

import pytest

from emolib.cli.options import use_devices
from emolib.config import preset
from emolib.errors import WrongCall
from emolib.features import prepare, shared_out
from emolib.system import several_devices
from emolib.system.device import device
from emolib.system.files import hash_file

SIZES = {
    "synth_train_clips": 4,
    "synth_validation_clips": 2,
    "synth_test_clips": 0,
    "synth_seconds": 2.0,
}
CLIPS = 2 * (4 + 2)  # each once with its faces, once with its sound


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "runs"))
    return preset("demo", window=10, frame_stride=15, **SIZES)


def stored(runs):
    files = sorted((runs / "cache" / "features").rglob("*.safetensors"))
    return {str(path.relative_to(runs)): hash_file(path) for path in files}


def test_the_process_of_another_device_stores_what_this_one_would(
    experiment, tmp_path, monkeypatch
):
    here, runs = prepare.store_features, tmp_path / "runs"
    monkeypatch.setenv("EMOLIB_DEVICES", "cpu,cpu:0")
    monkeypatch.setattr(prepare, "store_features", lambda *_, **__: None)  # the first is idle
    shared_out.store_features(experiment, progress=False)
    by_other = stored(runs)
    monkeypatch.undo()
    monkeypatch.setenv("EMOLIB_RUNS", str(tmp_path / "again"))
    here(experiment, progress=False)
    assert len(by_other) == CLIPS + 1  # and the prompts
    assert by_other == stored(tmp_path / "again")


def test_what_another_device_leaves_is_done_here(experiment, monkeypatch):
    monkeypatch.setenv("EMOLIB_DEVICES", "cpu,cuda:99")  # a device that no machine has
    report = shared_out.store_features(experiment, progress=False)
    assert report.clips == CLIPS and not report.damaged


def test_one_device_starts_no_process(experiment, monkeypatch):
    monkeypatch.setattr(shared_out, "_start", lambda *_: pytest.fail("a process was started"))
    monkeypatch.setattr(prepare, "store_features", lambda *_, **__: "report")
    for names in ("", "cuda:0"):
        monkeypatch.setenv("EMOLIB_DEVICES", names)
        assert shared_out.store_features(experiment) == "report"


def test_the_first_device_is_this_processs_own(monkeypatch):
    for name in ("EMOLIB_DEVICE", "EMOLIB_DEVICES"):
        monkeypatch.setenv(name, "")
    use_devices("")
    assert several_devices.devices() == []
    use_devices("cuda:1, cuda:0")
    assert several_devices.devices() == ["cuda:1", "cuda:0"] and device() == "cuda:1"
    with pytest.raises(WrongCall, match="no device is named"):
        use_devices(" ,")


def test_an_unknown_device_is_named(monkeypatch):
    monkeypatch.setenv("EMOLIB_DEVICES", "cuda:0, gpu1")
    with pytest.raises(WrongCall, match="no device gpu1"):
        several_devices.devices()
