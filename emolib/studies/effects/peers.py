"""What other entries of the challenge train with and the paper does not (docs/method.md, Peers).

The mean of the last four audio layers is not among them: the benchmark's small encoder has one.
"""

from collections.abc import Mapping
from typing import Any

from emolib.studies.calibration import known
from emolib.studies.calibration.known import short_windows
from emolib.studies.effects.study import Side, Study


def _side(name: str, title: str, changes: Mapping[str, Any]) -> Side:
    return Side(name, title, changes, short_windows, short_windows)


PEERS = Study(
    name="peers",
    module=__name__,
    question="What do the peers' ways of training change?",
    known="A model that has lost a stream should keep what the other one tells: of equal classes "
    "at most 0.75 by faces in 60 frames, 0.17 by the voice.",
    sides=(
        _side("full", "The paper's", {}),
        _side("modality_dropout", "Modality dropout, 0.3", {"modality_dropout": 0.3}),
        _side("focal", "Focal loss, gamma 2", {"focal_gamma": 2.0}),
        _side("class_targets", "Contrastive, class targets", {"contrastive_targets": "classes"}),
    ),
    shown=("no_sound", "no_faces", "calibration_error"),
    settings={"window": known.SHORT // known.EVERY},
)
