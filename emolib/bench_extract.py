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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
import torch

from emolib.determinism import device
from emolib.encoders import AudioEncoder, VisualEncoder, precision_for
from emolib.errors import WrongCall
from emolib.files import project_root, write_json
from emolib.ingest import slabs

REPEATS = 5
GFLOP = {"ViT-B-32": 8.8, "wav2vec2-base": 14.0}  # per frame and per second of sound (FACTS section 5)


def peers() -> Any:
    """``tests/benchmarks/peer_extract.py`` of the checkout. Raises WrongCall outside one."""
    path = project_root() / "tests" / "benchmarks" / "peer_extract.py"
    specification = importlib.util.spec_from_file_location("peer_extract", path)
    if not path.is_file() or specification is None or specification.loader is None:
        raise WrongCall(f"{path}: not found; emolib bench runs in a checkout of the project")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def interleaved(work: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, float]:
    """Median seconds of each, taken in turns after one round to warm up, so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(repeats + 1):
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
    from transformers import CLIPConfig, CLIPModel, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    torch.manual_seed(0)
    CLIPModel(CLIPConfig()).save_pretrained(folder / "clip")
    Wav2Vec2Model(Wav2Vec2Config()).save_pretrained(folder / "wav2vec2")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "wav2vec2")
    return folder / "clip", folder / "wav2vec2"


def faces(folder: Path, count: int) -> list[Path]:
    """JPEG crops of 112 px and about 3 KB: smooth, with a little noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        coarse = torch.from_numpy(rng.uniform(0, 255, (1, 3, 7, 7)))
        smooth = torch.nn.functional.interpolate(coarse, size=(112, 112), mode="bicubic")[0].permute(1, 2, 0).numpy()
        image = np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
        (folder / f"{i:05d}.jpg").write_bytes(simplejpeg.encode_jpeg(image, quality=85))
    return sorted(folder.iterdir())


def _ours(paths: list[Path], encoder: VisualEncoder, batch: int, target: Path | None) -> np.ndarray | None:
    """Ingest alone (``target`` None: to model-ready tensors), or to a saved file of features."""
    shape, threads = (112, 112), torch.get_num_threads()
    parts = []
    for slab in slabs(
        enumerate(paths), batch=batch, shape=shape, image_size=encoder.image_size, resample=encoder.resample, workers=threads,
        pin=encoder.device.type == "cuda",
    ):  # fmt: skip
        prepared = encoder.prepare(slab.images)
        if target is not None:
            rows = sum(key is not None for key in slab.keys)
            parts.append(encoder.encode(prepared)[:rows].to(torch.float16).cpu().numpy())
    if target is None:
        return None
    features = np.concatenate(parts)
    np.save(target, features)
    return features


def run(folder: Path, *, frames: int = 64, batch: int = 32, seconds: float = 2.0, segments: int = 8) -> dict[str, Any]:
    """Measure, write ``extract.json`` into ``folder`` and return it; see :func:`table` for printing.

    ``frames`` images, ``segments`` waveforms of ``seconds``. Raises WrongCall outside a checkout.
    """
    peer, place = peers(), device()
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        clip, wav2vec2 = random_weights(root)
        paths = faces(root / "images", frames)
        result: dict[str, Any] = {"device": place, "threads": torch.get_num_threads(), "torch": torch.__version__, "frames": frames}
        result |= _visual(peer, clip, paths, batch, place, root)
        result |= _audio(peer, wav2vec2, seconds, segments, place)
        result |= _memory(root)
    write_json(folder / "extract.json", result)
    return result


