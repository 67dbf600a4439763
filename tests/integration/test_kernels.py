"""The pipeline on tiny notebooks in real kernels: order, resuming, limits, and how kernels end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emolib.config import preset
from emolib.errors import EmolibError
from emolib.pipeline import kernel
from emolib.pipeline import run as pipeline
from emolib.system.runs import writing
from tests.support.tiny_notebooks import write_notebook

TCP = """
import os
handles = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
own = {os.readlink(handle) for handle in handles if os.path.islink(handle)}
lines = []
for kind in ("tcp", "tcp6"):
    lines += open(f"/proc/self/net/{kind}").read().splitlines()[1:]
rows = [line.split() for line in lines]
ports = [row[1] for row in rows if f"socket:[{row[9]}]" in own]
"""


def no_kernel(*args, **kwargs):
    raise AssertionError("a kernel was started")


def test_runs_in_order_off_tcp_and_only_once(project, monkeypatch):
    write_notebook(
        project, "02_second", "assert open('../order').read() == '1'", metrics="{'b': 2}"
    )
    write_notebook(
        project,
        "01_first",
        TCP,
        "open('../order', 'w').write('1')",
        "print(settings)",
        metrics="{'ports': len(ports)}",
    )
    summary = pipeline.run(preset("demo", epochs=3, seeds="1,2"), "other_name", progress=False)
    assert summary["notebooks"]["01_first"]["metrics"] == {"ports": 0}
    assert summary["seen_by_01"] == "epochs=3,seeds=1,2"
    assert (
        summary["origin"] == "synthetic"
        and summary["preset"] == "demo"
        and summary["versions"]["python"]
    )
    assert summary["notebooks"]["02_second"]["seconds"] > 0
    assert not (project / "figures").exists(), "the figures of a preset come from its own run only"
    files = {path: path.read_bytes() for path in (project / "runs").rglob("*") if path.is_file()}
    monkeypatch.setattr(kernel, "execute", no_kernel)
    assert (
        pipeline.run(preset("demo", epochs=3, seeds="1,2"), "other_name", progress=False) == summary
    )
    assert files == {
        path: path.read_bytes() for path in (project / "runs").rglob("*") if path.is_file()
    }


def test_failure_names_notebook_and_cell_and_the_next_run_goes_on_there(project):
    write_notebook(project, "01_first", "open('../count', 'a').write('x')")
    write_notebook(project, "02_second", "a = 1", "# comment\nraise ValueError('one\\nlast line')")
    with pytest.raises(
        EmolibError,
        match=r"02_second\.ipynb: cell 3 \(`raise ValueError.*\) failed: ValueError: last line; "
        r"see .*02_second",
    ):
        pipeline.run(preset("demo"), progress=False)
    assert not (project / "runs/demo/summary.json").exists()
    write_notebook(project, "02_second", "a = 1")
    summary = pipeline.run(preset("demo"), progress=False)
    assert set(summary["notebooks"]) == {"01_first", "02_second"}
    assert (project / "count").read_text() == "x", "the finished notebook ran again"


def test_time_limit_is_for_the_whole_notebook(project):
    write_notebook(
        project, "01_first", "import time\ntime.sleep(0.7)", "time.sleep(0.7)", "time.sleep(300)"
    )
    begin = time.monotonic()
    with pytest.raises(
        EmolibError, match=r"01_first\.ipynb: cell \d .* passed the time limit of 2 s; raise"
    ):
        pipeline.run(preset("demo"), time_limit=2, progress=False)
    assert time.monotonic() - begin < 200


def test_a_dead_kernel_is_an_error(project):
    write_notebook(project, "01_first", "import os\nos._exit(9)")
    with pytest.raises(EmolibError, match=r"01_first\.ipynb: the kernel died in cell 2 "):
        pipeline.run(preset("demo"), progress=False)


@pytest.mark.parametrize(
    "stop",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_kernels_end_with_the_pipeline(project, short_folder, stop):
    write_notebook(
        project,
        "01_first",
        "import os, time\nopen('../pid', 'w').write(str(os.getpid()))\ntime.sleep(300)",
    )
    code = (
        "from emolib import config; from emolib.pipeline import run as pipeline; "
        "pipeline.run(config.preset('demo'), progress=False)"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        cwd=project,
        env={**os.environ, "TMPDIR": str(short_folder)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        # A shell starts background jobs with it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    pid = _wait_for(lambda: (project / "pid").exists() and (project / "pid").read_text())
    process.send_signal(stop)
    assert process.wait(120) != 0
    _wait_for(lambda: not _alive(int(pid)))
    assert stop == signal.SIGKILL or not list(short_folder.iterdir())
    with writing(project / "runs/demo"):  # the dead process's lock is free
        pass


def _wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return value


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
