"""Kill an extraction at random moments, many times,
and compare the store with that of an undisturbed one, byte for byte.

    python -m tests.benchmarks.kill_extract [kills, 200] [seed of the moments, 0]

Each round is a fork that starts after the imports, so the kills fall into the work and not into
loading torch; when a store is complete, it is compared and removed, and the next one begins.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import open_clip  # noqa: F401 (so that forks need not load it)
from transformers import Wav2Vec2Config, Wav2Vec2Model  # noqa: F401 (as above)

from tests.support.forks import exit_code
from tests.unit.features.test_window_sets import digest, extract_in_fork, make_clip


def main(kills: int, seed: int) -> None:
    """Raises AssertionError when anything is lost."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["EMOLIB_RUNS"] = str(root / "runs")
        for name in "abcdef":
            make_clip(root, name, sound=1.6)
        store, undisturbed = root / "runs" / "cache" / "features", root / "undisturbed"
        begin = time.perf_counter()
        assert exit_code(extract_in_fork(root)) == 0
        whole = time.perf_counter() - begin
        store.rename(undisturbed)
        killed = complete = 0
        while killed < kills:
            child = extract_in_fork(root)
            time.sleep(chance.uniform(0, whole))
            os.kill(child, signal.SIGKILL)
            status = exit_code(child)
            killed += status != 0
            # Now and then, and at last, the work ends on what the kills left.
            if status == 0 or killed == kills or chance.random() < 0.1:
                assert exit_code(extract_in_fork(root)) == 0
                assert digest(store) == digest(undisturbed), (
                    "the store differs from an undisturbed one"
                )
                complete += 1
                shutil.rmtree(store)
        print(
            f"{killed} kills over {whole:.1f} s of work, {complete} stores completed afterwards, "
            "all equal to the undisturbed one"
        )


if __name__ == "__main__":
    main(*[int(word) for word in sys.argv[1:3]], *[200, 0][len(sys.argv[1:3]) :])
