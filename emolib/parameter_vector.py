"""All parameters of a model as one vector, so that a training step clips, updates and converts them in one operation each."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from emolib.model import EmotionModel

ALIGNED = 32  # numbers: 64 bytes of bfloat16


class Part(NamedTuple):
    """Where a parameter lies in ``ParameterVector.vector``; its numbers keep the order that they have in memory."""

    start: int
    space: int  # its numbers and what fills up its last cache line
    shape: torch.Size
    stride: tuple[int, ...]

    def of(self, vector: Tensor) -> Tensor:
        """The parameter as a view of a vector [P]."""
        return vector.as_strided(self.shape, self.stride, self.start)

    def of_stack(self, values: Tensor) -> Tensor:
        """The parameters of M models, [M, *shape], as a view of ``values`` [M, space]."""
        slowest_first = sorted(range(len(self.shape)), key=lambda axis: -self.stride[axis])
        in_memory = values[:, : self.shape.numel()].unflatten(
            1, [self.shape[axis] for axis in slowest_first]
        )
        return in_memory.permute(
            0, *(1 + slowest_first.index(axis) for axis in range(len(self.shape)))
        )


class ParameterVector:
    """A model's parameters as one float32 vector, with a copy of the model in the type of the arithmetic beside it.

    ``model`` keeps its names and shapes; its values become views of ``vector``. ``worker`` computes the training steps:
    its matrices and biases are ``dtype`` copies made once a step (autocast would convert each anew, forth and back), its
    layer norms stay float32. So clipping, AdamW and the conversion are one operation each instead of one a parameter.
    """

    def __init__(self, model: EmotionModel, dtype: torch.dtype) -> None:
        self.model, self.worker = model, copy.deepcopy(model)
        self.layout: list[Part] = []
        for parameter in model.parameters():
            start = self.layout[-1].start + self.layout[-1].space if self.layout else 0
            space = (
                -(-parameter.numel() // ALIGNED) * ALIGNED
            )  # so that each starts a cache line of its own
            self.layout.append(Part(start, space, parameter.shape, parameter.stride()))
        self.vector = nn.Parameter(
            torch.zeros(
                sum(part.space for part in self.layout), device=next(model.parameters()).device
            )
        )
        self.gradient = torch.zeros_like(self.vector)
        self.rounded = torch.zeros_like(self.vector, dtype=dtype)
        exact = {
            id(p)
            for module in self.worker.modules()
            if isinstance(module, nn.LayerNorm)
            for p in module.parameters()
        }
        self.pairs: list[
            tuple[nn.Parameter, Tensor]
        ] = []  # (the worker's parameter, its part of the gradient)
        for parameter, copied, part in zip(
            model.parameters(), self.worker.parameters(), self.layout, strict=True
        ):
            values = part.of(self.vector.data)
            parameter.data = values.copy_(parameter.detach())
            copied.data = (
                values if id(copied) in exact or dtype is torch.float32 else part.of(self.rounded)
            )
            self.pairs.append((copied, part.of(self.gradient)))
        self.changed()

    @torch.no_grad()
    def changed(self) -> None:
        """Tell the worker that ``vector`` (or ``model``) has changed."""
        self.rounded.copy_(self.vector)

    @torch.no_grad()
    def collect(self, first: bool = True) -> None:
        """Move the gradients of a backward pass to ``gradient``, or add them unless it is the ``first`` of a step."""
        for parameter, place in self.pairs:
            if parameter.grad is None:
                if first:
                    place.zero_()
            elif first:
                place.copy_(parameter.grad)
            else:
                place += parameter.grad
            parameter.grad = None
