"""One notebook in one kernel: started from this Python, reached over IPC sockets,
ended with whoever started it.

papermill parametrises and executes; this adds what it lacks: no TCP ports (anyone on the machine
can connect to those), one time limit for the whole notebook, and the failed cell named by its place
in the source.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emolib.errors import EmolibError
from emolib.system.files import read_json
from emolib.system.locks import is_locked, locked

ENGINE = "emolib"
STDERR = 2  # what a cell's child processes print does not mix with our results
SOCKETS = "emolib-kernel-"  # prefix of the folders of sockets
SETTLED = 60  # seconds after which the process that made such a folder has locked it
LONGEST_SOCKET = 90  # bytes of a folder's path; Linux allows 107 for the whole socket's path
# Cells differ by a factor of a thousand: how many are done says nothing of the time that is left.
BAR = {"leave": False, "bar_format": "{desc}: cell {n_fmt} of {total_fmt}, {elapsed}"}
STOPPED_HINT = "raise the limit (--time-limit) or choose a smaller experiment"


def execute(
    notebook: Path,
    copy: Path,
    parameters: dict[str, Any],
    *,
    time_limit: float,
    env: dict[str, str],
    progress: bool,
) -> None:
    """Execute ``notebook`` into ``copy``. ``time_limit`` in seconds is for all its cells together.

    Raises EmolibError naming notebook, cell and the last line of the error. The kernel is ended on
    every way out, an interrupt included.
    """
    import nbclient.exceptions
    import papermill

    register_engine()
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        papermill.execute_notebook(
            notebook,
            copy,
            parameters,
            engine_name=ENGINE,
            kernel_name="python3",
            language="python",
            start_timeout=120,
            autosave_cell_every=0,
            progress_bar=BAR | {"desc": notebook.stem} if progress else False,
            time_limit=time_limit,
            env=env,
            folder=str(notebook.parent),
        )
    except papermill.PapermillExecutionError as error:
        last = error.evalue.strip().split("\n")[-1]
        raise EmolibError(
            f"{notebook.name}: {_cell(notebook, error.source)} failed: {error.ename}: {last}; "
            f"see {copy}"
        ) from error
    except nbclient.exceptions.CellTimeoutError as error:
        raise EmolibError(
            f"{notebook.name}: {_running(notebook, copy)} passed the time limit "
            f"of {time_limit:g} s; {STOPPED_HINT}"
        ) from error
    except nbclient.exceptions.DeadKernelError as error:
        raise EmolibError(
            f"{notebook.name}: the kernel died in {_running(notebook, copy)}; "
            "is there enough memory?"
        ) from error


def _cell(notebook: Path, source: str) -> str:
    """``cell 4 (`first line`)``, counted from 1 in the source notebook."""
    cells = ["".join(cell["source"]) for cell in read_json(notebook)["cells"]]
    first = next(
        (line for line in source.split("\n") if line.strip() and not line.startswith("#")), ""
    ).strip()
    number = (
        f"cell {cells.index(source) + 1}" if source in cells else "the injected parameters cell"
    )
    return f"{number} (`{first[:60]}`)"


def _running(notebook: Path, copy: Path) -> str:
    """The cell that an interrupted execution stood in:
    the last one that papermill marked as started in the copy.
    """
    cells = [cell for cell in read_json(copy)["cells"] if cell["cell_type"] == "code"]
    started = [cell for cell in cells if cell["metadata"].get("papermill", {}).get("start_time")]
    return _cell(notebook, "".join(started[-1]["source"])) if started else "its first cell"


def register_engine() -> None:
    """Make the engine known to papermill under the name ``ENGINE``."""
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine, papermill_engines

    class IpcEngine(NBClientEngine):
        """papermill's own engine, with a kernel manager on IPC and a limit for
        the sum of all cells.
        """

        @classmethod
        def execute_managed_notebook(
            cls, nb_man, kernel_name, *, time_limit, env, folder, start_timeout=60, **_ignored
        ):  # type: ignore[override]
            deadline = time.monotonic() + time_limit
            with socket_folder() as sockets:
                client = PapermillNotebookClient(
                    nb_man,
                    km=ipc_manager(sockets),
                    startup_timeout=start_timeout,
                    shutdown_kernel="immediate",
                    timeout_func=lambda _cell: max(1, round(deadline - time.monotonic())),
                )
                # ours alone: ended with the notebook, also when a cell or a signal stops it
                client.owns_km = True
                client.execute(env=env, cwd=folder, stdout=STDERR)

    papermill_engines.register(ENGINE, IpcEngine)


@contextmanager
def socket_folder() -> Iterator[Path]:
    """A new private folder whose path is short enough for sockets, removed at the end;
    those that killed processes left behind are removed too.
    """
    short = len(tempfile.gettempdir().encode()) < LONGEST_SOCKET - len(SOCKETS) - 10
    base = Path(tempfile.gettempdir() if short else "/tmp")
    for folder in base.glob(f"{SOCKETS}*"):
        if _is_left_behind(folder):
            shutil.rmtree(folder, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=SOCKETS, dir=base))
    try:
        with locked(folder / "lock"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_left_behind(folder: Path) -> bool:
    """Whether ``folder`` is ours, and no living process holds its lock."""
    try:
        settled = time.time() - folder.stat().st_mtime > SETTLED
        lock = folder / "lock"
        return settled and lock.is_file() and not is_locked(lock)
    except (OSError, EmolibError):  # of another user, or just removed by another process
        return False


def ipc_manager(sockets: Path) -> Any:
    """A manager of one kernel of the running Python (whatever kernels Jupyter has installed),
    on sockets in ``sockets``.
    """
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            command = [
                sys.executable,
                "-Xfrozen_modules=off",
                "-m",
                "emolib.pipeline.kernel",
                "-f",
                "{connection_file}",
            ]
            return KernelSpec(argv=command, display_name="Python 3", language="python")

    return AsyncKernelManager(
        kernel_name="python3",
        kernel_spec_manager=ThisPython(),
        transport="ipc",
        connection_file=str(sockets / "kernel.json"),
    )


def launch() -> None:
    """What the kernel's process runs: ipykernel without the port on which it
    collects the output of forked processes.
    """
    from ipykernel import kernelapp
    from ipykernel.iostream import IOPubThread

    class OffTcp(IOPubThread):
        def __init__(self, socket: Any, pipe: bool = False, **kwargs: Any) -> None:
            super().__init__(socket, pipe=False, **kwargs)

    kernelapp.IOPubThread = OffTcp  # type: ignore[misc, assignment]
    kernelapp.launch_new_instance()


if __name__ == "__main__":
    launch()
