"""M runs that differ in seed, learning rate or weight decay only, trained at once as one batched computation.

All weights of all models are rows of one tensor [M, P]. A step is the same chain of matrix products as in ``model``
with a leading model axis, one gradient [M, P], clipping by row, and AdamW on the whole. Each model has its own initial
weights, batches, dropout and best epoch, and equals the run trained alone up to rounding (with dropout: in law).
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from emolib.config import Experiment
from emolib.dropout import dropout
from emolib.errors import WrongCall
from emolib.features.batches import DeviceWindows
from emolib.fusion import attention, key_bias, step_mask
from emolib.losses import MAX_SCALE
from emolib.model import EmotionModel
from emolib.system.arithmetic import training_dtype
from emolib.system.device import run_threads
from emolib.system.files import hash_of
from emolib.tcn import CausalTaps
from emolib.training.cuda_graph import Replays
from emolib.training.run import Fitted, diverged, fitted, record
from emolib.training.state import damage_named, new_state, save_file
from emolib.training.trainer import Trainer, epoch_seed, grouped

if TYPE_CHECKING:
    from emolib.features.window_sets import WindowSet

FREE = (
    "preset",
    "seed",
    "learning_rate",
    "min_learning_rate",
    "weight_decay",
    "seeds",
    "windows",
    "weights",
)  # may differ
BETAS, EPSILON = (0.9, 0.999), 1e-8  # AdamW's, as torch.optim


def stack_key(experiment: Experiment) -> str:
    """Equal for experiments that can be trained as one stack."""
    return hash_of({name: value for name, value in vars(experiment).items() if name not in FREE})


class AdamW:
    """AdamW on rows: values [M, ...], learning rate and weight decay [M]; torch.optim's formula."""

    def __init__(self, values: Tensor, decay: Tensor) -> None:
        self.values, self.decay = values, decay
        self.first, self.second = torch.zeros_like(values), torch.zeros_like(values)
        self.steps = torch.zeros(
            (), dtype=torch.float64, device=values.device
        )  # there, so that a graph can count them

    @torch.no_grad()
    def step(self, gradient: Tensor, learning_rate: Tensor) -> None:
        """One update in place."""
        self.steps += 1
        shape = (-1,) + (1,) * (self.values.dim() - 1)
        rate = learning_rate.view(shape)
        self.values.mul_(1 - rate * self.decay.view(shape))
        self.first.lerp_(gradient, 1 - BETAS[0])
        self.second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        size = (self.second.sqrt() / (1 - BETAS[1] ** self.steps).sqrt()).add_(EPSILON)
        self.values.sub_(rate / (1 - BETAS[0] ** self.steps) * self.first / size)


