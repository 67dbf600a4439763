"""Against a real SLURM on this machine, where its packages are installed."""

import sys

import pytest

from emolib.errors import EmolibError, WrongCall
from emolib.training.cluster import emolib_command, run_array
from tests.support.slurm_fixture import slurm  # noqa: F401 (a fixture)


def test_an_array_runs_every_command_once(slurm, tmp_path):  # noqa: F811
    code = "import pathlib, sys; pathlib.Path(sys.argv[1]).open('a').write(sys.argv[2])"
    commands = [
        [sys.executable, "-c", code, str(tmp_path / f"{i}.txt"), f"share {i}"] for i in range(3)
    ]
    run_array(commands, tmp_path / "logs", parallel=2, cpus=1, minutes=5)
    assert [(tmp_path / f"{i}.txt").read_text() for i in range(3)] == [
        "share 0",
        "share 1",
        "share 2",
    ]


def test_a_failed_job_is_named_and_the_rest_goes_on(slurm, tmp_path):  # noqa: F811
    good = [sys.executable, "-c", f"open({str(tmp_path / 'good')!r}, 'w').close()"]
    with pytest.raises(EmolibError, match=r"1 of 2 cluster jobs failed.*exit code 3"):
        run_array(
            [[sys.executable, "-c", "import sys; sys.exit(3)"], good],
            tmp_path / "logs",
            cpus=1,
            minutes=5,
        )
    assert (tmp_path / "good").is_file()


def test_without_slurm_the_call_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(WrongCall, match="slurm"):
        run_array([["true"]], tmp_path / "logs")
    run_array([], tmp_path / "logs")


def test_the_command_is_this_python():
    assert emolib_command("extract")[1:] == ["-m", "emolib", "extract"]
