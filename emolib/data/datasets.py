"""Which data set an experiment reads: the one place that chooses its reader and its classes."""

from pathlib import Path

from emolib.config import Experiment
from emolib.data import affwild2
from emolib.data.clip import Clip
from emolib.data.crema_d import CREMA_D, crowd_labels
from emolib.data.folds import in_folds
from emolib.data.ravdess import RAVDESS
from emolib.data.recordings import Collection, classes_of, read_collection
from emolib.errors import WrongCall, chosen
from emolib.labels import NUM_CLASSES

# Of each ``Experiment.dataset``; None: Aff-Wild2, which has splits and annotations of its own.
COLLECTIONS: dict[str, Collection | None] = {
    "affwild2": None,
    "ravdess": RAVDESS,
    "crema_d": CREMA_D,
}

LABELLED = {"train", "validation"}  # splits; a cross-validation divides both anew


def collection_of(dataset: str) -> Collection | None:
    """The collection of acted recordings that ``dataset`` names; None for Aff-Wild2."""
    return chosen("dataset", dataset, COLLECTIONS)


def can_show(experiment: Experiment) -> list[int]:
    """The classes that the experiment's data set can show, in order.

    Scores are means over these, and training does not ask for a window of the others.
    """
    collection = collection_of(experiment.dataset)
    if collection is None:
        return list(range(NUM_CLASSES))
    return classes_of(collection, experiment.no_counterpart)


def read_clips(
    experiment: Experiment,
    root: Path,
    splits: tuple[str, ...],
    *,
    template: Path | None = None,
    progress: bool = False,
) -> list[Clip]:
    """The clips of ``splits`` below ``root``, by the reader of ``experiment.dataset``.

    ``template``: the submission template that says which test clips there are. Of a
    cross-validation the held-out fold is the validation set, and the other folds train. Raises
    EmolibError for data that cannot be read, WrongCall for a test split where there is none.
    """
    e = experiment
    collection = collection_of(e.dataset)
    if collection is None:
        by_folds = e.cross_validation != "split" and bool(LABELLED & set(splits))
        clips = affwild2.read_tree(
            root,
            crops=e.crops,
            timing=e.timing,
            splits=tuple(sorted(LABELLED | set(splits))) if by_folds else splits,
            template=template,
            links_out=e.links_out,
            progress=progress,
        )
        if by_folds:
            clips = in_folds(clips, e.cross_validation, e.folds, e.fold)
        return [clip for clip in clips if clip.split in splits]
    by_crowd = chosen("label_source", e.label_source, {"intended": False, "crowd": True})
    if by_crowd and collection is not CREMA_D:
        raise WrongCall(f"label_source=crowd: {collection.title} has no table of votes")
    return read_collection(
        collection,
        root,
        fold=e.fold,
        folds=e.folds,
        no_counterpart=e.no_counterpart,
        labels=crowd_labels(root, e.modalities) if by_crowd else None,
        crops=e.crops,
        timing=e.timing,
        splits=splits,
        links_out=e.links_out,
        progress=progress,
    )
