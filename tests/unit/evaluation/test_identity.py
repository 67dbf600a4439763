"""The modules that make a run's numbers are those that its training and its scoring import."""

from emolib.evaluation.identity import MODULES
from tests.support.package import imported

ROOTS = {"emolib.training.run", "emolib.training.stacked"}
# Encoders and settings have identities of their own; of the others READING alone decides numbers.
READING = {
    "emolib.data.affwild2",
    "emolib.data.annotations",
    "emolib.data.datasets",
    "emolib.data.recordings",
    "emolib.data.ravdess",
    "emolib.data.crema_d",
    "emolib.system.device",
}
OTHER_ROOMS = {"", "errors", "system", "paper", "config", "data", "encoders"}
WITHOUT_INFLUENCE = {
    # What makes features: the feature store has an identity of its own.
    "emolib.features.extraction",
    "emolib.features.faces",
    "emolib.features.images",
    "emolib.features.sound_extraction",
    "emolib.features.store",
    "emolib.features.waveforms",
    "emolib.features.work",
    # What is said beside a number.
    "emolib.features.origin",
    # Whether a run is trained at all: by which code, from which data and weights it was made.
    "emolib.evaluation.identity",
    "emolib.training.claim",
    "emolib.features.sources",
    # Empty.
    "emolib.evaluation",
    "emolib.features",
}


def reached(imports=imported):
    """Modules outside OTHER_ROOMS that ROOTS import, directly or by another."""
    known, waiting = set(ROOTS), list(ROOTS)
    while waiting:
        new = {name for name in imports(waiting.pop()) if room(name) not in OTHER_ROOMS} - known
        known |= new
        waiting += new
    return known


def room(module):
    """``data`` of ``emolib.data.clip``; empty for the package itself."""
    return module.partition("emolib.")[2].partition(".")[0]


def test_every_module_that_trains_or_scores_is_in_the_identity():
    assert reached() - set(MODULES) == WITHOUT_INFLUENCE
    assert set(MODULES) == (reached() - WITHOUT_INFLUENCE) | READING


def test_a_new_file_of_the_model_would_be_found():
    def with_gate(module):
        if module == "emolib.model":
            return imported(module) | {"emolib.gate"}
        return set() if module == "emolib.gate" else imported(module)

    assert reached(with_gate) - reached() == {"emolib.gate"}
