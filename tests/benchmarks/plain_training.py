"""The same training as one would write it first: nn.Conv1d with padding and chomp, nn.MultiheadAttention, nn.Dropout,
a DataLoader over windows, plain AdamW, ``loss.item()`` every step. What ``emolib bench train`` compares with."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset


class PlainBlock(nn.Module):
    """One temporal block; x [B, C, T]."""

    def __init__(
        self, channels_in: int, width: int, kernel: int, dilation: int, rate: float
    ) -> None:
        super().__init__()
        self.chomp = (kernel - 1) * dilation
        self.conv1 = nn.Conv1d(channels_in, width, kernel, dilation=dilation, padding=self.chomp)
        self.conv2 = nn.Conv1d(width, width, kernel, dilation=dilation, padding=self.chomp)
        self.dropout = nn.Dropout(rate)
        self.project = nn.Conv1d(channels_in, width, 1) if channels_in != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.dropout(functional.relu(self.conv1(x)[:, :, : -self.chomp]))
        y = self.dropout(functional.relu(self.conv2(y)[:, :, : -self.chomp]))
        return functional.relu(self.project(x) + y)


class PlainModel(nn.Module):
    """EmotionModel at bidirectional fusion, with PyTorch's own layers."""

    def __init__(self, e: Any) -> None:
        super().__init__()
        width, rate = e.width, e.classifier_dropout
        self.blocks = nn.Sequential(
            *(
                PlainBlock(512 if i == 0 else width, width, e.tcn_kernel, 2**i, e.tcn_dropout)
                for i in range(e.tcn_blocks)
            )
        )
        self.adapter = nn.Sequential(
            nn.Linear(768, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(e.adapter_dropout)
        )
        self.attend = nn.ModuleDict(
            {
                name: nn.MultiheadAttention(
                    width, e.attention_heads, e.attention_dropout, batch_first=True
                )
                for name in ("visual", "audio")
            }
        )
        self.norm = nn.ModuleDict({name: nn.LayerNorm(width) for name in ("visual", "audio")})
        self.classifier = nn.Sequential(
            nn.Linear(2 * width, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            nn.Dropout(rate),
            nn.Linear(width, width // 2),
            nn.ReLU(),
            nn.Dropout(rate),
            nn.Linear(width // 2, 8),
        )
        self.contrastive = nn.Linear(width, 512)

    def forward(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.blocks(visual.transpose(1, 2)).transpose(1, 2)
        audio = self.adapter(audio)
        seen = self.norm["visual"](
            visual + self.attend["visual"](visual, audio, audio, need_weights=False)[0]
        ).mean(dim=1)
        heard = self.norm["audio"](
            audio + self.attend["audio"](audio, visual, visual, need_weights=False)[0]
        ).mean(dim=1)
        return self.classifier(torch.cat([seen, heard], dim=1)), functional.normalize(
            self.contrastive(seen), dim=1
        )

    @torch.no_grad()
    def copy_from(self, model: Any) -> "PlainModel":
        """Take the weights of an EmotionModel."""
        for plain, ours in zip(self.blocks, model.tcn.blocks, strict=True):
            for mine, theirs in ((plain.conv1, ours.first), (plain.conv2, ours.second)):
                mine.weight.copy_(theirs.weight)
                mine.bias.copy_(theirs.bias)
            if isinstance(plain.project, nn.Conv1d):
                plain.project.weight.copy_(ours.project.weight[:, :, None])
                plain.project.bias.copy_(ours.project.bias)
        for name in ("visual", "audio"):
            mine, theirs = self.attend[name], getattr(model.fusion, name)
            mine.in_proj_weight.copy_(torch.cat([theirs.query.weight, theirs.key_value.weight]))
            mine.in_proj_bias.copy_(torch.cat([theirs.query.bias, theirs.key_value.bias]))
            mine.out_proj.load_state_dict(theirs.out.state_dict())
            self.norm[name].load_state_dict(theirs.norm.state_dict())
        self.adapter.load_state_dict(model.adapter.state_dict())
        self.classifier.load_state_dict(model.classifier.state_dict())
        self.contrastive.load_state_dict(model.contrastive.state_dict())
        return self


class PlainWindows(Dataset):
    """A window as (visual [T, 512], audio [S, 768], label); standardised float32 features, sliced per item."""

    def __init__(self, windows: Any, model: Any) -> None:
        self.windows = windows
        self.visual = model.standardised(torch.from_numpy(windows.visual), "visual").cpu()
        self.audio = model.standardised(torch.from_numpy(windows.audio), "audio").cpu()

    def __len__(self) -> int:
        return len(self.windows.label)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, int]:
        w = self.windows
        start = int(w.audio_start[i])
        return (
            self.visual[torch.from_numpy(w.frames[i])],
            self.audio[start : start + int(w.audio_length[i])],
            int(w.label[i]),
        )


class PlainLoop:
    """The eager loop; the weights and the order come from a Trainer of emolib."""

    def __init__(self, trainer: Any, windows: Any) -> None:
        e = trainer.experiment
        self.e, self.device, self.low = (
            e,
            trainer.device,
            trainer.weights.rounded.dtype == torch.bfloat16,
        )
        self.model = PlainModel(e).copy_from(trainer.model).to(self.device).train()
        self.data = PlainWindows(windows, copy.deepcopy(trainer.model).cpu())
        self.weights = trainer.classification.weights
        self.prompts = trainer.contrastive.prompts
        self.log_scale = nn.Parameter(trainer.contrastive.log_scale.detach().clone())
        parameters = [
            {"params": list(self.model.parameters())},
            {"params": [self.log_scale], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(
            parameters, lr=e.learning_rate, weight_decay=e.weight_decay
        )

    def steps(self, order: Tensor, learning_rates: list[float]) -> Iterator[float]:
        """Train on the windows ``order`` [n] in their order; the loss of each step."""
        loader = DataLoader(self.data, batch_size=self.e.batch_size, sampler=order.tolist())
        for (visual, audio, label), rate in zip(loader, learning_rates, strict=False):
            visual, audio, label = (
                visual.to(self.device),
                audio.to(self.device),
                label.to(self.device),
            )
            with torch.autocast(
                torch.device(self.device).type, dtype=torch.bfloat16, enabled=self.low
            ):
                logits, embedding = self.model(visual, audio)
            loss = functional.cross_entropy(logits.float(), label, weight=self.weights)
            similarity = self.log_scale.exp() * embedding.float() @ self.prompts[label].T
            target = torch.arange(len(label), device=self.device)
            aligned = (
                functional.cross_entropy(similarity, target)
                + functional.cross_entropy(similarity.T, target)
            ) / 2
            loss = loss + self.e.contrastive_weight * aligned
            self.optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.e.clip_norm)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
            with torch.no_grad():
                self.log_scale.clamp_(max=float(np.log(100)))
            yield loss.item()
