"""``EmotionModel``: TCN, audio adapter, fusion, pooling, classifier and contrastive head (paper section 3, FACTS section 1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from emolib.config import Experiment
from emolib.dropout import Dropout
from emolib.fusion import Fusion, masked_mean
from emolib.labels import NUM_CLASSES
from emolib.tcn import TCN

VISUAL_WIDTH = 512  # D_v, width of CLIP's space
AUDIO_WIDTH = 768  # D_a


class EmotionModel(nn.Module):
    """Features of a window to emotion logits; 12,863,240 parameters at the paper's values.

    The training set's feature statistics and class shares are buffers, so a saved model is complete:
    ``visual_mean``, ``visual_std`` [512], ``audio_mean``, ``audio_std`` [768] (0 and 1 without standardising) and
    ``class_prior`` [8].
    """

    def __init__(self, experiment: Experiment) -> None:
        super().__init__()
        e, width = experiment, experiment.width
        self.experiment = experiment
        self.sees, self.hears = e.modalities != "audio", e.modalities != "visual"
        if self.sees:
            self.tcn = _visual_path(e)
            self.contrastive = nn.Linear(width, VISUAL_WIDTH)
        if self.hears:
            self.adapter = nn.Sequential(
                nn.Linear(AUDIO_WIDTH, width),
                nn.LayerNorm(width),
                nn.ReLU(),
                Dropout(e.adapter_dropout),
            )
        if self.sees and self.hears:
            self.fusion = Fusion(e.fusion, width, e.attention_heads, e.attention_dropout)
        pooled = width * (self.sees + self.hears)
        self.classifier = nn.Sequential(
            nn.Linear(pooled, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            Dropout(e.classifier_dropout),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            Dropout(e.classifier_dropout),
            nn.Linear(width // 2, NUM_CLASSES),
        )
        for name, size in (("visual", VISUAL_WIDTH), ("audio", AUDIO_WIDTH)):
            self.register_buffer(f"{name}_mean", torch.zeros(size))
            self.register_buffer(f"{name}_std", torch.ones(size))
        self.register_buffer("class_prior", torch.full((NUM_CLASSES,), 1 / NUM_CLASSES))

    def forward(
        self, visual: Tensor | None, audio: Tensor | None, audio_length: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Raw features of a batch of windows to logits [B, 8] and the l2-normalised contrastive embedding [B, 512].

        visual [B, T, 512], audio [B, S, 768], audio_length [B] valid audio steps, 0 where there is no sound (None: all
        are valid). A stream the model does not use may be None; without a visual stream the embedding is None.
        """
        visual = None if visual is None else self.standardised(visual, "visual")
        audio = None if audio is None else self.standardised(audio, "audio")
        return self.decide(visual, audio, audio_length)

    def standardised(self, features: Tensor, stream: str) -> Tensor:
        """Features [..., D] of ``stream`` (``visual`` or ``audio``) in float32, by the training set's mean and deviation."""
        mean, std = self.get_buffer(f"{stream}_mean"), self.get_buffer(f"{stream}_std")
        return (features.to(mean.dtype) - mean) / std

    def decide(
        self, visual: Tensor | None, audio: Tensor | None, audio_length: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """:meth:`forward` for features that are standardised already."""
        if self.sees:
            assert visual is not None, "this model needs the visual stream"
            if self.experiment.visual_frames == "centre":
                visual = visual[:, visual.shape[1] // 2 :][:, :1]
            visual = self.tcn(visual)  # [B, T, width]
        if self.hears:
            assert audio is not None, "this model needs the audio stream"
            audio = self.adapter(audio)  # [B, S, width]
        if self.sees and self.hears:
            visual, audio = self.fusion(visual, audio, audio_length)
        pooled = []
        if self.sees:
            pooled.append(visual.mean(dim=1))  # type: ignore[union-attr]
        if self.hears:
            pooled.append(masked_mean(audio, audio_length))  # type: ignore[arg-type]
        logits = self.classifier(torch.cat(pooled, dim=1)).float()  # [B, 8]
        embedding = (
            functional.normalize(self.contrastive(pooled[0]).float(), dim=1) if self.sees else None
        )
        return logits, embedding

    def parameter_count(self) -> int:
        """Number of trained numbers; buffers and the contrastive scale (in the loss) are not counted."""
        return sum(parameter.numel() for parameter in self.parameters())


def _visual_path(e: Experiment) -> nn.Module:
    if e.tcn_blocks:
        return TCN(
            VISUAL_WIDTH, e.width, blocks=e.tcn_blocks, kernel=e.tcn_kernel, rate=e.tcn_dropout
        )
    return nn.Linear(VISUAL_WIDTH, e.width) if e.width != VISUAL_WIDTH else nn.Identity()