class Stack:
    """The M runs of ``experiments`` on the same windows. Raises WrongCall when they differ in more than FREE."""

    def __init__(
        self,
        experiments: Sequence[Experiment],
        train: "WindowSet",
        prompts: np.ndarray,
        logit_scale: float,
        device: str,
    ) -> None:
        if len({stack_key(experiment) for experiment in experiments}) != 1:
            raise WrongCall(f"a stack needs experiments that differ in {', '.join(FREE)} only")
        self.experiments, self.device = list(experiments), device
        lead = Trainer(experiments[0], train, prompts, logit_scale, device)
        others = [
            Trainer(each, train, prompts, logit_scale, device, lead) for each in experiments[1:]
        ]
        self.singles = [lead, *others]
        self.model, self.windows, self.steps = lead.model, lead.windows, lead.steps
        self.names = [name for name, _ in self.model.named_parameters()]
        self.flat = torch.stack(
            [single.weights.vector.detach() for single in self.singles]
        ).requires_grad_()  # [M, P]
        self.log_scale = torch.stack(
            [single.contrastive.log_scale.detach() for single in self.singles]
        )  # [M]
        self.log_scale.requires_grad_(lead.contrastive.log_scale.requires_grad)
        decay = torch.tensor([experiment.weight_decay for experiment in experiments], device=device)
        self.optimiser, self.scale_optimiser = (
            AdamW(self.flat, decay),
            AdamW(self.log_scale, torch.zeros_like(decay)),
        )
        self.totals = torch.zeros(3, len(experiments), device=device)
        self.replays = Replays(self.windows.device) if self.windows.on_gpu else None
        self.training = True

    def epoch(self, epoch: int) -> list[dict[str, float]]:
        """Train one epoch, counted from 0; a row of history for each model."""
        e = self.experiments[0]
        torch.manual_seed(
            epoch_seed(
                e.seed,
                epoch,
                "dropout of " + ",".join(str(other.seed) for other in self.experiments),
            )
        )
        self.training = True
        self.totals.zero_()
        order = torch.stack([single.order(epoch) for single in self.singles])  # [M, N]
        steps = range(self.steps)
        rates = torch.tensor(
            [[single.learning_rate(epoch, step) for single in self.singles] for step in steps],
            device=self.device,
        )
        for group, rate in zip(
            grouped(order.to(self.device) if self.replays else order, e), rates, strict=True
        ):
            if self.replays:
                self.replays.run(self.advance, rate, *group)
            else:
                self.advance(rate, *group)
        classifications, alignments, accuracies = (self.totals.double() / order.shape[1]).tolist()
        return [
            {
                "learning_rate": single.learning_rate(epoch, self.steps - 1),
                "train_loss": c + e.contrastive_weight * a,
                "classification_loss": c,
                "contrastive_loss": a,
                "train_accuracy": accuracy,
            }
            for single, c, a, accuracy in zip(
                self.singles, classifications, alignments, accuracies, strict=True
            )
        ]

    def advance(self, rates: Tensor, *group: Tensor) -> None:
        """``Trainer.advance`` of every model: learning rates [M], batches of window numbers [M, B]."""
        for rows in group:
            classification, aligned, hits = self.losses(rows)
            (
                (classification + self.experiments[0].contrastive_weight * aligned).sum()
                / len(group)
            ).backward()
            self.totals += torch.stack(
                [classification.detach() * rows.shape[1], aligned.detach() * rows.shape[1], hits]
            )
        self.step(rates)

    def step(self, rates: Tensor) -> None:
        """Clip each model's gradient, update with the learning rates [M], on the device, and empty the gradients."""
        assert self.flat.grad is not None
        norm = self.flat.grad.norm(dim=1, keepdim=True)
        self.optimiser.step(
            self.flat.grad.mul_((self.experiments[0].clip_norm / (norm + 1e-6)).clamp(max=1)), rates
        )
        self.flat.grad = None
        if self.log_scale.grad is not None:
            self.scale_optimiser.step(self.log_scale.grad, rates)
            self.log_scale.grad = None
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(MAX_SCALE))

    def losses(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``Trainer.losses`` of every model, [M] each, for the windows ``rows`` [M, B]."""
        e, lead = self.experiments[0], self.singles[0]
        logits, embedding = self.decide(rows)
        label = self.windows.label[rows.to(self.windows.device, non_blocking=True)]  # [M, B]
        weights, adjusted = (
            lead.classification.get_buffer("weights"),
            logits + lead.classification.get_buffer("shift"),
        )
        weighted = functional.cross_entropy(
            adjusted.flatten(0, 1), label.flatten(), weight=weights, reduction="none"
        ).view_as(label)
        classification = weighted.sum(dim=1) / weights[label].sum(dim=1)
        aligned = logits.new_zeros(len(logits))
        if e.contrastive_weight and embedding is not None:
            aligned = self._aligned(embedding, label)
        return classification, aligned, (logits.argmax(dim=2) == label).sum(dim=1)

    def _aligned(self, embedding: Tensor, label: Tensor) -> Tensor:
        """``losses.Contrastive`` of every model: embedding [M, B, 512], label [M, B] to [M]."""
        text = self.singles[0].contrastive.get_buffer("prompts")[label]  # [M, B, 512]
        similarity = self.log_scale.exp()[:, None, None] * (embedding @ text.transpose(1, 2))
        if self.experiments[0].contrastive_targets == "pairs":
            target = torch.eye(label.shape[1], device=label.device)
        else:
            target = (label[:, :, None] == label[:, None, :]).float()
            target = target / target.sum(dim=2, keepdim=True)
        by_video, by_text = (
            -(target * similarity.log_softmax(dim=d)).sum(dim=(1, 2)) / label.shape[1]
            for d in (2, 1)
        )
        return (by_video + by_text) / 2

    def decide(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        """``EmotionModel.decide`` of model m on its windows ``rows[m]``: [M, B] to logits [M, B, 8], embedding [M, B, 512] or None."""
        models, batch = rows.shape
        data = self.windows.batch(rows.reshape(-1))
        weights = _Weights(self, training_dtype(self.device, self.experiments[0].amp))
        visual = audio = length = None
        if data.visual is not None:
            visual = weights.visual_path(data.visual.view(models, batch, *data.visual.shape[1:]))
        if data.audio is not None:
            length = None if data.audio_length is None else data.audio_length.view(models, batch)
            audio = weights.adapter(data.audio.view(models, batch, *data.audio.shape[1:]))
        pooled = []
        if visual is not None and audio is not None:
            fused = (
                weights.attend("fusion.visual", visual, audio, length),
                weights.attend("fusion.audio", audio, visual, None),
            )
            visual, audio = fused
        if visual is not None:
            pooled.append(visual.mean(dim=2))
        if audio is not None:
            pooled.append(_masked_mean(audio, length))
        logits = weights.classifier(torch.cat(pooled, dim=2)).float()
        embedding = (
            functional.normalize(weights.linear("contrastive", pooled[0]).float(), dim=2)
            if visual is not None
            else None
        )
        return logits, embedding

    def single(self, m: int) -> EmotionModel:
        """Model ``m`` as an EmotionModel of its own; it holds the weights of now."""
        weights = self.singles[m].weights
        weights.vector.data.copy_(self.flat[m].detach())
        return weights.model

    def state(self) -> dict[str, Any]:
        """Everything that a step changes."""
        return {
            "flat": self.flat.detach(),
            "log_scale": self.log_scale.detach(),
            **{
                f"{name} {kind}": getattr(optimiser, kind)
                for name, optimiser in self._optimisers()
                for kind in ("first", "second", "steps")
            },
        }

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """Put back what :meth:`state` gave. Raises RuntimeError or KeyError for the state of another stack."""
        self.flat.copy_(state["flat"])
        self.log_scale.copy_(state["log_scale"])
        for name, optimiser in self._optimisers():
            optimiser.first.copy_(state[f"{name} first"])
            optimiser.second.copy_(state[f"{name} second"])
            optimiser.steps.fill_(float(state[f"{name} steps"]))

    def _optimisers(self) -> tuple[tuple[str, AdamW], ...]:
        return ("weights", self.optimiser), ("scale", self.scale_optimiser)


class _Weights:
    """One step's weights [M, ...] in the type of the arithmetic, and the layers that use them; x is [M, B, steps, C] or [M, B, C]."""

    def __init__(self, stack: Stack, dtype: torch.dtype) -> None:
        self.e, self.training, self.dtype = stack.experiments[0], stack.training, dtype
        layout = stack.singles[0].weights.layout
        parts = stack.flat.to(dtype).split([part.space for part in layout], dim=1)
        self.of = {
            name: part.of_stack(values)
            for name, part, values in zip(stack.names, layout, parts, strict=True)
        }

    def drop(self, x: Tensor, rate: float) -> Tensor:
        """Masks are drawn element by element, so each model has its own."""
        return dropout(x, rate, self.training)

    def linear(self, name: str, x: Tensor) -> Tensor:
        """nn.Linear of each model on the last axis."""
        weight, bias = self.of[f"{name}.weight"], self.of[f"{name}.bias"]
        rows = x.reshape(x.shape[0], -1, x.shape[-1]).to(self.dtype)
        return torch.baddbmm(bias[:, None, :], rows, weight.transpose(1, 2)).view(*x.shape[:-1], -1)

    def norm(self, name: str, x: Tensor) -> Tensor:
        """nn.LayerNorm of each model on the last axis."""
        shape = (-1,) + (1,) * (x.dim() - 2) + (x.shape[-1],)
        scaled = functional.layer_norm(x, x.shape[-1:])
        return scaled * self.of[f"{name}.weight"].view(shape) + self.of[f"{name}.bias"].view(shape)

    def conv(self, name: str, x: Tensor, dilation: int, batch: int) -> Tensor:
        """CausalConv, ReLU and dropout of each model on time-first rows [M, T*B, C]."""
        weight = self.of[f"{name}.weight"]  # [M, C_out, C_in, k]
        kernel = weight.shape[3]
        shifts = tuple((kernel - 1 - j) * dilation * batch for j in range(kernel))
        taps = weight.permute(3, 0, 2, 1)  # [k, M, C_in, C_out]
        return CausalTaps.apply(
            x,
            taps,
            self.of[f"{name}.bias"],
            shifts,
            True,
            self.e.tcn_dropout if self.training else 0.0,
        )

    def visual_path(self, x: Tensor) -> Tensor:
        """[M, B, T, 512] to [M, B, T, width]."""
        models, batch, steps, _ = x.shape
        if not self.e.tcn_blocks:
            return self.linear("tcn", x) if "tcn.weight" in self.of else x
        rows = x.to(self.dtype).transpose(1, 2).reshape(models, steps * batch, -1)
        for i in range(self.e.tcn_blocks):
            y = self.conv(
                f"tcn.blocks.{i}.second",
                self.conv(f"tcn.blocks.{i}.first", rows, 2**i, batch),
                2**i,
                batch,
            )
            project = f"tcn.blocks.{i}.project"
            rows = torch.relu(
                (self.linear(project, rows) if f"{project}.weight" in self.of else rows) + y
            )
        return rows.view(models, steps, batch, -1).transpose(1, 2)

    def adapter(self, x: Tensor) -> Tensor:
        """[M, B, S, 768] to [M, B, S, width]."""
        return self.drop(
            torch.relu(self.norm("adapter.1", self.linear("adapter.0", x))), self.e.adapter_dropout
        )

    def attend(self, name: str, x: Tensor, other: Tensor, length: Tensor | None) -> Tensor:
        """``fusion.CrossAttention`` of each model; x as it is where this direction is switched off."""
        if f"{name}.query.weight" not in self.of:
            return x
        heads, width = self.e.attention_heads, self.e.width
        query = (self.linear(f"{name}.query", x) * math.sqrt(heads / width)).flatten(
            0, 1
        )  # [M*B, T, C]
        bias = None if length is None else key_bias(length.reshape(-1), other.shape[2])
        rate = self.e.attention_dropout if self.training else 0.0
        attended = attention(
            query, self.linear(f"{name}.key_value", other).flatten(0, 1), bias, heads, rate
        )
        attended = self.linear(f"{name}.out", attended.view(x.shape))
        if length is not None:
            attended = attended * (length > 0)[:, :, None, None]
        return self.norm(f"{name}.norm", x + attended)

    def classifier(self, x: Tensor) -> Tensor:
        """[M, B, pooled] to logits [M, B, 8]."""
        x = self.drop(
            torch.relu(self.norm("classifier.1", self.linear("classifier.0", x))),
            self.e.classifier_dropout,
        )
        x = self.drop(torch.relu(self.linear("classifier.4", x)), self.e.classifier_dropout)
        return self.linear("classifier.7", x)


def _masked_mean(x: Tensor, length: Tensor | None) -> Tensor:
    """``fusion.masked_mean`` with a model axis: [M, B, S, C] to [M, B, C]."""
    if length is None:
        return x.mean(dim=2)
    valid = step_mask(length.reshape(-1), x.shape[2]).view(*length.shape, -1, 1)
    return x.masked_fill(~valid, 0).sum(dim=2) / length.clamp(min=1)[:, :, None].to(x.dtype)


def fit_stack(
    experiments: Sequence[Experiment],
    train: "WindowSet",
    validation: "WindowSet",
    prompts: np.ndarray,
    logit_scale: float,
    folders: Sequence[Path],
    state: Path,
    device: str,
    *,
    progress: bool = True,
) -> list[Fitted | str]:
    """Train all of ``experiments`` at once; each gets its own best epoch and, in its run folder, history.csv and model.safetensors.

    ``state``: a file with the complete state after every epoch, from which the same stack resumes to the same bits. A
    model whose loss is not finite is given up with what went wrong as its result, and the others go on. Raises as
    ``training.fit``.
    """
    stack = Stack(experiments, train, prompts, logit_scale, device)
    checks = DeviceWindows(validation, stack.model)
    done = _load_stack(state, stack)
    with run_threads():
        for epoch in tqdm(
            range(done["epoch"], experiments[0].epochs),
            desc=f"{len(experiments)} runs",
            unit="epoch",
            disable=not progress,
        ):
            for m, row in enumerate(stack.epoch(epoch)):
                if done["errors"][m]:
                    continue
                if math.isfinite(row["train_loss"]):
                    record(done["runs"][m], stack.single(m), checks, {"epoch": epoch + 1, **row})
                else:
                    done["errors"][m] = f"{folders[m]}: {diverged(epoch)}; lower learning_rate"
            done["epoch"] = epoch + 1
            save_file(state, {**done, "stack": stack.state()})
    return [
        error or fitted(folders[m], stack.single(m), done["runs"][m])
        for m, error in enumerate(done["errors"])
    ]


def _load_stack(path: Path, stack: Stack) -> dict[str, Any]:
    """Put the file's weights and optimiser back into ``stack``; returns the epochs done, and each model's state and error."""
    fresh = {
        "epoch": 0,
        "runs": [new_state(each) for each in stack.experiments],
        "errors": [""] * len(stack.experiments),
    }
    if not path.exists():
        return fresh
    with damage_named(path):
        done = torch.load(path, map_location="cpu", weights_only=True)
        stack.load(done.pop("stack"))
    return done
