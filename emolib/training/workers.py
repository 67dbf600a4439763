"""The runs of a sweep on this machine: as many worker processes as there are cores.

A training step of this size gains less from a second thread than a second run does.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from emolib.config import Experiment
from emolib.features import prepare as inputs
from emolib.features.shared_out import store_features
from emolib.system.process import cores, end_with
from emolib.system.several_devices import devices, environment_on
from emolib.training.unit import FAILURES, Report, Unit, reason

Answer = tuple[Path, str]  # a run folder, and what went wrong or ""


def train_here(
    pending: list[Path],
    experiments: Mapping[Path, Experiment],
    workers: int | None,
    report: Report,
    progress: bool,
) -> None:
    """Train the run folders ``pending``, each of which is reported when it ends.

    ``workers``: processes (None: one a core, or one for each of several devices); with fewer than
    two, all runs are trained in this process.
    """
    if not pending:
        return
    if workers is None:
        workers = min(len(devices()) or cores(), len(pending))
    if workers < 2:
        unit = Unit()
        for path in pending:
            report(path, unit(path))
        return
    with _workers(workers, max(1, cores() // workers)) as processes:  # they load torch meanwhile
        ready = _with_features(pending, experiments, report, progress)
        # The longest first, so that all cores end together.
        ready.sort(key=lambda path: -length_of(experiments[path]))
        _hand_out(ready, processes, report)


def _with_features(
    pending: list[Path], experiments: Mapping[Path, Experiment], report: Report, progress: bool
) -> list[Path]:
    """Store the features that the runs need; those of ``pending`` for which that succeeded.

    It is done here, once, so that no two workers do it.
    """
    alike: dict[str, list[Path]] = {}
    for path in pending:
        alike.setdefault(inputs.needs(experiments[path]), []).append(path)
    ready = []
    for paths in alike.values():
        try:
            store_features(experiments[paths[0]], progress=progress)
        except FAILURES as error:
            why = reason(error)
            for path in paths:
                report(path, why)
        else:
            ready += paths
    return ready


def length_of(experiment: Experiment) -> float:
    """How long a run takes beside others, roughly: one stream takes less than half of both."""
    share = 1.0 if experiment.modalities == "audio_visual" else 0.4
    return experiment.epochs * experiment.window * share


def _hand_out(pending: list[Path], workers: list["_Worker"], report: Report) -> None:
    """Feed run folders to worker processes, each as soon as it has ended its last one."""
    tasks: queue.SimpleQueue[Path] = queue.SimpleQueue()
    for path in pending:
        tasks.put(path)
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    for worker in workers:
        threading.Thread(target=_feed, args=(worker, tasks, answers), daemon=True).start()
    for _ in pending:
        report(*answers.get())


def _feed(
    worker: "_Worker", tasks: queue.SimpleQueue[Path], answers: queue.SimpleQueue[Answer]
) -> None:
    while worker.wanted:
        try:
            path = tasks.get_nowait()
        except queue.Empty:
            return
        answers.put((path, worker.run(path)))


class _Worker:
    """A process that runs one run folder after another.

    It gets each as a line and answers with a line of JSON.
    """

    def __init__(self, threads: int, device: str) -> None:
        """``device``: empty for that of this process."""
        of_device = environment_on(device) if device else os.environ
        self.environment = {**of_device, "OMP_NUM_THREADS": str(threads)}
        self.lock, self.wanted = threading.Lock(), True
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "emolib.training.workers", str(os.getpid())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment, text=True
        )

    def run(self, path: Path) -> str:
        """:class:`Unit` in the process.

        A process that ends over a run fails this run alone: the next run gets a new process.
        """
        try:
            with self.lock:
                if self.wanted and self.process.poll() is not None:
                    self._start()
            assert self.process.stdin is not None and self.process.stdout is not None
            print(path.resolve(), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except (OSError, ValueError):  # its end is shut, or ours
            answer = ""
        if answer:
            return json.loads(answer)
        with self.lock:
            self._stop()
        return "its process ended; out of memory? (run again to resume)"

    def end(self) -> None:
        """Stop the process for good."""
        with self.lock:
            self.wanted = False
            self._stop()

    def _stop(self) -> None:
        self.process.kill()
        if self.process.returncode is None:
            self.process.communicate()


@contextlib.contextmanager
def _workers(number: int, threads: int) -> Iterator[list[_Worker]]:
    """Worker processes that end with this block, and with this process, on the devices in turn."""
    names = devices() or [""]
    workers = [_Worker(threads, names[i % len(names)]) for i in range(number)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.end()


def work(parent: int) -> None:
    """A worker: run folders come in by lines; results go out as JSON strings.

    It ends with its input or with the process ``parent``.
    """
    end_with(parent)
    unit, out = Unit(), os.dup(1)
    os.dup2(2, 1)  # whatever a library prints goes to standard error
    for line in sys.stdin:
        os.write(out, (json.dumps(unit(Path(line.rstrip("\n")))) + "\n").encode())


if __name__ == "__main__":
    work(int(sys.argv[1]))
