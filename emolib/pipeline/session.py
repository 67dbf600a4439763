"""Where a notebook stands: its experiment, its run folder, and the kind of its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emolib.config import Experiment, check_data, format_settings, parse_settings, preset
from emolib.data.coverage import coverage_of, face_shares, told, told_of_clips
from emolib.data.mark import is_synthetic
from emolib.errors import WrongCall
from emolib.features.origin import origin
from emolib.system.files import hash_of
from emolib.system.runs import run_path

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Session:
    """What the parameters of a notebook stand for."""

    experiment: Experiment
    folder: Path  # of the run
    origin: str  # "synthetic", ... or empty for real data: of ``origin.origin``

    @property
    def default_folder(self) -> Path:
        """The run folder of the preset as it is, beside which a run of one's own is shown."""
        return self.folder.parent / self.experiment.preset

    @property
    def figures(self) -> Path:
        """Where tables and figures of the run go."""
        return self.folder / "figures"

    def show(self, figure: "Figure", name: str, *, alt: str) -> None:
        """Keep a figure under ``name`` in the run's figures and show it; ``alt``: in words."""
        from emolib.results import figures

        figures.show(figures.save(figure, name, self.figures), alt=alt)

    @cached_property
    def missing_data(self) -> str:
        """What captions say where fewer clips have annotations, or fewer frames a face, than in
        Aff-Wild2's official release; empty otherwise, for generated data and for other data sets.
        """
        data = self.experiment.data
        if self.experiment.dataset != "affwild2" or not data or is_synthetic(Path(data)):
            return ""
        from emolib.features.prepare import clips_of

        coverages = coverage_of(clips_of(self.experiment, progress=False))
        annotated = sum(coverage.split != "test" for coverage in coverages)
        return ", ".join(filter(None, [told_of_clips(annotated), told(face_shares(coverages))]))

    def caption(self, text: str, *, scores: bool = True) -> str:
        """``text`` with what kind of data the numbers are of, what is missing of it and, of a
        table of ``scores``, the arithmetic that the run's models were trained in.
        """
        from emolib.results import tables

        run = self.folder if scores else None
        return tables.caption(text, origin=self.origin, run=run, note=self.missing_data)

    def table(
        self, table: "pd.DataFrame", name: str, caption: str, *, scores: bool = True
    ) -> "pd.DataFrame":
        """Keep a table under ``name`` in the run's figures; returns it for display.

        The caption says what the numbers are made from (:meth:`caption`).
        """
        from emolib.results import tables

        full = self.caption(caption, scores=scores)
        return tables.write(table, name, self.figures, caption=full)

    def record(
        self, notebook: str, metrics: Mapping[str, Any], summary: Mapping[str, Any] | None = None
    ) -> "pd.DataFrame":
        """Keep a notebook's named metrics, and what it adds to the run's summary."""
        from emolib.results import tables

        return tables.record(self.folder, notebook, metrics, summary)


def begin(
    preset_name: str,
    name: str = "",
    data: str = "",
    weights: str = "",
    settings: str = "",
    *,
    needs: Sequence[str] = (),
) -> Session:
    """The session of a notebook's parameters.

    With an empty ``name`` the preset as it is has the run folder of its name, and changed
    ``settings`` have a run folder of their own. Raises WrongCall for an unknown preset or setting,
    for a preset of real data without data, for a name that cannot be a run's, and where the
    experiment lacks one of the streams that the notebook ``needs``. Long texts in tables are shown
    whole from here on.
    """
    import pandas as pd

    pd.set_option("display.max_colwidth", None)
    changes = parse_settings(settings)
    experiment = preset(preset_name, data=data, weights=weights, **changes)
    check_data(experiment)
    if missing := set(needs) - set(experiment.streams):
        raise WrongCall(
            f"modalities={experiment.modalities}: this notebook looks into the {missing.pop()} "
            "stream; notebooks 1, 4, 5 and 6 do without"
        )
    folder = run_path(name or run_name(experiment))
    return Session(experiment, folder, origin(experiment))


def run_name(experiment: Experiment) -> str:
    """The preset's name, followed by six digits of a hash where settings differ from it."""
    changes = format_settings(experiment)
    return f"{experiment.preset}_{hash_of(changes)[:6]}" if changes else experiment.preset
