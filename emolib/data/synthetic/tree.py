"""Write the planned clips as a data set in the exact Aff-Wild2 tree,
with the known answers beside it.

``EXPR_Recognition_Challenge/{Train,Validation}_Set/<id>.txt``, ``cropped_aligned/<id>/00001.jpg``,
``batch{1,2}/<video>.mp4`` and the test list with its template (docs/data.md); ``ceilings.json``,
``latents/`` and, last, ``SYNTHETIC.json``, which marks the tree as complete.
"""

import multiprocessing
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.data.mark import MARK, is_synthetic
from emolib.data.media import write_video
from emolib.data.synthetic.faces import SIZE, Pose, draw_identity, render
from emolib.data.synthetic.observer import INPUTS, ceiling_row
from emolib.data.synthetic.plan import ClipPlan, plan_clips
from emolib.data.synthetic.voices import RATE, draw_speaker, speak
from emolib.errors import EmolibError
from emolib.labels import EXPRESSIONS, class_counts
from emolib.system.files import cache_root, read_json, write_json, write_text
from emolib.system.locks import locked
from emolib.system.process import end_with

ANNOTATIONS = {"train": "Train_Set", "validation": "Validation_Set"}
TEST_LISTS = "names_of_videos_in_each_test_set"
TEST_LIST = "Expression_Recognition_Challenge_test_set_release.txt"
TEMPLATE = "CVPR_6th_ABAW_Expr_test_set_example.txt"
JPEG_QUALITY = 90
CEILING_WINDOWS = (10, 15, 30, 60, 90)
CEILING_STRIDE = (
    15  # frames between the windows of ceilings.json: the tree does not depend on the setting
)


def ensure(experiment: Experiment, *, progress: bool = True) -> Path:
    """The generated tree of the ``synth_*`` settings, made if it is not there;
    two processes make it once.
    """
    root = cache_root() / "synthetic" / experiment.fingerprint("synth")
    if (root / MARK).is_file():
        return root
    with locked(root.parent / f".{root.name}.lock"):
        if not (root / MARK).is_file():
            for left in root.parent.glob(f".{root.name}-*"):  # of a run that was killed
                shutil.rmtree(left)
            temporary = Path(tempfile.mkdtemp(dir=root.parent, prefix=f".{root.name}-"))
            write_tree(experiment, temporary, progress=progress)
            temporary.rename(root)
    return root


def write_tree(experiment: Experiment, root: Path, *, progress: bool = True) -> None:
    """Write the whole data set into ``root``, which must be empty.

    Raises EmolibError when it is not.
    """
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise EmolibError(f"{root}: not empty; choose a new folder for the generated data set")
    clips = plan_clips(experiment)
    videos = [list(group) for _, group in groupby(clips, key=lambda clip: clip.video)]
    bar = tqdm(total=len(clips), desc="generate", unit="clip", disable=not progress, mininterval=1)
    # Spawned, not forked: the caller may have threads (torch, PyAV, Jupyter),
    # whose locks a fork would inherit for ever.
    context = multiprocessing.get_context("spawn")
    with (
        bar,
        ProcessPoolExecutor(
            os.cpu_count(), context, initializer=_start, initargs=(os.getpid(),)
        ) as pool,
    ):
        for done in pool.map(
            _write_video_and_crops,
            [root] * len(videos),
            videos,
            [experiment.synth_difficulty] * len(videos),
        ):
            bar.update(done)
    for clip in clips:
        _write_annotation(root, clip)
    _write_test_list(root, [clip for clip in clips if clip.split == "test"])
    write_json(
        root / "ceilings.json",
        {
            "method": "ideal observer on the generator's latent signals",
            "stride": CEILING_STRIDE,
            "rows": _ceilings(experiment, clips, CEILING_STRIDE),
        },
    )
    if experiment.synth_odd:
        from emolib.data.synthetic.oddities import plant

        write_json(root / "planted.json", plant(root))
    write_json(
        root / MARK,
        {
            "settings": experiment.settings("synth"),
            "clips": len(clips),
            "frames": sum(len(c.pitch) for c in clips),
        },
    )


def _start(parent: int) -> None:
    """Of a process that draws clips."""
    end_with(parent)
    cv2.setNumThreads(1)


def _write_video_and_crops(root: Path, clips: list[ClipPlan], difficulty: float) -> int:
    """One source video of one or two people, its sound and each person's crops;
    the number of clips.
    """
    first = clips[0]
    sound = _voice(first, difficulty)
    batch = "batch1" if first.seed % 2 else "batch2"
    faces = [_faces(clip) for clip in clips]

    def frames():
        for row in zip(*faces, strict=True):
            for clip, (frame, image) in zip(clips, row, strict=True):
                if not clip.missing[frame]:
                    _write_crop(root / "cropped_aligned" / clip.id / f"{frame + 1:05d}.jpg", image)
            yield np.concatenate([image for _, image in row], axis=1)

    write_video(
        root / batch / f"{first.video}.mp4",
        frames(),
        first.fps,
        sound,
        size=(SIZE * len(clips), SIZE),
    )
    for clip in clips:
        _write_latents(root, clip)
    return len(clips)


def _faces(clip: ClipPlan):
    rng = np.random.default_rng([clip.seed, 1])
    identity = draw_identity(np.random.default_rng(clip.person))
    for frame in range(len(clip.pitch)):
        pose = Pose(
            clip.pitch[frame], clip.yaw[frame], clip.roll[frame], clip.light, clip.blink[frame]
        )
        yield frame, render(identity, clip.expression[frame], pose, rng)


