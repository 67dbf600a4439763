"""Face images through CLIP into the feature store:
what is missing, once, in fixed batch shapes packed across clips.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from emolib.data.clip import Clip
from emolib.data.content import content_of_images
from emolib.encoders.clip import VisualEncoder
from emolib.features.images import Key, Slab, slabs
from emolib.features.store import Claim, FeatureStore
from emolib.features.work import (
    Report,
    Stream,
    Work,
    check_cosine,
    gflop_of,
    in_turns,
    workers,
)
from emolib.system.device import size_for
from emolib.system.files import hash_of

# Images a batch; more does not raise the rate (H100: 28,400 a second at 256, 34,500 at 512,
# 34,900 at 1024).
IMAGES = {"cpu": 64, "cuda": 512}


class _Faces:
    """Features of one clip on their way: rows that are still missing, and what went wrong."""

    def __init__(self, clip: Clip, claim: Claim, source: str, width: int) -> None:
        self.clip, self.claim, self.source = clip, claim, source
        self.frames = (np.flatnonzero(clip.face_present) + 1).astype(np.int32)
        self.features = np.zeros((len(self.frames), width), np.float16)
        self.left, self.damaged = len(self.frames), list[str]()


def source_of(clip: Clip) -> str:
    """The content that a clip's visual features are made from:
    its images, and which of them belong to a frame.
    """
    faces = np.packbits(clip.face_present).tobytes().hex()
    return hash_of([content_of_images(clip.images), len(clip.face_present), faces])


def extract_faces(
    store: FeatureStore,
    clips: list[Clip],
    load: Callable[[bool], VisualEncoder],
    report: Report,
    *,
    progress: bool = True,
) -> None:
    """Compute the visual features that ``store`` lacks;
    ``load(strict)`` loads the encoder, only when there is work.
    """
    missing = [clip for clip in clips if not store.has(clip.id, source_of(clip))]
    if not missing:
        return
    encoder = load(False)
    batch = size_for(encoder.device, IMAGES)
    total = sum(int(clip.face_present.sum()) for clip in missing)
    stream = Stream("faces", "frames", encoder.dtype, encoder.device)
    report.streams.append(stream)
    blank = torch.zeros(1, encoder.image_size, encoder.image_size, 3, dtype=torch.uint8)
    gflop = gflop_of(lambda: encoder.images(blank))
    begin, checked = time.perf_counter(), encoder.dtype == torch.float32
    with tqdm(
        total=total, desc="faces", unit="frame", disable=not progress, leave=False, smoothing=0.05
    ) as bar:

        def work(free: Iterator[Work]) -> None:
            nonlocal checked
            for slab, features in encoded(encoder, _decoded(free, encoder, store, report, batch)):
                if not checked and any(slab.keys):
                    check_cosine("visual", features[:8], load(True).images(slab.images[:8]))
                    checked = True
                _settle(slab, features.to(torch.float16).numpy(), store, report)
                count = sum(key is not None for key in slab.keys) + len(slab.damaged)
                bar.update(count)
                bar.set_postfix(clips=stream.clips, refresh=False)
                stream.units += count
                stream.gflop += gflop * batch

        in_turns(missing, store, source_of, store.has, work)
    stream.seconds = time.perf_counter() - begin


def _decoded(
    free: Iterator[Work],
    encoder: VisualEncoder,
    store: FeatureStore,
    report: Report,
    batch: int,
) -> Iterator[Slab[tuple[_Faces, int]]]:
    """Slabs of the clips' images; clips without a face are finished on the way."""

    def items() -> Iterator[tuple[tuple[_Faces, int], Path]]:
        for clip, claim, source in free:
            faces = _Faces(clip, claim, source, encoder.width)
            if not faces.left:
                _finish(faces, store, report)
            for row, frame in enumerate(faces.frames.tolist()):
                yield (faces, row), clip.image(frame)

    pin = encoder.device.type == "cuda"
    return slabs(
        items(), batch=batch, size=encoder.image_size, fit=encoder.fit, workers=workers(), pin=pin
    )


def encoded(
    encoder: VisualEncoder, batches: Iterable[Slab[Key]]
) -> Iterator[tuple[Slab[Key], torch.Tensor]]:
    """(slab, float32 [B, 512] on the host).

    On a GPU one batch behind, so that it works while the host takes the last one in,
    and the next one's images are copied meanwhile.
    """
    if encoder.device.type != "cuda":
        for slab in batches:
            yield slab, encoder.encode(encoder.prepare(slab.images))
        return
    copies, here = torch.cuda.Stream(encoder.device), torch.cuda.current_stream(encoder.device)
    waiting: deque[tuple[Slab[Key], torch.Tensor, torch.cuda.Event]] = deque()
    for slab in batches:
        with torch.cuda.stream(copies):
            images = slab.images.to(encoder.device, non_blocking=True)
        here.wait_stream(copies)
        images.record_stream(here)
        features = encoder.encode(encoder.prepare(images))
        host = torch.empty(features.shape, pin_memory=True).copy_(features, non_blocking=True)
        event = torch.cuda.Event()
        event.record(here)
        waiting.append((slab, host, event))
        if len(waiting) == 2:
            yield _arrived(*waiting.popleft())
    for late in waiting:
        yield _arrived(*late)


def _arrived(
    slab: Slab[Key], host: torch.Tensor, event: torch.cuda.Event
) -> tuple[Slab[Key], torch.Tensor]:
    event.synchronize()
    return slab, host


def _settle(
    slab: Slab[tuple[_Faces, int]], features: np.ndarray, store: FeatureStore, report: Report
) -> None:
    """Put a slab's features where they belong and store the clips that are complete."""
    touched: dict[int, _Faces] = {}
    for i, key in enumerate(slab.keys):
        if key is not None:
            faces, row = key
            faces.features[row] = features[i]
            faces.left -= 1
            touched[id(faces)] = faces
    for (faces, _), message in slab.damaged:
        faces.damaged.append(message)
        faces.left -= 1
        touched[id(faces)] = faces
    for faces in touched.values():
        if not faces.left:
            _finish(faces, store, report)


def _finish(faces: _Faces, store: FeatureStore, report: Report) -> None:
    if faces.damaged:
        report.damaged += faces.damaged
    else:
        store.write(faces.clip.id, faces.source, {"frames": faces.frames, "visual": faces.features})
        report.streams[-1].clips += 1
    faces.claim.release()
