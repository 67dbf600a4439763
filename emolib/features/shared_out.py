"""Extraction on several devices: a process on each does the same work, and the claims of the store
share the clips out among them.
"""

import dataclasses
import json
import os
import subprocess
import sys

from emolib.config import Experiment
from emolib.data.clip import Clip
from emolib.features import prepare
from emolib.features.work import Report
from emolib.system.process import end_with
from emolib.system.several_devices import devices, environment_on


def store_features(
    experiment: Experiment, clips: list[Clip] | None = None, *, progress: bool = True
) -> Report:
    """``prepare.store_features``, on every device of ``$EMOLIB_DEVICES``; the report is of the
    first, which is this process's own.

    Where another's process ends early, this one takes over the clips that it had claimed.
    """
    splits = sorted({clip.split for clip in clips}) if clips is not None else None
    work = {"experiment": dataclasses.asdict(experiment), "splits": splits}
    processes = [_start(device, work) for device in devices()[1:]]
    try:
        report = prepare.store_features(experiment, clips, progress=progress)
        for process in processes:
            process.wait()  # what it still has to do this one has done as well
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return report


def _start(device: str, work: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "emolib.features.shared_out", str(os.getpid())]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, env=environment_on(device), text=True
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        json.dump(work, pipe)
    return process


def work(parent: int) -> None:
    """Store the features that standard input asks for; ends with the process ``parent``."""
    end_with(parent)
    asked = json.load(sys.stdin)
    experiment, splits = Experiment(**asked["experiment"]), asked["splits"]
    clips = prepare.clips_of(experiment, tuple(splits), progress=False) if splits else None
    prepare.store_features(experiment, clips, progress=False)


if __name__ == "__main__":
    work(int(sys.argv[1]))
