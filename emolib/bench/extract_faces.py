"""``emolib bench extract``: the faces' part.

Ours and a plain loop over the same JPEG files, and the encoder's own bound.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
import torch
from torch.profiler import ProfilerActivity, profile

from emolib.bench.side_by_side import interleaved
from emolib.encoders.clip import VisualEncoder
from emolib.features.faces import encoded
from emolib.features.images import Slab, slabs
from emolib.features.work import gflop_of, workers
from emolib.system.device import encoder_dtype


class Size(NamedTuple):
    """How much is measured on a kind of device: enough to fill it,
    and no more than it takes minutes for.
    """

    frames: int
    batch: int
    segments: int  # of sound
    repeats: int
    ingested: int  # times the images are read where only reading is measured, which is quick
    extracted: int  # times we extract them: a GPU would be done before its pipeline is full
    budget: float  # seconds after which faces are measured no more, and half of it for sound


def make_faces(folder: Path, count: int) -> list[Path]:
    """JPEG crops of 112 px and about 3 KB as face croppers write them (4:2:0):
    smooth, with a little noise.
    """
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 7, 7)))
        smooth = (
            torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bicubic")[0]
            .permute(1, 2, 0)
            .numpy()
        )
        image = np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
        (folder / f"{i:05d}.jpg").write_bytes(
            simplejpeg.encode_jpeg(image, quality=88, colorsubsampling="420")
        )
    return sorted(folder.iterdir())


def _slabs(paths: list[Path], encoder: VisualEncoder, batch: int) -> Iterator[Slab[int]]:
    pin = encoder.device.type == "cuda"
    return slabs(
        enumerate(paths),
        batch=batch,
        size=encoder.image_size,
        fit=encoder.fit,
        workers=workers(),
        pin=pin,
    )


def _ingest(paths: list[Path], encoder: VisualEncoder, batch: int) -> None:
    for slab in _slabs(paths, encoder, batch):
        encoder.prepare(slab.images)


def _features(paths: list[Path], encoder: VisualEncoder, batch: int) -> np.ndarray:
    """Float32 ``[n, width]``, by extraction's own pipeline."""
    return np.concatenate(
        [features.numpy() for _, features in encoded(encoder, _slabs(paths, encoder, batch))]
    )[: len(paths)]


