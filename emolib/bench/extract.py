"""``emolib bench extract``: how fast features are made, against plain loops and against the machine's own bound.

Encoders of the paper's sizes with random weights (speed does not depend on their values). All figures come from one run,
interleaved, as medians; ratios count only when the fidelity gates beside them hold.
"""

import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import simplejpeg
import torch
from torch.profiler import ProfilerActivity, profile
from tqdm.auto import tqdm

from emolib.encoders.clip import VisualEncoder
from emolib.encoders.wav2vec2 import AudioEncoder
from emolib.errors import WrongCall
from emolib.features.faces import encoded
from emolib.features.images import Slab, slabs
from emolib.features.work import gflop_of, workers
from emolib.system.device import device, encoder_dtype
from emolib.system.files import project_root, write_json


class Size(NamedTuple):
    """How much is measured on a kind of device: enough to fill it, few enough to wait for the peers."""

    frames: int
    batch: int
    segments: int  # of sound
    repeats: int
    ingested: int  # times the images are read where only reading is measured, which is quick
    extracted: (
        int  # times they are extracted by us: a GPU would be done before its pipeline is full
    )


SIZES = {"cpu": Size(64, 32, 8, 5, 8, 1), "cuda": Size(512, 512, 256, 3, 2, 64)}


def peers() -> Any:
    """``tests/benchmarks/peer_extract.py`` of the checkout. Raises WrongCall outside one."""
    path = project_root() / "tests" / "benchmarks" / "peer_extract.py"
    specification = importlib.util.spec_from_file_location("peer_extract", path)
    if not path.is_file() or specification is None or specification.loader is None:
        raise WrongCall(f"{path}: not found; emolib bench runs in a checkout of the project")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def interleaved(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Median seconds of each, taken in turns after one round to warm up, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_ in tqdm(range(repeats + 1), desc=", ".join(work)[:40], unit="round", leave=False):
        for name, call in work.items():
            begin = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if round_:
                times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def random_weights(folder: Path) -> tuple[Path, Path]:
    """ViT-B/32 CLIP and Wav2Vec2 base with random values, in the hub's layout."""
    from transformers import (
        CLIPConfig,
        CLIPModel,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Model,
    )

    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder / "clip")
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder / "wav2vec2")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "wav2vec2")
    return folder / "clip", folder / "wav2vec2"


def faces(folder: Path, count: int) -> list[Path]:
    """JPEG crops of 112 px and about 3 KB as face croppers write them (4:2:0): smooth, with a little noise."""
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
    """Float32 ``[n, 512]``, by extraction's own pipeline."""
    return np.concatenate(
        [features.numpy() for _, features in encoded(encoder, _slabs(paths, encoder, batch))]
    )[: len(paths)]