def _voice(clip: ClipPlan, difficulty: float) -> np.ndarray:
    rng = np.random.default_rng([clip.seed, 2])
    speaker = draw_speaker(np.random.default_rng(clip.speaker))
    edges = [round(s.first / clip.fps * RATE) for s in clip.segments] + [
        round(len(clip.pitch) / clip.fps * RATE)
    ]
    parts = [
        speak(speaker, s.quality, edges[i + 1] - edges[i], rng) for i, s in enumerate(clip.segments)
    ]
    sound = np.concatenate(parts)
    return (
        sound + rng.normal(0, 0.1 * difficulty, len(sound)).astype(np.float32)
        if difficulty
        else sound
    )


def _write_crop(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise EmolibError(f"{path}: OpenCV could not encode the image")
    path.write_bytes(data.tobytes())  # the tree as a whole appears by one rename


def _write_latents(root: Path, clip: ClipPlan) -> None:
    segments = [
        [s.first + 1, s.last, EXPRESSIONS[s.label], s.direction, s.quality] for s in clip.segments
    ]
    truth = {
        "video": clip.video,
        "split": clip.split,
        "fps": clip.fps,
        "segments": segments,
        "pitch": [round(float(p), 4) for p in clip.pitch],
    }
    write_json(root / "latents" / f"{clip.id}.json", truth)


def _write_annotation(root: Path, clip: ClipPlan) -> None:
    if clip.split in ANNOTATIONS:
        lines = [",".join(EXPRESSIONS), *map(str, clip.annotation.tolist())]
        write_text(
            root / "EXPR_Recognition_Challenge" / ANNOTATIONS[clip.split] / f"{clip.id}.txt",
            "\n".join(lines) + "\n",
        )


def _write_test_list(root: Path, clips: list[ClipPlan]) -> None:
    folder = root / TEST_LISTS
    write_text(folder / TEST_LIST, "".join(f"{clip.id}\n" for clip in clips))
    rows = [f"{clip.id}/{i:05d}.jpg," for clip in clips for i in range(1, len(clip.annotation) + 1)]
    write_text(
        folder / TEMPLATE, "\n".join(["image_location," + ",".join(EXPRESSIONS), *rows]) + "\n"
    )


def _ceilings(experiment: Experiment, clips: list[ClipPlan], stride: int) -> list[dict]:
    """A row for each set of inputs, window and protocol,
    for the class shares of the validation clips.

    ``stride``: frames between the windows of the window protocol, whose class shares depend on it.
    """
    annotations = [clip.annotation for clip in clips if clip.split == "validation"]
    rows = []
    for window in CEILING_WINDOWS:
        for protocol in ("frame", "window"):
            kept = (
                annotations
                if protocol == "frame"
                else [a[window - 1 :: stride] for a in annotations]
            )
            counts = class_counts(np.concatenate(kept)) if kept else np.zeros(len(EXPRESSIONS))
            if counts.sum():
                rows += [
                    ceiling_row(inputs, window, protocol, counts, experiment.synth_difficulty)
                    for inputs in INPUTS
                ]
    return rows


def ceilings(root: Path, stride: int = CEILING_STRIDE) -> list[dict]:
    """Rows with inputs, window, protocol, macro_f1, f1 of each class and pair_accuracy;
    none for real data.

    They are read from ``ceilings.json``, or computed for windows with another
    ``stride`` between them.
    """
    if not is_synthetic(root):
        return []
    known = read_json(Path(root) / "ceilings.json")
    if known.get("stride", CEILING_STRIDE) == stride:
        return known["rows"]
    experiment = Experiment().replace(**read_json(Path(root) / MARK)["settings"])
    return _ceilings(experiment, plan_clips(experiment), stride)


def labels_of(root: Path, clip_id: str) -> np.ndarray:
    """The true class of every frame of a generated clip, int8 ``[n]``,
    those of the test set included.
    """
    truth = read_json(Path(root) / "latents" / f"{clip_id}.json")
    labels = np.zeros(len(truth["pitch"]), np.int8)
    for first, last, name, *_ in truth["segments"]:
        labels[first - 1 : last] = EXPRESSIONS.index(name)
    return labels


def inputs_of(experiment: Experiment) -> str:
    """Which of INPUTS a model with these switches sees.

    Without the TCN a model sees an unordered set of frames, which by the generator's symmetry under
    reversal of time says no more of the motion pair than one frame does. The still frame is the
    window's middle one: last frames lie late in a clip,
    where the level alone tells which way it went (71 % of the pair instead of 50 %).
    """
    if experiment.modalities == "audio":
        return "voice"
    visual = (
        "still" if experiment.tcn_blocks == 0 or experiment.visual_frames == "centre" else "motion"
    )
    return visual if experiment.modalities == "visual" else f"{visual}+voice"


def ceiling(root: Path, experiment: Experiment, protocol: str) -> float:
    """The best macro-F1 for what this experiment's model sees.

    Raises EmolibError for a window without a row.
    """
    wanted = (inputs_of(experiment), experiment.window, protocol)
    for row in ceilings(root, experiment.stride):
        if (row["inputs"], row["window"], row["protocol"]) == wanted:
            return row["macro_f1"]
    raise EmolibError(
        f"{root}/ceilings.json: no row for {wanted}; "
        f"windows with a known ceiling: {CEILING_WINDOWS}"
    )
