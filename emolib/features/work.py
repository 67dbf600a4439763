"""What extracting faces and sound have in common:
sharing clips with other processes, reporting, checking.

A clip whose images or sound are damaged is reported and left out,
after all others are done: nothing is silently zero.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from emolib.data.clip import Clip
from emolib.errors import EmolibError
from emolib.features.store import Claim, FeatureStore
from emolib.system.process import cores

GATE = 0.999  # least cosine between fast and strict features of the first batch


@dataclass
class Stream:
    """What one encoder did: clips and units (``unit``:
    frames or windows) computed, in seconds, with billions of operations.
    """

    name: str
    unit: str
    dtype: torch.dtype
    device: torch.device
    clips: int = 0
    units: int = 0
    seconds: float = 0.0
    gflop: float = 0.0

    def line(self) -> str:
        """For the console; measures a matrix product's rate for the comparison,
        a fraction of a second.
        """
        share = self.gflop / self.seconds / matrix_rate(self.device, self.dtype)
        return (
            f"{self.name}: {self.clips} clips, {self.units:,} {self.unit} in {self.seconds:.1f} s, "
            f"{self.units / self.seconds:,.0f} a second, "
            f"the encoder at {share:.0%} of a matrix product's rate in "
            f"{str(self.dtype).removeprefix('torch.')}"
        )


@dataclass
class Report:
    """What an extraction did, and what could not be computed and why."""

    streams: list[Stream] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    # Clips computed now whose sound is missing or ends early, and by how much.
    quiet: list[str] = field(default_factory=list)

    @property
    def clips(self) -> int:
        return sum(stream.clips for stream in self.streams)

    @property
    def seconds(self) -> float:
        return sum(stream.seconds for stream in self.streams)

    def lines(self) -> list[str]:
        """One for each encoder that had something to do,
        and one on clips without sound up to their end.
        """
        lines = [stream.line() for stream in self.streams if stream.units]
        if self.quiet:
            more = f" and {len(self.quiet) - 5} more" if len(self.quiet) > 5 else ""
            lines.append(
                f"sound missing in {len(self.quiet)} clips, their windows there have none: "
                f"{', '.join(self.quiet[:5])}{more}"
            )
        return lines


def gflop_of(call: Callable[[], object]) -> float:
    """Billions of floating-point operations in the matrix products and convolutions of ``call``,
    two to a multiply-add.
    """
    from torch.utils.flop_counter import FlopCounterMode  # a quarter of a second to import

    fused = torch.backends.mha.get_fastpath_enabled()
    # The fused attention hides its products from the counter.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as counter:
            call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() / 1e9


def matrix_rate(device: torch.device | str, dtype: torch.dtype) -> float:
    """GFLOP/s of a large matrix product: the best of five,
    so what the device can do and not what others leave of it.
    """
    size = 8192 if torch.device(device).type == "cuda" else 2048
    # Zeros and ones take less power, and a GPU is faster on them.
    a = torch.randn(size, size, device=device, dtype=dtype)
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        (a @ a)[0, 0].item()  # waits for a GPU as well
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times[1:]) / 1e9


def workers() -> int:
    """Threads that decode ahead: one a core, at most 16."""
    return min(16, cores())


class Work(NamedTuple):
    """A clip to compute, the right to do it, and the content that its features are made from."""

    clip: Clip
    claim: Claim
    source: str  # as it was before the first byte was read: a later change is noticed the next time


def in_turns(
    clips: list[Clip],
    store: FeatureStore,
    source_of: Callable[[Clip], str],
    is_done: Callable[[str, str], bool],
    work: Callable[[Iterator[Work]], None],
) -> None:
    """Hand every clip that is not done to ``work``, sharing with other processes;
    ``is_done`` takes (clip id, source).

    Each pass takes what is free and ends before the next,
    so that no process waits while it holds a clip.
    """
    left = list(clips)
    while left:
        busy: list[Clip] = []
        claims: list[Claim] = []

        def free(
            waiting: list[Clip] = left, busy: list[Clip] = busy, claims: list[Claim] = claims
        ) -> Iterator[Work]:
            for clip in waiting:
                source = source_of(clip)
                claim = store.claim(clip.id, source)
                if claim is None:
                    busy.append(clip)
                elif is_done(clip.id, source):
                    claim.release()
                else:
                    claims.append(claim)
                    yield Work(clip, claim, source)

        try:
            work(free())
        finally:
            for claim in claims:  # those that an error left behind
                claim.release()
        if len(busy) == len(left):
            time.sleep(0.2)
        left = busy


def check_cosine(kind: str, fast: torch.Tensor, strict: torch.Tensor) -> None:
    """Raises EmolibError when fast arithmetic moves features by more than the gate allows."""
    cosine = float(torch.cosine_similarity(fast.float().cpu(), strict.float().cpu(), dim=-1).min())
    if not cosine >= GATE:
        raise EmolibError(
            f"fast {kind} features differ from float32 (cosine {cosine:.5f}, "
            f"at least {GATE} wanted); set precision=strict"
        )
