"""What extracting faces and sound have in common: sharing clips with other processes, reporting, checking.

A clip whose images or sound are damaged is reported and left out, after all others are done: nothing is silently zero.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from emolib.data.affwild2 import Clip
from emolib.errors import EmolibError
from emolib.store import Claim, FeatureStore

GATE = 0.999  # least cosine between fast and strict features of the first batch


@dataclass
class Report:
    """What an extraction did: clips and units (frames, windows) computed, seconds, and what could not be computed and why."""

    clips: int = 0
    units: int = 0
    seconds: float = 0.0
    damaged: list[str] = field(default_factory=list)


def workers() -> int:
    """Threads that decode ahead: the machine's cores, at most 16."""
    return min(16, len(os.sched_getaffinity(0)))


def in_turns(
    clips: list[Clip], store: FeatureStore, is_done: Callable[[Clip], bool], work: Callable[[Iterator[tuple[Clip, Claim]]], None]
) -> None:
    """Hand every clip that is not done to ``work`` with its claim, sharing with other processes.

    Each pass takes what is free and ends before the next, so that no process waits while it holds a clip.
    """
    left = [clip for clip in clips if not is_done(clip)]
    while left:
        busy: list[Clip] = []
        claims: list[Claim] = []

        def free(waiting: list[Clip] = left, busy: list[Clip] = busy, claims: list[Claim] = claims) -> Iterator[tuple[Clip, Claim]]:
            for clip in waiting:
                claim = store.claim(clip.id)
                if claim is None:
                    busy.append(clip)
                elif is_done(clip):
                    claim.release()
                else:
                    claims.append(claim)
                    yield clip, claim

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
        raise EmolibError(f"fast {kind} features differ from float32 (cosine {cosine:.5f}, at least {GATE} wanted); set precision=strict")