def fidelity(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """(least cosine of a row with its own expected row,
    share of rows whose nearest expected row is their own), of ``[n, d]``.

    Random weights see all faces much alike, so that a cosine alone would not notice frames in each
    other's place; distances are taken from the mean.
    """
    a, b = torch.from_numpy(found).double(), torch.from_numpy(expected).double()
    nearest = torch.cdist(a - b.mean(dim=0), b - b.mean(dim=0)).argmin(dim=1)
    return float(torch.cosine_similarity(a, b, dim=-1).min()), float(
        (nearest == torch.arange(len(a))).double().mean()
    )


def profiled(call: Callable[[], Any], most: int = 8) -> dict[str, float]:
    """Share of the time by torch operation, the ``most`` costly ones,
    inclusive of nothing below them.
    """
    cuda = torch.cuda.is_available()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * cuda
    call()
    with profile(activities=activities) as profiler:
        call()
    spent = {
        event.key: float(event.self_device_time_total if cuda else event.self_cpu_time_total)
        for event in profiler.key_averages()
    }
    total = sum(spent.values())
    return {
        name: round(spent[name] / total, 4)
        for name in sorted(spent, key=lambda name: -spent[name])[:most]
    }


class Peer(NamedTuple):
    """The plain loop over image files, with transformers' model in float32."""

    loop: Callable[..., Any]
    transform: Any
    model: Callable[[torch.Tensor], torch.Tensor]
    place: str

    def read(self, paths: list[Path], batch: int) -> None:
        """Read and transform the images alone."""
        self.loop(paths, self.transform, None, batch, self.place)

    def extract(self, paths: list[Path], batch: int) -> np.ndarray:
        """The features ``[n, d]``."""
        return self.loop(paths, self.transform, self.model, batch, self.place)


def _peer(code: ModuleType, clip: Path, ours: VisualEncoder, place: str) -> Peer:
    from transformers import CLIPModel

    usual: Any = CLIPModel.from_pretrained(clip).eval().to(place)

    def model(images: torch.Tensor) -> torch.Tensor:
        return usual.get_image_features(pixel_values=images).pooler_output

    mean, deviation = (ours.mean / 255).tolist(), (ours.std / 255).tolist()
    transform = code.usual_transform(ours.image_size, mean, deviation)
    return Peer(code.usual_loop, transform, model, place)


def measure_faces(
    peer_code: ModuleType, clip: Path, paths: list[Path], size: Size, place: str, saved: Path
) -> dict[str, Any]:
    """Reading and encoding ``paths``, ours and the peer's, on ``place``;
    ``clip``: the weights; ``saved``: a scratch file.
    """
    dtype = encoder_dtype(place, "fast")
    fast, strict = VisualEncoder(clip, dtype=dtype).to(place), VisualEncoder(clip).to(place)
    peer = _peer(peer_code, clip, strict, place)
    batch, often, whole = size.batch, paths * size.ingested, paths * size.extracted
    resident = [fast.prepare(slab.images) for slab in _slabs(paths, fast, batch)]
    side = 8192 if torch.device(place).type == "cuda" else 2048
    matrix = torch.randn(side, side, device=place, dtype=dtype)
    work: dict[str, Callable[[], Any]] = {
        "peer ingest": lambda: peer.read(often, batch),
        "ingest": lambda: _ingest(often, fast, batch),
        "peer extract, batch 1": lambda: np.save(saved, peer.extract(paths, 1)),
        f"peer extract, batch {batch}": lambda: np.save(saved, peer.extract(paths, batch)),
        "extract": lambda: np.save(saved, _features(whole, fast, batch).astype(np.float16)),
        "encoder": lambda: [fast.encode(prepared).cpu() for prepared in resident],
        "matrix product": lambda: matrix @ matrix,
    }
    times = interleaved(work, size.repeats, size.budget)
    encoded_rate = batch * len(resident) / times["encoder"]
    return {
        "seconds": times,
        "precision": str(dtype).removeprefix("torch."),
        "bytes_per_jpeg": sum(path.stat().st_size for path in paths) / len(paths),
        "bytes_per_frame": np.load(saved).nbytes / len(whole),
        **_ratios(times, size, len(paths), encoded_rate),
        **_arithmetic(
            gflop_of(lambda: fast.encode(resident[0])) / batch, encoded_rate, side, times
        ),
        **_fidelities(fast, strict, paths, batch, peer.extract(paths, batch)),
        "profile_visual": profiled(lambda: fast.encode(resident[0])),
    }


def _ratios(times: dict[str, float], size: Size, images: int, encoded: float) -> dict[str, float]:
    """How many times as fast as the peer's we read and extract ``images``, and as the encoder
    alone, which encodes ``encoded`` frames a second.
    """
    rate = images * size.extracted / times["extract"]
    best = min(seconds for name, seconds in times.items() if name.startswith("peer extract"))
    return {
        "ingest_ratio": times["peer ingest"] / times["ingest"],
        "ingest_frames_per_second": images * size.ingested / times["ingest"],
        "extract_ratio": rate * best / images,
        "extract_ratio_batch_1": rate * times["peer extract, batch 1"] / images,
        "extract_frames_per_second": rate,
        "pipeline_efficiency": rate / encoded,
    }


def _arithmetic(
    gflop: float, encoded: float, side: int, times: dict[str, float]
) -> dict[str, float]:
    """The encoder's ``gflop`` a frame at ``encoded`` frames a second, beside a product of two
    matrices of ``side`` rows.
    """
    gflops, peak = gflop * encoded, 2 * side**3 / times["matrix product"] / 1e9
    return {
        "fraction_of_peak": gflops / peak,
        "gflop_per_frame": gflop,
        "gflops_encoder": gflops,
        "gflops_matrix_product": peak,
    }


def _fidelities(
    fast: VisualEncoder, strict: VisualEncoder, paths: list[Path], batch: int, expected: np.ndarray
) -> dict[str, float]:
    """How near our features of ``paths`` are to the ``expected`` ones, in both precisions."""
    cosine_fast, own_fast = fidelity(_features(paths, fast, batch), expected)
    cosine_strict, own_strict = fidelity(_features(paths, strict, batch), expected)
    return {
        "minimum_cosine_fast": cosine_fast,
        "minimum_cosine_strict": cosine_strict,
        "frames_in_place": min(own_fast, own_strict),
    }
