"""``emolib bench extract``: how fast features are made,
against plain loops and against the machine's own bound.

Encoders of the paper's sizes with random weights (speed does not depend on their values). All
figures come from one run, interleaved, as medians; ratios count only when the fidelity gates beside
them hold. On a GPU it takes about three minutes.
"""

import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch

from emolib.bench.extract_faces import Size, make_faces, measure_faces
from emolib.bench.extract_sound import measure_sound
from emolib.bench.side_by_side import device_name, plain_code
from emolib.system.device import device
from emolib.system.files import write_json

SIZES = {
    "cpu": Size(64, 32, 8, 5, 8, 1, budget=120.0),
    "cuda": Size(256, 256, 64, 3, 1, 32, budget=60.0),
}


SMALL = Size(8, 4, 2, 1, 1, 1, budget=10.0)
SMALL_CLIP: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "image_size": 64,
}
SMALL_WAV2VEC2: dict[str, Any] = {
    "hidden_size": 96,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embedding_groups": 4,
}


def random_weights(folder: Path, small: bool = False) -> tuple[Path, Path]:
    """ViT-B/32 CLIP and Wav2Vec2 base with random values, in the hub's layout;
    ``small``: with few layers and channels.
    """
    from transformers import (
        CLIPConfig,
        CLIPModel,
        Wav2Vec2Config,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Model,
    )

    torch.manual_seed(0)
    vision, sound = (SMALL_CLIP, SMALL_WAV2VEC2) if small else ({}, {})
    CLIPModel(CLIPConfig(vision_config=vision)).save_pretrained(folder / "clip")
    Wav2Vec2Model(Wav2Vec2Config(**sound)).save_pretrained(folder / "wav2vec2")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder / "wav2vec2")
    return folder / "clip", folder / "wav2vec2"


def run(
    folder: Path, *, small: bool = False, size: Size | None = None, seconds: float = 2.0
) -> dict[str, Any]:
    """Measure, write ``extract.json`` into ``folder`` after each part, and return it;
    see :func:`table` for printing.

    ``small``: only to see that it runs; ``size``: by default as SIZES has it for this device;
    ``seconds``: of a segment of sound. Raises WrongCall outside a checkout.
    """
    peer, place, started = plain_code("peer_extract"), device(), time.monotonic()
    usual = SIZES.get(torch.device(place).type, SIZES["cpu"])
    size = size or (SMALL if small else usual)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        clip, wav2vec2 = random_weights(root, small)
        paths = make_faces(root / "images", size.frames)
        result: dict[str, Any] = {
            "date": date.today().isoformat(),
            "small": small,
            "device": place,
            "device_name": device_name(place),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            **size._asdict(),
        }
        for part in (
            lambda: measure_faces(peer, clip, paths, size, place, root / "features.npy"),
            lambda: measure_sound(peer, wav2vec2, seconds, size, place),
            lambda: _memory(root),
        ):
            result |= part()
            result["minutes"] = (time.monotonic() - started) / 60
            result["met"] = met(result)
            result["fidelity_holds"] = all(result["met"].get(name, False) for name in GATES)
            write_json(folder / "extract.json", result)
    return result


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
status = Path('/proc/self/status').read_text().splitlines()
peak = next(line for line in status if line.startswith('VmHWM'))
print(peak.split()[1])  # of this program alone; getrusage would count the parent's as well
"""


def _memory(root: Path) -> dict[str, float]:
    """Peak memory of a process at 10 times the frames over that at once,
    with the package's small encoder.
    """
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
# Without these no ratio counts.
GATES = (
    "minimum_cosine_fast",
    "minimum_cosine_strict",
    "minimum_cosine_audio",
    "frames_in_place",
    "memory_ratio_at_10x",
)


def targets(result: dict[str, Any]) -> dict[str, float]:
    """By figure; a GPU is to reach more of its peak."""
    return TARGETS | (
        {"fraction_of_peak": 0.55} if torch.device(result["device"]).type == "cuda" else {}
    )


def met(result: dict[str, Any]) -> dict[str, bool]:
    """Whether each figure measured so far reaches its target: at least, for memory at most.

    NaN does not.
    """
    wanted = {name: value for name, value in targets(result).items() if name in result}
    reached = {
        name: result[name] <= value if name.startswith("memory") else result[name] >= value
        for name, value in wanted.items()
    }
    return {name: bool(value) for name, value in reached.items()}


def table(result: dict[str, Any]) -> str:
    """The figures beside their targets, one a line, and where the encoders' time goes."""
    lines = [f"{'':28}{'measured':>12}{'target':>12}"]
    for name, is_met in met(result).items():
        target = ("<= " if name.startswith("memory") else ">= ") + format(
            targets(result)[name], "g"
        )
        lines.append(f"{name:28}{result[name]:12.5g}{target:>12}  {'met' if is_met else 'NOT MET'}")
    lines.append(
        "fidelity "
        f"{'holds' if result['fidelity_holds'] else 'DOES NOT HOLD: the ratios do not count'}"
    )
    for name in ("profile_visual", "profile_audio"):
        shares = result.get(name, {}).items()
        lines.append(f"{name}: " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    return "\n".join(lines)
