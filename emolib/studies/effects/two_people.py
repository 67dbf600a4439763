"""A draw of the generated benchmark in which every video shows two people who share one sound.

The benchmark itself has one such video in twenty, too few to see what it is worth that the two lie
in two folds (docs/benchmark.md, What the peers do).
"""

import tempfile
from collections import defaultdict
from pathlib import Path

from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.mark import MARK, is_synthetic
from emolib.data.synthetic import place, tree
from emolib.data.synthetic.plan import ClipPlan, plan_clips
from emolib.system.files import write_json
from emolib.system.locks import locked

TIMES = 10  # so many times the clips of the benchmark are planned; 354 of them are of two people


def planned(experiment: Experiment, times: int = TIMES) -> list[list[ClipPlan]]:
    """The videos of two people, each with its two clips, of a benchmark ``times`` as large."""
    larger = experiment.replace(
        synth_train_clips=times * experiment.synth_train_clips,
        synth_validation_clips=times * experiment.synth_validation_clips,
        synth_test_clips=0,
    )
    clips_of: dict[str, list[ClipPlan]] = defaultdict(list)
    for clip in plan_clips(larger):
        clips_of[clip.video].append(clip)
    return [clips for clips in clips_of.values() if len(clips) == 2]


def ensure(experiment: Experiment, *, times: int = TIMES, progress: bool = True) -> Path:
    """The tree of :func:`planned` beside the benchmark's own, made if it is not there."""
    own = place(experiment)
    root = own.with_name(f"{own.name}-two-people-{times}")
    with locked(root.parent / f".{root.name}.lock"):
        if not is_synthetic(root):
            temporary = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}-"))
            _write(experiment, planned(experiment, times), temporary, progress)
            temporary.rename(root)
    return root


def _write(
    experiment: Experiment, videos: list[list[ClipPlan]], root: Path, progress: bool
) -> None:
    for clips in tqdm(videos, desc="generate", unit="video", disable=not progress):
        tree.write_video_and_crops(root, clips, experiment.synth_difficulty)
        for clip in clips:
            tree.write_annotation(root, clip)
    write_json(root / MARK, {"settings": experiment.settings("synth"), "two_people": len(videos)})
