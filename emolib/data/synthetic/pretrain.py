"""Pre-train the small encoders of the generated benchmark:
``python -m emolib.data.synthetic.pretrain``.

The visual one is an open_clip CLIP (ResNet) taught by generated faces with captions, the audio one
a Wav2Vec2 taught by generated voices; people and speakers are drawn from seeds that the benchmark
never uses. Writes ``emolib/assets/{visual,audio}`` in the layout of a hub download and
``emolib/assets/quality.json``.
"""

import gzip
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from tqdm.auto import tqdm

from emolib.data.synthetic.faces import GROUPS, Pose, draw_expression, draw_identity, render
from emolib.data.synthetic.voices import RATE, draw_speaker, speak
from emolib.labels import EXPRESSIONS, prompts
from emolib.system.device import make_deterministic
from emolib.system.files import atomic_path, write_json
from emolib.system.process import end_with

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SEED = 900_000  # the benchmark's seeds are small; batches count up from here
PITCHES = np.linspace(-1.5, 1.5, 7)
PITCH_CAPTIONS = [
    f"A face {how}"
    for how in ("very low", "low", "a little low", "level", "a little high", "high", "very high")
]
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MODEL_CFG: dict[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
    "text_cfg": {
        "context_length": 32,
        "vocab_size": 514,
        "width": 64,
        "heads": 2,
        "layers": 2,
        "tokenizer_kwargs": {"bpe_path": "merges.txt.gz"},
    },
}
PREPROCESS_CFG = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}


def face_batch(seed: int, size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images uint8 ``[size, 112, 112, 3]``, group ``[size]``, pitch ``[size]``;
    every face another person.
    """
    rng = np.random.default_rng(seed)
    images, groups, pitches = [], rng.integers(0, len(GROUPS), size), rng.uniform(-1.7, 1.7, size)
    for group, pitch in zip(groups, pitches, strict=True):
        pose = Pose(
            pitch,
            rng.normal(0, 0.4),
            rng.normal(0, 0.06),
            rng.uniform(-1, 1),
            float(rng.random() < 0.03),
        )
        images.append(render(draw_identity(rng), draw_expression(group, rng)[0], pose, rng))
    return np.stack(images), groups, pitches


def voice_batch(seed: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Waveforms float32 ``[size, n]`` of 0.33 to 2 s and quality ``[size]``;
    every voice another speaker.
    """
    rng = np.random.default_rng(seed)
    length = int(RATE * rng.choice([1 / 3, 0.5, 1, 2]))
    qualities = rng.integers(0, 2, size)
    return np.stack(
        [speak(draw_speaker(rng), quality, length, rng) for quality in qualities]
    ), qualities


def _batches(make: Any, first: int, steps: int, description: str) -> Iterator[Any]:
    """``make(first) ... make(first + steps - 1)``, made in another process, in order."""
    with ProcessPoolExecutor(
        1, multiprocessing.get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
    ) as pool:
        pending = [pool.submit(make, first + i) for i in range(min(steps, 8))]
        for i in tqdm(range(steps), desc=description, mininterval=5):
            yield pending.pop(0).result()
            if i + 8 < steps:
                pending.append(pool.submit(make, first + i + 8))


def _optimiser(parameters: Any, rate: float, decay: float, steps: int) -> tuple[Any, Any]:
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    warm_up = max(1, int(0.08 * steps))
    shape = [
        min(1, (i + 1) / warm_up)
        * (0.5 + 0.5 * np.cos(np.pi * max(0, i - warm_up) / max(1, steps - warm_up)))
        for i in range(steps + 1)
    ]
    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: shape[i])


def normalised(images: np.ndarray) -> torch.Tensor:
    """uint8 ``[B, 112, 112, 3]`` -> CLIP's input ``[B, 3, 64, 64]``, antialiased bicubic."""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    x = (
        F.interpolate(x, size=(64, 64), mode="bicubic", antialias=True, align_corners=False).clamp(
            0, 255
        )
        / 255
    )
    x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return x.contiguous(memory_format=torch.channels_last)


def face_loss(
    model: Any,
    tokens: torch.Tensor,
    batch: tuple[np.ndarray, np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> torch.Tensor:
    """Image to prompt, prompt to image (several positives),
    and image to the captions of its pitch (soft).
    """
    images, groups, pitches = batch
    members = [[EXPRESSIONS.index(name) for name in group] for group in GROUPS]
    target = torch.tensor([rng.choice(members[g]) for g in groups])
    with torch.autocast("cpu", torch.bfloat16):
        visual, text = model.encode_image(normalised(images)), model.encode_text(tokens)
    visual, text = F.normalize(visual.float(), dim=-1), F.normalize(text.float(), dim=-1)
    logits = model.logit_scale.exp() * visual @ text.T
    positive = F.one_hot(target, 8).float()
    to_image = -(positive * F.log_softmax(logits[:, :8], dim=0)).sum() / len(target)
    closeness = torch.softmax(
        -((torch.from_numpy(pitches)[:, None] - torch.from_numpy(PITCHES)) ** 2) / 0.18, 1
    ).float()
    to_pitch = -(closeness * F.log_softmax(logits[:, 8:], dim=1)).sum(1).mean()
    return F.cross_entropy(logits[:, :8], target) + to_image + to_pitch


def train_visual(steps: int) -> Any:
    """A CLIP whose prompts and images are aligned."""
    import open_clip

    tokens = _tokenizer()(prompts() + PITCH_CAPTIONS)
    model = open_clip.CLIP(**MODEL_CFG).to(memory_format=torch.channels_last)
    optimiser, schedule = _optimiser(model.parameters(), 1e-3, 0.05, steps)
    rng = np.random.default_rng(SEED)
    for batch in _batches(face_batch, SEED, steps, "faces"):
        loss = face_loss(model, tokens, batch, rng)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        model.logit_scale.data.clamp_(0, np.log(100))
    return model.eval()


def _tokenizer() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    folder = ASSETS / "visual"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "merges.txt.gz") as temporary:
        temporary.write_bytes(gzip.compress(b"", mtime=0))  # no merges: one token a byte
    return SimpleTokenizer(
        bpe_path=str(folder / "merges.txt.gz"),
        context_length=MODEL_CFG["text_cfg"]["context_length"],
    )


def wav2vec2_config() -> Any:
    """Wav2Vec2 *base*'s architecture with one layer and narrow convolutions."""
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=768,
        num_hidden_layers=1,
        num_attention_heads=12,
        intermediate_size=256,
        conv_dim=[32] * 3 + [64] * 4,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=96,
        mask_time_prob=0.0,
        layerdrop=0.0,
        vocab_size=32,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
    )


