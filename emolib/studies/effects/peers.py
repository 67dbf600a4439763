"""What other entries of the challenge train with and the paper does not (docs/method.md, Peers).

The mean of the last four audio layers is not among them: the benchmark's small encoder has one.
"""

from collections.abc import Mapping
from typing import Any

from emolib.studies.calibration import known
from emolib.studies.calibration.known import short_windows
from emolib.studies.effects.benchmark_study import BenchmarkStudy
from emolib.studies.effects.study import Side, Study


def _side(name: str, title: str, changes: Mapping[str, Any]) -> Side:
    return Side(name, title, changes, short_windows, short_windows)


QUESTION = "What do the peers' ways of training change?"
SHOWN = ("no_sound", "no_faces", "calibration_error")
FULL = _side("full", "The paper's", {})
MODALITY_DROPOUT = _side("modality_dropout", "Modality dropout, 0.3", {"modality_dropout": 0.3})
FOCAL = _side("focal", "Focal loss, gamma 2", {"focal_gamma": 2.0})

PEERS = Study(
    name="peers",
    module=__name__,
    question=QUESTION,
    known="A model that has lost a stream should keep what the other one tells: of equal classes "
    "at most 0.75 by faces in 60 frames, 0.17 by the voice.",
    sides=(
        FULL,
        MODALITY_DROPOUT,
        FOCAL,
        _side("class_targets", "Contrastive, class targets", {"contrastive_targets": "classes"}),
    ),
    shown=SHOWN,
    settings={"window": known.SHORT // known.EVERY},
)

PEERS_ON_BENCHMARK = BenchmarkStudy(
    name="peers_on_benchmark",
    command="emolib effects peers --on-benchmark",
    question=QUESTION,
    known="On the generated benchmark, T = 60. A model that has lost a stream should keep what the "
    "other one tells: of equal classes at most 0.75 by faces, 0.17 by the voice.",
    sides=(FULL, MODALITY_DROPOUT, FOCAL),
    shown=SHOWN,
)
