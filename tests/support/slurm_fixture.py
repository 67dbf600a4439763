"""A real single-node SLURM for tests: munge, slurmctld and slurmd,
started and stopped by a fixture.

Import ``slurm`` into a test module to use it; it skips, with the reason, where SLURM cannot run.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = """ClusterName=test
SlurmctldHost=localhost
AuthType=auth/munge
AuthInfo=cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation={state}/ctl
SlurmdSpoolDir={state}/d
SlurmctldPidFile={state}/ctl.pid
SlurmdPidFile={state}/d.pid
SlurmctldLogFile={state}/ctl.log
SlurmdLogFile={state}/d.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MpiDefault=none
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
NodeName=localhost CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait(command: list[str], wanted: str, process: subprocess.Popen) -> None:
    for _ in range(100):
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode == 0 and wanted in found.stdout:
            return
        if process.poll() is not None:
            break
        time.sleep(0.2)
    pytest.skip(
        f"SLURM did not start: {' '.join(command)}: {(found.stdout + found.stderr).strip()[-200:]}"
    )


def _munge(state: Path) -> subprocess.Popen | None:
    """Start munged unless one answers already."""
    if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        return None
    Path("/run/munge").mkdir(mode=0o755, exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    process = subprocess.Popen(
        ["/usr/sbin/munged", "--foreground"],
        user="munge",
        group="munge",
        stderr=(state / "munge.log").open("w"),
    )
    _wait(["munge", "-n"], "MUNGE", process)
    return process


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Path]:
    """The folder of a running SLURM; ``SLURM_CONF`` points at it while the tests run."""
    missing = [
        name
        for name in ("munge", "slurmctld", "slurmd", "sbatch")
        if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None
    ]
    if missing:
        pytest.skip(
            f"not installed: {', '.join(missing)} (apt-get install slurmctld "
            "slurmd slurm-client munge)"
        )
    if os.geteuid():
        pytest.skip("starting SLURM needs root")
    state = tmp_path_factory.mktemp("slurm")
    for name in ("ctl", "d"):
        (state / name).mkdir()
    config = state / "slurm.conf"
    config.write_text(
        CONFIG.format(state=state, ports=_free_ports(2), cpus=len(os.sched_getaffinity(0)))
    )
    environment = {**os.environ, "SLURM_CONF": str(config)}
    processes = []
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(config)
    try:
        processes.append(_munge(state))
        for command in (
            ["/usr/sbin/slurmctld", "-D"],
            ["/usr/sbin/slurmd", "-D", "-N", "localhost"],
        ):
            processes.append(
                subprocess.Popen(
                    command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
        _wait(["sinfo", "-h", "-o", "%T"], "idle", processes[-1])
        yield state
    finally:
        if before is None:
            os.environ.pop("SLURM_CONF", None)
        else:
            os.environ["SLURM_CONF"] = before
        for process in reversed([each for each in processes if each]):
            process.terminate()
            process.wait(20)
