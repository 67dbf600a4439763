"""Emotions of a video without any training: CLIP's image and text towers alone, frame by frame.

Each face is compared with one prompt a class, as the paper's text tower is prompted (section 3.1),
and takes the softmax of the cosines times CLIP's own temperature.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from emolib.config import Experiment, preset
from emolib.encoders.clip import VisualEncoder
from emolib.encoders.folders import find_folder
from emolib.encoders.load import load_visual
from emolib.errors import WrongCall, all_or_every_reason, nearest
from emolib.features.origin import has_random_weights
from emolib.labels import NUM_CLASSES, prompts
from emolib.system.device import device
from emolib.video.choice import FaceChoice
from emolib.video.detection import THOROUGH, FaceFinder
from emolib.video.observation import Observation
from emolib.video.options import PROMPT_SETS
from emolib.video.predictor import Predicted, check_faces, features_by, load_finder, sequences
from emolib.video.reading import ReadsVideos
from emolib.video.sampling import RATE
from emolib.video.watching import watch
from emolib.windows import smooth

LIMITS = (
    "zero-shot: single still faces against CLIP's prompts, without training and without sound;"
    " the probabilities are not calibrated: compare frames of one video by them, not two videos"
)


def encoder_experiment(weights: str) -> Experiment:
    """The paper's visual encoder.

    ``weights``: a folder that holds it, or that holds folders of weights as ``--weights`` does;
    empty for Hugging Face's cache; ``synthetic`` for the package's own encoder.
    """
    paper = preset("paper", modalities="visual", fusion="concat", contrastive_weight=0.0)
    if weights == "synthetic":
        return paper.replace(visual_encoder="synthetic", audio_encoder="synthetic")
    return paper.replace(weights=weights)


def class_features(encoder: VisualEncoder, prompt_set: str) -> torch.Tensor:
    """One direction a class, float32 ``[8, width]`` of length one: the mean of the set's templates.

    Raises WrongCall for an unknown set.
    """
    if prompt_set not in PROMPT_SETS:
        raise WrongCall(
            f"prompts={prompt_set!r}: choose one of {', '.join(PROMPT_SETS)}"
            f"{nearest(prompt_set, PROMPT_SETS)}"
        )
    texts = [normalize(encoder.prompts(prompts(text)), dim=1) for text in PROMPT_SETS[prompt_set]]
    return normalize(torch.stack(texts).mean(dim=0), dim=1)


def zero_shot_probabilities(
    features: torch.Tensor, class_features: torch.Tensor, logit_scale: float
) -> torch.Tensor:
    """``[N, 8]`` from raw image features ``[N, width]``."""
    cosines = normalize(features.float(), dim=1) @ class_features.T
    return (logit_scale * cosines).softmax(dim=1)


@dataclass(frozen=True, eq=False)
class ZeroShot(ReadsVideos):
    """CLIP with one prompt a class, ready for any number of videos;
    the same to use as a Predictor.
    """

    visual: VisualEncoder
    finder: FaceFinder | None  # None: nothing is detected
    faces: str  # one of options.WHICH_FACES
    origin: str  # of the weights; empty: real
    prompt_set: str  # one of options.PROMPT_SETS
    smooth_seconds: float  # either side of a frame; 0: each frame alone
    experiment: Experiment
    name: str = "zero-shot"
    audio: None = None
    sees: bool = True

    @classmethod
    def load(
        cls,
        weights: str = "",
        detector: Path | str | None = None,
        faces: str = "tracked",
        *,
        prompt_set: str = "paper",
        smooth_seconds: float = 0.0,
        where: str = "",
    ) -> "ZeroShot":
        """``weights`` as :func:`encoder_experiment` takes them;
        ``faces``: one of ``options.WHICH_FACES``.

        Raises EmolibError when weights or the face detector are missing,
        WrongCall for a choice that there is not.
        """
        check_faces(faces)
        if not smooth_seconds >= 0:
            raise WrongCall(f"smoothing of {smooth_seconds} s: expected 0 seconds or more")
        experiment = encoder_experiment(weights)
        finder, _ = all_or_every_reason(
            lambda: load_finder(detector, faces, needed=True),
            lambda: find_folder(experiment.visual_encoder, experiment.weights, "visual"),
        )
        visual = load_visual(experiment, where or device())
        class_features(visual, prompt_set)  # an unknown set fails before any work
        synthetic = ["synthetic"] * (experiment.visual_encoder == "synthetic")
        random = ["random weights"] * has_random_weights(experiment)
        return cls(
            visual=visual,
            finder=finder,
            faces=faces,
            origin=", ".join(synthetic + random),
            prompt_set=prompt_set,
            smooth_seconds=smooth_seconds,
            experiment=experiment,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What the probabilities depend on, for the summary."""
        return {
            "run": self.name,
            "encoder": self.experiment.visual_encoder,
            "modalities": "visual",
            "prompts": list(PROMPT_SETS[self.prompt_set]),
            "smooth_seconds": self.smooth_seconds,
            "limits": LIMITS,
        }

    def observe(
        self,
        video: Path,
        *,
        rotate: int = 0,
        fps: float = RATE,
        detector_size: int = THOROUGH,
        progress: bool = True,
    ) -> Observation:
        """As ``Predictor.observe``, without the sound."""
        choose = FaceChoice(
            self.faces,
            self.finder,
            self.experiment.crops,
            features=features_by(self.visual),
            detector_size=detector_size,
            fps=fps,
        )
        return watch(video, choose, self.visual, fps=fps, rotate=rotate, progress=progress)

    def probabilities(self, observation: Observation, *, progress: bool = True) -> Predicted:
        """For the R faces of ``observation``, each from its own frame,
        smoothed over its person's neighbouring ones.
        """
        count = len(observation.frame)
        directions = class_features(self.visual, self.prompt_set)
        features = torch.from_numpy(observation.visual.read(0, count)).to(directions.device)
        by_face = zero_shot_probabilities(features, directions, self.visual.logit_scale)
        values = by_face.cpu().numpy().astype(np.float64).reshape(-1, NUM_CLASSES)
        half_width = round(self.smooth_seconds / observation.picture_seconds)
        first, last = observation.frame.copy(), observation.frame.copy()
        for rows, frames in sequences(observation, sees=True):
            values[rows] = smooth(values[rows], "box", half_width)
            place = np.arange(len(frames))
            first[rows] = frames[(place - half_width).clip(min=0)]
            last[rows] = frames[(place + half_width).clip(max=len(frames) - 1)]
        nothing = np.zeros(count, bool)
        return Predicted(values, heard=nothing, first=first, last=last, copied=nothing)
