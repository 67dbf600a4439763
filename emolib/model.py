"""``EmotionModel``: a window's features to the logits of eight emotions (section 3, figure 1)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from emolib.config import Experiment
from emolib.errors import chosen
from emolib.fusion import Fusion, masked_mean
from emolib.labels import NUM_CLASSES
from emolib.tcn import TCN


class EmotionModel(nn.Module):
    """TCN, audio adapter, cross-attention, pooling, classifier and contrastive head.

    As published it has 12,863,240 parameters. visual_width: D_v, numbers per face (512 for CLIP
    ViT-B/32); audio_width: D_a, numbers per step of sound (768 for Wav2Vec2 base). The training
    set's statistics are buffers, so that a saved model is complete: ``visual_mean``,
    ``visual_std`` [D_v], ``audio_mean``, ``audio_std`` [D_a] (0 and 1 unless ``standardise``) and
    ``class_prior`` [8].
    """

    def __init__(
        self, experiment: Experiment, visual_width: int = 512, audio_width: int = 768
    ) -> None:
        super().__init__()
        e, width = experiment, experiment.width
        self.experiment = experiment
        self.sees, self.hears = "visual" in e.streams, "audio" in e.streams
        self.still = chosen("visual_frames", e.visual_frames, {"all": False, "centre": True})
        if self.sees:  # section 3.2, visual TCN; 3.5, projection into CLIP's space
            self.tcn = visual_path(e, visual_width)
            self.contrastive = nn.Linear(width, visual_width)
        if self.hears:  # section 3.2, audio adapter
            self.adapter = nn.Sequential(
                nn.Linear(audio_width, width),
                nn.LayerNorm(width),
                nn.ReLU(),
                nn.Dropout(e.adapter_dropout),
            )
        if self.sees and self.hears:  # section 3.3
            self.fusion = Fusion(e.fusion, width, e.attention_heads, e.attention_dropout)
        self.classifier = nn.Sequential(  # section 3.4
            nn.Linear(width * (self.sees + self.hears), width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Dropout(e.classifier_dropout),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Dropout(e.classifier_dropout),
            nn.Linear(width // 2, NUM_CLASSES),
        )
        for stream, size in (("visual", visual_width), ("audio", audio_width)):
            self.register_buffer(f"{stream}_mean", torch.zeros(size))
            self.register_buffer(f"{stream}_std", torch.ones(size))
        self.register_buffer("class_prior", torch.full((NUM_CLASSES,), 1 / NUM_CLASSES))

    def forward(
        self, visual: Tensor | None, audio: Tensor | None, audio_length: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Features of a batch of windows to logits [B, 8] and l2-normalised embedding v [B, D_v].

        visual [B, T, D_v]; audio [B, S, D_a]; audio_length int64 [B], valid steps of sound, 0 where
        there is none (None: all are valid). A stream that the model does not use may be None;
        without faces the embedding is None.
        """
        faces = sound = None
        if self.sees:
            assert visual is not None, "this model needs the visual stream"
            if self.still:
                visual = visual[:, visual.shape[1] // 2, None]
            faces = self.tcn(self.standardised(visual, "visual"))  # F_v: (B, T, width)
        if self.hears:
            assert audio is not None, "this model needs the audio stream"
            sound = self.adapter(self.standardised(audio, "audio"))  # F_a: (B, S, width)
        if faces is not None and sound is not None:
            faces, sound, *_ = self.fusion(faces, sound, audio_length)  # H_V2A, H_A2V
        pooled = []
        if faces is not None:
            pooled.append(masked_mean(faces))  # (B, width)
        if sound is not None:
            pooled.append(masked_mean(sound, audio_length))
        logits = self.classifier(torch.cat(pooled, dim=1)).float()  # z, (B, 2 width), to (B, 8)
        if faces is None:
            return logits, None
        return logits, functional.normalize(self.contrastive(pooled[0]).float(), dim=1)

    def standardised(self, features: Tensor, stream: str) -> Tensor:
        """Features [..., D] of ``stream`` in float32, by the training set's mean and deviation."""
        mean, std = self.get_buffer(f"{stream}_mean"), self.get_buffer(f"{stream}_std")
        return (features.to(mean.dtype) - mean) / std

    def parameter_count(self) -> int:
        """How many numbers are trained, without the contrastive scale, which is the loss's."""
        return sum(parameter.numel() for parameter in self.parameters())


def visual_path(e: Experiment, visual_width: int) -> nn.Module:
    """The TCN; without blocks, so without time, at most a linear map to the model's width."""
    if e.tcn_blocks:
        return TCN(
            visual_width, e.width, blocks=e.tcn_blocks, kernel=e.tcn_kernel, dropout=e.tcn_dropout
        )
    return nn.Linear(visual_width, e.width) if e.width != visual_width else nn.Identity()