def _visual(peer: Any, clip: Path, paths: list[Path], batch: int, place: str, root: Path) -> dict[str, Any]:
    dtype = precision_for(place, "fast")
    fast, strict = VisualEncoder(clip, dtype=dtype).to(place), VisualEncoder(clip).to(place)
    reference = VisualEncoder(clip)  # the peer's model: float32 on the host, as its loop has it
    transform = peer.usual_transform(224, (reference.mean / 255).flatten().tolist(), (reference.std / 255).flatten().tolist())
    model = reference.clip.encode_image
    resident = fast.prepare(
        next(slabs(enumerate(paths), batch=batch, shape=(112, 112), image_size=224, resample="bicubic", workers=1)).images
    )
    n, size = len(paths), 2048
    a = torch.randn(size, size, device=place, dtype=dtype)
    times = interleaved({
        "peer ingest": lambda: peer.usual_loop(paths, transform, None, batch),
        "ingest": lambda: _ours(paths, fast, batch, None),
        "peer extract, batch 1": lambda: peer.usual_loop(paths, transform, model, 1),
        "peer extract, batch 8": lambda: peer.usual_loop(paths, transform, model, 8),
        "peer extract": lambda: peer.usual_loop(paths, transform, model, batch),
        "extract": lambda: _ours(paths, fast, batch, root / "features.npy"),
        "encoder": lambda: [fast.encode(resident) for _ in range(n // batch)],
        "matrix product": lambda: a @ a,
    })  # fmt: skip
    best = min(times["peer extract"], times["peer extract, batch 8"], times["peer extract, batch 1"])
    rate = GFLOP["ViT-B-32"] * (n // batch * batch) / times["encoder"]
    peak = 2 * size**3 / times["matrix product"] / 1e9
    expected = torch.from_numpy(peer.usual_loop(paths, transform, model, 1))
    found = {name: torch.from_numpy(_encoded(paths, encoder, batch)) for name, encoder in (("fast", fast), ("strict", strict))}
    cosine = {name: float(torch.cosine_similarity(value.double(), expected.double(), dim=-1).min()) for name, value in found.items()}
    return {
        "seconds": times,
        "precision": str(dtype).removeprefix("torch."),
        "ingest_ratio": times["peer ingest"] / times["ingest"],
        "extract_ratio": best / times["extract"],
        "extract_ratio_batch_1": times["peer extract, batch 1"] / times["extract"],
        "extract_frames_per_second": n / times["extract"],
        "pipeline_efficiency": (n / times["extract"]) / (n // batch * batch / times["encoder"]),
        "fraction_of_peak": rate / peak,
        "gflops_encoder": rate,
        "gflops_matrix_product": peak,
        "minimum_cosine_fast": cosine["fast"],
        "minimum_cosine_strict": cosine["strict"],
        "fidelity_holds": cosine["fast"] >= 0.999 and cosine["strict"] >= 1 - 1e-5,
        "bytes_per_frame": np.load(root / "features.npy").nbytes / n,
    }


def _encoded(paths: list[Path], encoder: VisualEncoder, batch: int) -> np.ndarray:
    parts = [
        encoder.images(slab.images)[: sum(key is not None for key in slab.keys)].cpu().numpy()
        for slab in slabs(
            enumerate(paths), batch=batch, shape=(112, 112), image_size=encoder.image_size, resample=encoder.resample, workers=1
        )
    ]
    return np.concatenate(parts)


def _audio(peer: Any, weights: Path, seconds: float, segments: int, place: str) -> dict[str, Any]:
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    fast = AudioEncoder(weights, dtype=precision_for(place, "fast")).to(place)
    model: Any = Wav2Vec2Model.from_pretrained(weights).eval()
    processor = Wav2Vec2FeatureExtractor.from_pretrained(weights)
    rng = np.random.default_rng(0)
    waves = [rng.normal(0, 0.1, round(seconds * 16000)).astype(np.float32) for _ in range(segments)]
    batch = torch.from_numpy(np.stack(waves))
    times = interleaved({
        "peer audio": lambda: peer.usual_audio(waves, processor, model),
        "audio": lambda: fast.waveforms(batch).cpu(),
    })  # fmt: skip
    expected = torch.from_numpy(np.stack(peer.usual_audio(waves, processor, model)))
    cosine = float(torch.cosine_similarity(fast.waveforms(batch).cpu().double(), expected.double(), dim=-1).min())
    return {
        "audio_ratio": times["peer audio"] / times["audio"],
        "audio_seconds_per_second": seconds * segments / times["audio"],
        "minimum_cosine_audio": cosine,
    }


MEMORY = """
import sys
from pathlib import Path
from emolib.encoders import VisualEncoder
from emolib.ingest import slabs
from emolib.weights import ASSETS
paths = sorted(Path(sys.argv[1]).iterdir()) * int(sys.argv[2])
encoder = VisualEncoder(ASSETS / "visual")
for slab in slabs(enumerate(paths), batch=32, shape=(112, 112), image_size=encoder.image_size, resample="bicubic", workers=2):
    encoder.images(slab.images)
peak = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))
print(peak.split()[1])  # of this program alone; getrusage would count the parent's as well
"""


def _memory(root: Path) -> dict[str, float]:
    """Peak memory of a process at 10 times the frames over that at once, with the package's small encoder."""
    peaks = []
    for times in (4, 40):
        command = [sys.executable, "-c", MEMORY, str(root / "images"), str(times)]
        peaks.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return {"peak_memory_mb": peaks[0] / 1024, "memory_ratio_at_10x": peaks[1] / peaks[0]}


TARGETS = {
    "ingest_ratio": 15.0, "extract_ratio": 3.0, "pipeline_efficiency": 0.9, "fraction_of_peak": 0.5, "audio_ratio": 3.0,
    "minimum_cosine_fast": 0.999, "minimum_cosine_strict": 1 - 1e-5, "minimum_cosine_audio": 0.999,
}  # fmt: skip


def table(result: dict[str, Any]) -> str:
    """The figures beside their targets, one a line."""
    lines = [f"{'':28}{'measured':>12}{'target':>12}"]
    lines += [f"{name:28}{result[name]:12.5g}{'>= ' + format(target, 'g'):>12}" for name, target in TARGETS.items()]
    lines.append(f"{'memory_ratio_at_10x':28}{result['memory_ratio_at_10x']:12.5g}{'<= 1.1':>12}")
    return "\n".join(lines)