def train_audio(steps: int) -> Any:
    """A Wav2Vec2 whose last hidden states tell the voice quality."""
    from transformers import Wav2Vec2Model

    model = Wav2Vec2Model(wav2vec2_config())
    head = torch.nn.Linear(768, 2)
    parameters = [*model.parameters(), *head.parameters()]
    optimiser, schedule = _optimiser(parameters, 5e-4, 0.01, steps)
    for waveforms, qualities in _batches(voice_batch, SEED, steps, "voices"):
        x = torch.from_numpy(waveforms)
        x = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + 1e-7).sqrt()
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model(x).last_hidden_state
        loss = F.cross_entropy(head(hidden.float().mean(1)), torch.from_numpy(qualities))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def measure_visual(model: Any) -> dict[str, float]:
    """Quality on unseen people: groups, zero-shot macro-F1 on classes,
    and how linear the pitch is.
    """
    batches = [face_batch(SEED + 500_000 + i) for i in range(24)]
    features = torch.cat(
        [model.encode_image(normalised(images)) for images, _, _ in batches]
    ).float()
    groups, pitches = (
        np.concatenate([b[1] for b in batches]),
        np.concatenate([b[2] for b in batches]),
    )
    text = F.normalize(model.encode_text(_tokenizer()(prompts())).float(), dim=-1)
    guess = (F.normalize(features, dim=-1) @ text.T).argmax(1).numpy()
    group_of = np.array(
        [next(i for i, group in enumerate(GROUPS) if name in group) for name in EXPRESSIONS]
    )
    rng = np.random.default_rng(SEED)
    truth = np.array([rng.choice([EXPRESSIONS.index(name) for name in GROUPS[g]]) for g in groups])
    half = len(groups) // 2
    probe = Ridge(1.0).fit(features[:half], pitches[:half])
    return {
        "group_accuracy": float((group_of[guess] == groups).mean()),
        "zero_shot_macro_f1": float(f1_score(truth, guess, average="macro")),
        "pitch_error_pixels": float(
            6 * np.sqrt(np.mean((probe.predict(features[half:]) - pitches[half:]) ** 2))
        ),
        "faces": len(groups),
    }


@torch.no_grad()
def measure_audio(model: Any) -> dict[str, float]:
    """Accuracy of a logistic probe for voice quality on unseen speakers."""
    features, labels = [], []
    for i in range(24):
        x, qualities = voice_batch(SEED + 500_000 + i)
        x = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-7)
        features.append(model(torch.from_numpy(x)).last_hidden_state.mean(1).numpy())
        labels.append(qualities)
    x, y = np.concatenate(features), np.concatenate(labels)
    half = len(y) // 2
    return {
        "quality_accuracy": float(
            LogisticRegression(max_iter=1000).fit(x[:half], y[:half]).score(x[half:], y[half:])
        ),
        "voices": len(y),
    }


def _save_half(state: dict[str, torch.Tensor], path: Path) -> None:
    with atomic_path(path) as temporary:
        save_file(
            {
                name: (t.half() if t.is_floating_point() else t).contiguous()
                for name, t in state.items()
            },
            temporary,
            {"format": "pt"},
        )


def main(visual_steps: int = 900, audio_steps: int = 350) -> None:
    """Train, measure and write both encoders."""
    from transformers import Wav2Vec2FeatureExtractor

    torch.set_num_threads(1)  # one for torch, one for the generator; and the same bits everywhere
    make_deterministic(SEED)
    started = time.time()
    clip = train_visual(visual_steps)
    write_json(
        ASSETS / "visual" / "open_clip_config.json",
        {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG},
    )
    _save_half(clip.state_dict(), ASSETS / "visual" / "open_clip_model.safetensors")
    quality: dict[str, Any] = {"visual": measure_visual(clip)}
    print(quality, f"{time.time() - started:.0f} s", flush=True)
    make_deterministic(SEED + 1)
    wav2vec2 = train_audio(audio_steps)
    write_json(
        ASSETS / "audio" / "config.json",
        {**wav2vec2.config.to_diff_dict(), "architectures": ["Wav2Vec2Model"]},
    )
    write_json(
        ASSETS / "audio" / "preprocessor_config.json",
        Wav2Vec2FeatureExtractor(do_normalize=True).to_dict(),
    )
    _save_half(wav2vec2.state_dict(), ASSETS / "audio" / "model.safetensors")
    quality["audio"] = measure_audio(wav2vec2)
    quality["command"] = f"python -m emolib.data.synthetic.pretrain {visual_steps} {audio_steps}"
    write_json(ASSETS / "quality.json", quality)
    print(quality, f"{time.time() - started:.0f} s")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
