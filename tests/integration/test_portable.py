"""The whole package where fcntl, sched_getaffinity and prctl do not exist."""

from pathlib import Path

import emolib
from tests.support.portable import python


def modules() -> list[str]:
    root = Path(emolib.__file__).parents[1]
    paths = [path.relative_to(root).with_suffix("") for path in (root / "emolib").rglob("*.py")]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    return sorted(name for name in names if not name.endswith("__main__"))


def test_every_module_is_imported_and_info_train_and_the_store_work(tmp_path):
    code = f"MODULES = {modules()}"
    code += """
import importlib
from emolib import cli
small = "width=16,attention_heads=2,tcn_blocks=1,window=10,epochs=1,batch_size=4,"
small += "class_weights=none,synth_train_clips=4,synth_validation_clips=2,"
small += "synth_test_clips=0,synth_seconds=2.0"
if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    for words in (["info"], ["train", "--name", "mine", "--quiet", "--set", small]):
        sys.argv = ["emolib", *words]
        try:
            cli.main()
        except SystemExit as end:
            assert not end.code, (words, end.code)
"""
    out = python(code, tmp_path, EMOLIB_RUNS=str(tmp_path / "runs"))
    assert "device cpu" in out and "frame: macro-F1" in out
    assert (tmp_path / "runs" / "mine" / "metrics.json").is_file()
