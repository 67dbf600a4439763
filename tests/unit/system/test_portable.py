"""Where fcntl, sched_getaffinity and prctl do not exist,
the package is imported and works all the same.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from emolib.errors import WrongCall
from emolib.system import device
from tests.support.portable import python


def test_locks_cores_and_children_work(tmp_path):
    code = """
import subprocess, time
from pathlib import Path
from emolib.system import locks, process, runs
path = Path("lock")
lock = locks.try_lock(path)
assert lock and locks.try_lock(path) is None and locks.is_locked(path)
lock.release()
assert not locks.is_locked(path)
with runs.writing(Path("runs/demo")):
    try:
        with runs.writing(Path("runs/demo")):
            raise SystemExit("held twice")
    except runs.EmolibError as error:
        assert f"process {os.getpid()};" in str(error), error
with runs.writing(Path("runs/demo")):
    pass
assert process.cores() == os.cpu_count()
process.end_with(os.getppid())
print("works")
"""
    assert python(code, tmp_path) == "works\n"


def test_a_child_ends_with_its_parent_without_the_kernels_help(tmp_path):
    child = (
        "from emolib.system import process; import os, sys, time; process._killed_by_the_kernel = "
        "lambda: False; process.end_with(int(sys.argv[1])); print(os.getpid(), flush=True); "
        "time.sleep(300)"
    )
    parent = (
        f"import os, subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}, "
        "str(os.getpid())], stdout=subprocess.PIPE); "
        "print(p.stdout.readline().decode(), end='', flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], capture_output=True, text=True, check=True
    )
    end = time.monotonic() + 60  # it looks every second; on a busy machine later
    while _alive(int(done.stdout)):
        assert time.monotonic() < end, "the child outlives its parent"
        time.sleep(0.1)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_sizes_on_a_device_of_another_kind_are_the_cpus():
    sizes = {"cpu": 64, "cuda": 512}
    assert [device.size_for(kind, sizes) for kind in ("cpu", "cuda:1", "mps")] == [64, 512, 64]


@pytest.mark.parametrize("amp", ["bf16", "float32"])
def test_on_mps_torch_is_not_asked_for_an_arithmetic_that_it_may_refuse(monkeypatch, amp):
    """Older versions warn of float32, macOS before 14 has no bfloat16; here both are errors."""

    class Refusing(torch.autocast):
        def __init__(self, kind, dtype, **options):
            if kind == "mps":
                raise RuntimeError(
                    f"In MPS autocast, but the target dtype {dtype} is not supported"
                )
            super().__init__(kind, dtype, **options)

    monkeypatch.setattr(torch, "autocast", Refusing)
    dtype = device.training_dtype("mps", amp)
    with device.autocast("mps", dtype):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == dtype == torch.float32


def test_products_on_a_gpu_are_in_tf32_where_it_is_asked_for_and_nowhere_else(monkeypatch):
    """The switches alone: what a GPU makes of them is tested where there is one."""
    monkeypatch.setattr(device, "fast_bfloat16", lambda kind: True)

    def switches():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = switches()
    cases = {("cuda", "tf32"): True, ("cuda", "bf16"): False, ("cuda", "float32"): False}
    for (kind, amp), short in {**cases, ("cpu", "tf32"): False}.items():
        with device.products(kind, amp):
            assert switches() == (short, short)
        assert switches() == before


def test_the_arithmetic_of_training_has_a_name(monkeypatch):
    for fast, names in ((True, ("float32", "tf32", "bfloat16")), (False, ("float32",) * 3)):
        monkeypatch.setattr(device, "fast_bfloat16", lambda kind, fast=fast: fast)
        settings = ("float32", "tf32", "bf16")
        assert tuple(device.training_arithmetic("cuda", amp) for amp in settings) == names
    monkeypatch.setattr(device, "fast_bfloat16", lambda kind: True)
    assert device.training_arithmetic("cpu", "tf32") == "float32"


def test_autocast_computes_products_in_the_type_asked_for():
    ones = torch.ones(2, 2)
    for dtype in (torch.bfloat16, torch.float32):
        with device.autocast("cpu", dtype):
            assert (ones @ ones).dtype == dtype


def test_an_unknown_device_is_named(monkeypatch):
    monkeypatch.setenv("EMOLIB_DEVICE", "gpu")
    with pytest.raises(WrongCall, match="EMOLIB_DEVICE=gpu"):
        device.device()
    monkeypatch.setenv("EMOLIB_DEVICE", "mps")
    assert device.device() == "mps"
