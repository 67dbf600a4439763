"""``emolib.predict``: the emotions of videos as a DataFrame."""

import os
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

from emolib.errors import EmolibError, WrongCall, nearest
from emolib.system.files import runs_root
from emolib.video.predict import Options, Videos, results


def predict(
    videos: Videos,
    run: str | os.PathLike[str] = "demo",
    *,
    out: str | os.PathLike[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """The emotions in ``videos``: one row a frame, with times, faces and probabilities.

    ``videos``: a path of a file or a folder, or several of them; ``run``: a run's folder, or its
    name under runs/; ``out``: also write the files of ``emolib predict`` there; ``options`` as on
    the command line: ``detector``, ``detector_size``, ``faces``, ``zero_shot``, ``weights``,
    ``prompts``, ``smooth``, ``rotate``, ``fps``, ``device``, ``threads``, ``annotate``,
    ``overwrite``, ``skip_existing``, ``recursive``, ``timeline``, ``progress`` (off unless asked
    for).

    The columns are those of predictions.csv (``emolib.video.options.COLUMNS`` says what each means)
    after ``video``, the path as given. ``attrs["summaries"]`` holds the summaries,
    ``attrs["failures"]`` a line for each video that failed, which is also a warning. Raises
    WrongCall for a call that cannot work, EmolibError where every video fails.

        >>> rows = emolib.predict("clip.mp4", detector="yunet.onnx")
        >>> rows = emolib.predict(["a.mp4", "b.mp4"], zero_shot=True, weights="weights")
    """
    names = Options.__dataclass_fields__
    for name in options:
        if name not in names:
            raise WrongCall(f"predict: no option {name!r}{nearest(name, names)}")
    chosen = Options(**{"progress": False, **options})
    tables, summaries, failures = [], [], []
    for result in results(videos, _folder(run), Path(out) if out else None, chosen, _ignore):
        if result.rows is None:
            failures.append(result.failure)
            warnings.warn(result.failure, stacklevel=2)
        else:
            result.rows.insert(0, "video", str(result.video))
            tables.append(result.rows)
            summaries.append(result.summary)
    if not tables:
        raise EmolibError("; ".join(failures))
    rows = pd.concat(tables, ignore_index=True)
    rows.attrs |= {"summaries": summaries, "failures": failures}
    return rows


def _folder(run: str | os.PathLike[str]) -> Path:
    """The folder of a run given by path or by name."""
    below = runs_root() / run
    return below if (below / "experiment.json").is_file() else Path(run)


def _ignore(line: str) -> None:
    """What the console would be told is in the summaries."""
