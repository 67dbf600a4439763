"""A generated tree in a folder of the reader's choice, as a whole or not at all."""

import shutil
import tempfile
from pathlib import Path

from emolib.config import Experiment
from emolib.data.layout import ANNOTATION_FOLDERS
from emolib.data.synthetic.tree import write_tree
from emolib.errors import EmolibError


def export_tree(experiment: Experiment, root: Path, *, progress: bool = True) -> None:
    """Write the whole data set into ``root``, which is made where it is missing.

    The annotations come last, beside the mark of a generated tree: a call that is stopped leaves
    nothing that could be read as real data. Raises EmolibError where ``root`` is not empty.
    """
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise EmolibError(f"{root}: not empty; choose a new folder for the generated data set")
    partial = Path(tempfile.mkdtemp(dir=root, prefix=".partial-"))
    try:
        write_tree(experiment, partial, progress=progress)
        for path in sorted(partial.iterdir(), key=lambda path: path.name in ANNOTATION_FOLDERS):
            path.rename(root / path.name)
    finally:
        shutil.rmtree(partial)