def fidelity(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """(least cosine of a row with its own expected row, share of rows whose nearest expected row is their own), of ``[n, d]``.

    Random weights see all faces much alike, so that a cosine alone would not notice frames in each other's place; distances
    are taken from the mean.
    """
    a, b = torch.from_numpy(found).double(), torch.from_numpy(expected).double()
    nearest = torch.cdist(a - b.mean(dim=0), b - b.mean(dim=0)).argmin(dim=1)
    return float(torch.cosine_similarity(a, b, dim=-1).min()), float(
        (nearest == torch.arange(len(a))).double().mean()
    )


def _profile(call: Callable[[], Any], most: int = 8) -> dict[str, float]:
    """Share of the time by torch operation, the ``most`` costly ones, inclusive of nothing below them."""
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


def run(folder: Path, *, size: Size | None = None, seconds: float = 2.0) -> dict[str, Any]:
    """Measure, write ``extract.json`` into ``folder`` and return it; see :func:`table` for printing.

    ``size``: as SIZES has it for this device; ``seconds``: of a segment of sound. Raises WrongCall outside a checkout.
    """
    peer, place = peers(), device()
    size = size or SIZES[torch.device(place).type]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        clip, wav2vec2 = random_weights(root)
        paths = faces(root / "images", size.frames)
        result: dict[str, Any] = {
            "device": place,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            **size._asdict(),
        }
        result |= _visual(peer, clip, paths, size, place, root)
        result |= _audio(peer, wav2vec2, seconds, size, place)
        result |= _memory(root)
    result["met"] = met(result)
    result["fidelity_holds"] = all(result["met"][name] for name in GATES)
    write_json(folder / "extract.json", result)
    return result


def _visual(
    peer: Any, clip: Path, paths: list[Path], size: Size, place: str, root: Path
) -> dict[str, Any]:
    from transformers import CLIPModel

    dtype = encoder_dtype(place, "fast")
    fast, strict = VisualEncoder(clip, dtype=dtype).to(place), VisualEncoder(clip).to(place)
    usual: Any = (
        CLIPModel.from_pretrained(clip).eval().to(place)
    )  # the peer's model: float32, as its loop has it
    transform = peer.usual_transform(
        strict.image_size, (strict.mean / 255).tolist(), (strict.std / 255).tolist()
    )

    def model(images: torch.Tensor) -> torch.Tensor:
        return usual.get_image_features(pixel_values=images).pooler_output

    n, batch, saved = len(paths), size.batch, root / "features.npy"
    often, whole = paths * size.ingested, paths * size.extracted
    resident = [fast.prepare(slab.images) for slab in _slabs(paths, fast, batch)]
    side = 8192 if torch.device(place).type == "cuda" else 2048
    a = torch.randn(side, side, device=place, dtype=dtype)
    times = interleaved(
        {
            "peer ingest": lambda: peer.usual_loop(often, transform, None, batch, place),
            "ingest": lambda: _ingest(often, fast, batch),
            "peer extract, batch 1": lambda: np.save(
                saved, peer.usual_loop(paths, transform, model, 1, place)
            ),
            "peer extract, batch 8": lambda: np.save(
                saved, peer.usual_loop(paths, transform, model, 8, place)
            ),
            f"peer extract, batch {batch}": lambda: np.save(
                saved, peer.usual_loop(paths, transform, model, batch, place)
            ),
            "extract": lambda: np.save(saved, _features(whole, fast, batch).astype(np.float16)),
            "encoder": lambda: [fast.encode(prepared).cpu() for prepared in resident],
            "matrix product": lambda: a @ a,
        },
        size.repeats,
    )
    bytes_a_frame, frames_a_second = (
        np.load(saved).nbytes / len(whole),
        len(whole) / times["extract"],
    )
    best = min(seconds for name, seconds in times.items() if name.startswith("peer extract"))
    gflop = gflop_of(lambda: fast.encode(resident[0])) / batch
    rate = gflop * batch * len(resident) / times["encoder"]
    peak = 2 * side**3 / times["matrix product"] / 1e9
    expected = peer.usual_loop(paths, transform, model, 1, place)
    (cosine_fast, own_fast), (cosine_strict, own_strict) = (
        fidelity(_features(paths, e, batch), expected) for e in (fast, strict)
    )
    return {
        "seconds": times,
        "precision": str(dtype).removeprefix("torch."),
        "ingest_ratio": times["peer ingest"] / times["ingest"],
        "ingest_frames_per_second": len(often) / times["ingest"],
        "bytes_per_jpeg": sum(path.stat().st_size for path in paths) / n,
        "extract_ratio": frames_a_second * best / n,
        "extract_ratio_batch_1": frames_a_second * times["peer extract, batch 1"] / n,
        "extract_frames_per_second": frames_a_second,
        "pipeline_efficiency": frames_a_second / (batch * len(resident) / times["encoder"]),
        "fraction_of_peak": rate / peak,
        "gflop_per_frame": gflop,
        "gflops_encoder": rate,
        "gflops_matrix_product": peak,
        "minimum_cosine_fast": cosine_fast,
        "minimum_cosine_strict": cosine_strict,
        "frames_in_place": min(own_fast, own_strict),
        "bytes_per_frame": bytes_a_frame,
        "profile_visual": _profile(lambda: fast.encode(resident[0])),
    }


def _audio(peer: Any, weights: Path, seconds: float, size: Size, place: str) -> dict[str, Any]:
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    fast = AudioEncoder(weights, dtype=encoder_dtype(place, "fast")).to(place)
    model: Any = Wav2Vec2Model.from_pretrained(weights).eval().to(place)
    processor = Wav2Vec2FeatureExtractor.from_pretrained(weights)
    rng = np.random.default_rng(0)
    waves = [
        rng.normal(0, 0.1, round(seconds * 16000)).astype(np.float32) for _ in range(size.segments)
    ]
    batch = torch.from_numpy(np.stack(waves))
    times = interleaved(
        {
            "peer audio": lambda: peer.usual_audio(waves, processor, model, place),
            "audio": lambda: fast.waveforms(batch).cpu(),
        },
        size.repeats,
    )
    expected = torch.from_numpy(np.stack(peer.usual_audio(waves, processor, model, place)))
    cosine = float(
        torch.cosine_similarity(
            fast.waveforms(batch).cpu().double(), expected.double(), dim=-1
        ).min()
    )
    gflop = gflop_of(lambda: fast.waveforms(batch))
    return {
        "audio_ratio": times["peer audio"] / times["audio"],
        "audio_seconds_per_second": seconds * size.segments / times["audio"],
        "gflop_per_second_of_sound": gflop / (seconds * size.segments),
        "gflops_audio": gflop / times["audio"],
        "gflops_peer_audio": gflop / times["peer audio"],
        "minimum_cosine_audio": cosine,
        "profile_audio": _profile(lambda: fast.waveforms(batch)),
    }


MEMORY = """
import sys
from pathlib import Path
from emolib.encoders.clip import VisualEncoder
from emolib.features.images import Slab, slabs
from emolib.encoders.folders import ASSETS
paths = sorted(Path(sys.argv[1]).iterdir())[:64] * int(sys.argv[2])
encoder = VisualEncoder(ASSETS / "visual")
for slab in slabs(enumerate(paths), batch=32, size=encoder.image_size, fit=encoder.fit, workers=2):
    encoder.images(slab.images)
peak = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
print(peak.split()[1])  # of this program alone; getrusage would count the parent's as well
"""


def _memory(root: Path) -> dict[str, float]:
    """Peak memory of a process at 10 times the frames over that at once, with the package's small encoder."""
    peaks = []
    for times in (4, 40):
        command = [sys.executable, "-c", MEMORY, str(root / "images"), str(times)]
        peaks.append(
            float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        )
    return {"peak_memory_mb": peaks[0] / 1024, "memory_ratio_at_10x": peaks[1] / peaks[0]}


TARGETS = {
    "ingest_ratio": 15.0,
    "extract_ratio": 3.0,
    "pipeline_efficiency": 0.9,
    "fraction_of_peak": 0.5,
    "audio_ratio": 3.0,
    "minimum_cosine_fast": 0.999,
    "minimum_cosine_strict": 1 - 1e-5,
    "minimum_cosine_audio": 0.999,
    "frames_in_place": 1.0,
    "memory_ratio_at_10x": 1.1,
}
GATES = (
    "minimum_cosine_fast",
    "minimum_cosine_strict",
    "minimum_cosine_audio",
    "frames_in_place",
    "memory_ratio_at_10x",
)  # without them no ratio counts


def targets(result: dict[str, Any]) -> dict[str, float]:
    """By figure; a GPU is to reach more of its peak."""
    return TARGETS | (
        {"fraction_of_peak": 0.55} if torch.device(result["device"]).type == "cuda" else {}
    )


def met(result: dict[str, Any]) -> dict[str, bool]:
    """Whether each figure reaches its target: at least, for memory at most. NaN does not."""
    wanted = targets(result)
    return {
        name: bool(
            result[name] <= wanted[name]
            if name.startswith("memory")
            else result[name] >= wanted[name]
        )
        for name in wanted
    }


def table(result: dict[str, Any]) -> str:
    """The figures beside their targets, one a line, and where the encoders' time goes."""
    lines = [f"{'':28}{'measured':>12}{'target':>12}"]
    for name, is_met in met(result).items():
        target = ("<= " if name.startswith("memory") else ">= ") + format(
            targets(result)[name], "g"
        )
        lines.append(f"{name:28}{result[name]:12.5g}{target:>12}  {'met' if is_met else 'NOT MET'}")
    lines.append(
        f"fidelity {'holds' if result['fidelity_holds'] else 'DOES NOT HOLD: the ratios do not count'}"
    )
    for name in ("profile_visual", "profile_audio"):
        lines.append(
            f"{name}: "
            + ", ".join(f"{operation} {share:.0%}" for operation, share in result[name].items())
        )
    return "\n".join(lines)
