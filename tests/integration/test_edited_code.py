"""Edit the model, and the old score is no longer today's: training by a copy of the package."""

import contextlib
import importlib
import json
import os
import shutil
import sys
from pathlib import Path

import emolib
from emolib.evaluation import identity
from emolib.system.files import read_json
from emolib.training.claim import EARLIER
from tests.support.forks import exit_code, fork

PACKAGE = Path(emolib.__file__).parent
SMALL = (
    "width=16,attention_heads=2,tcn_blocks=1,window=10,epochs=1,batch_size=4,class_weights=none,"
    "synth_train_clips=4,synth_validation_clips=2,synth_test_clips=0,synth_seconds=2.0"
)


def train(root: Path) -> tuple[dict, str]:
    """(printed result, standard error) of ``emolib train --json`` by the package in ``root``."""
    output, said = root / "output", root / "said"

    def work() -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == "emolib"]:
            del sys.modules[name]
        sys.path.insert(0, str(root))
        os.environ["EMOLIB_RUNS"] = str(root / "runs")
        words = ["train", "--quiet", "--json", "--name", "x", "--set", SMALL]
        sys.argv = ["emolib", *words]
        with (
            output.open("w") as out,
            said.open("w") as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            importlib.import_module("emolib.cli").main()

    assert exit_code(fork(work)) == 0, said.read_text()[-3000:]
    return json.loads(output.read_text()), said.read_text()


def test_an_edited_temporal_block_is_trained_anew(tmp_path):
    """Where a run's identity is its settings alone, the second call prints the first's metrics."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "emolib", ignore=ignored)
    first, _ = train(tmp_path)
    tcn = tmp_path / "emolib" / "tcn.py"
    source = tcn.read_text()
    marker = "class TemporalBlock"
    assert marker in source and "return " in source[source.index(marker) :]
    head, body = source.split(marker, 1)
    tcn.write_text(f"# A comment moves nothing.\n{head}{marker}{body}")
    again, said = train(tmp_path)
    assert again == first and "other code" not in said
    tcn.write_text(head + marker + body.replace("return ", "return 0.5 * ", 1))
    edited, said = train(tmp_path)
    assert "made by other code" in said and edited["code"] != first["code"]
    assert edited["window"] != first["window"] or edited["frame"] != first["frame"]
    first_made = identity.Identity(*(first[name] for name in ("code", "data", "encoders")))
    kept = tmp_path / "runs" / "x" / EARLIER / first_made.key
    assert read_json(kept / "metrics.json") == first
