"""Two processes on one store against one: how near to a fair split,
and whether the store is the same, byte for byte.

    python -m tests.benchmarks.share_extract [rounds, 5]

One thread a process, so that two of them have twice the hardware; needs two idle cores. The
children fork after the imports, so the times hold the work: loading the small encoders, decoding,
encoding, storing. Prints the median seconds.
"""

import os
import shutil
import statistics
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import open_clip  # noqa: F401 (so that forks need not load it)

from tests.support.forks import exit_code
from tests.unit.features.test_window_sets import digest, extract_in_fork, make_clip


def seconds_of(processes: int, root: Path) -> float:
    """Until the last of ``processes`` that start together is done."""
    begin = time.perf_counter()
    children = [extract_in_fork(root) for _ in range(processes)]
    assert [exit_code(child) for child in children] == [0] * processes
    return time.perf_counter() - begin


def main(rounds: int) -> None:
    """Raises AssertionError when two processes store anything else than one."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        os.environ["EMOLIB_RUNS"] = str(root / "runs")
        # So much that loading the encoders matters little.
        for name in map("".join, product("abcdefghijklmnop", repeat=2)):
            make_clip(root, name, sound=1.6)
        store, first = root / "runs" / "cache" / "features", root / "first"
        seconds_of(1, root)  # also fills the cache of waveforms, which both then share
        store.rename(first)
        times: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for processes in times:
                times[processes].append(seconds_of(processes, root))
                assert digest(store) == digest(first), (
                    "the store of two processes differs from that of one"
                )
                shutil.rmtree(store)
        one, two = (statistics.median(times[processes]) for processes in times)
        print(
            f"one process {one:.2f} s, two {two:.2f} s: "
            f"{one / two:.2f} times as fast, 2 is a fair split; stores equal to the byte"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
