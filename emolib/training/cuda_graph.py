"""A training step as a CUDA graph: the host launches it once,
where eagerly it launches hundreds of small kernels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

MOST = 32  # graphs; each holds a few megabytes of kernels' arguments, and takes a capture


class Replays:
    """Runs a step again and again on the device, as a graph from its second time on;
    one graph for each set of input shapes.

    The step takes tensors on the device, returns nothing, and keeps what it changes in place in
    tensors that outlive it. Its first run of each shape is eager, on a stream of its own: it makes
    what a capture must not (cuBLAS handles, the optimiser's state). Capturing computes nothing. All
    graphs share their working memory, which none needs after its end, and there are MOST at most:
    further shapes stay eager. Random numbers are those of eager runs: a graph takes seed and offset
    from torch's generator whenever it is replayed.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[
            tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]] | None
        ] = {}

    def run(self, step: Callable[..., None], *inputs: Tensor) -> None:
        """``step(*inputs)``; always the same step, with inputs of the same types."""
        shapes = tuple(each.shape for each in inputs)
        # Graphs and streams belong to the current one, which need not be this.
        with torch.cuda.device(self.device):
            if shapes not in self.graphs:
                aside, here = torch.cuda.Stream(), torch.cuda.current_stream()
                aside.wait_stream(here)
                with torch.cuda.stream(aside):
                    step(*inputs)
                here.wait_stream(aside)
                if len(self.graphs) < MOST:
                    self.graphs[shapes] = None
                return
            captured = self.graphs[shapes]
            if captured is None:
                held, graph = tuple(each.clone() for each in inputs), torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, pool=self.pool):
                    step(*held)
                captured = self.graphs[shapes] = graph, held
            graph, held = captured
            for place, value in zip(held, inputs, strict=True):
                place.copy_(value)
            graph.replay()
