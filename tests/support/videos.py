"""Videos with white squares for faces, runs that look at them,
and what the tests ask of the results.
"""

import os
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from emolib.config import preset
from emolib.data import media
from emolib.labels import EXPRESSIONS
from emolib.model import EmotionModel
from emolib.video.crops import TEMPLATE
from emolib.video.detection import Face
from emolib.video.predict import predict
from emolib.video.timeline import PROBABILITIES

WINDOW, STRIDE = 20, 4  # frames, of every run that these tests make
REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
YUNET = REAL / "yunet" / "yunet_n_320_320.onnx"
real = pytest.mark.skipif(not YUNET.is_file(), reason=f"no real clips and detector in {REAL}")


class SquareFinder:
    """Stands in for YuNet: a face is a bright square, its points where the template has them."""

    def __init__(self, model):
        self.model = model

    def faces(self, image, longest=0):
        bright = (image.min(axis=2) > 150).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        boxes = [tuple(map(float, row[:4])) for row in stats[1:] if row[4] > 60]
        found = [
            Face(box=box, points=TEMPLATE * box[2] / 112 + box[:2], score=0.9) for box in boxes
        ]
        return sorted(found, key=lambda face: -face.area)


def make_run(folder: Path, **changes) -> Path:
    """A run folder with an untrained model whose answers differ clearly between inputs."""
    settings = {
        "window": WINDOW,
        "frame_stride": STRIDE,
        "width": 32,
        "amp": "float32",
        "precision": "strict",
        **changes,
    }
    experiment = preset("demo", **settings)
    experiment.save(folder / "experiment.json")
    torch.manual_seed(3)
    model = EmotionModel(experiment)
    with torch.no_grad():
        model.classifier[-1].weight.mul_(30)
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "model.safetensors",
    )
    return folder


def picture(t, faces, size=(160, 120)):
    """RGB ``[H, W, 3]``: dark, with a bright square of changing shade for each (x, y, side)."""
    image = np.full((size[1], size[0], 3), 20, np.uint8)
    for i, (x, y, side) in enumerate(faces):
        shade = int(215 + 40 * np.sin(t * (0.3 + i)))
        image[y : y + side, x : x + side] = (shade, 255 - 30 * i, 200)
    return image


def tone(seconds, seed=0):
    generator = np.random.default_rng(seed)
    t = np.arange(round(seconds * media.SAMPLE_RATE)) / media.SAMPLE_RATE
    return (
        0.3 * np.sin(2 * np.pi * (150 + 100 * t) * t) + 0.05 * generator.normal(size=len(t))
    ).astype(np.float32)


def make_video(
    path, n=50, *, faces=lambda i: [(40, 30, 50)], times=25.0, sound=True, size=(160, 120)
):
    """A small MP4 with ``faces(i)`` in frame i (from 0)."""
    length = n / times if isinstance(times, float) else times[-1]
    waveform = tone(length) if sound is True else (None if sound is False else sound)
    media.write_video(
        path, (picture(i, faces(i), size) for i in range(n)), times, waveform, size=size
    )
    return path


def delayed(video, path, seconds):
    """``video`` again, its sound ``seconds`` later."""
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        streams = {
            stream.index: target.add_stream_from_template(stream) for stream in source.streams
        }
        for packet in sorted(
            (packet for packet in source.demux() if packet.size),
            key=lambda packet: packet.stream.type == "audio",
        ):
            ticks = round(seconds / packet.time_base) if packet.stream.type == "audio" else 0
            packet.pts, packet.dts, packet.stream = (
                packet.pts + ticks,
                packet.dts + ticks,
                streams[packet.stream.index],
            )
            target.mux(packet)
    return path


def rows_of(out, video):
    rows = pd.read_parquet(out / Path(video).stem / "predictions.parquet")
    text = pd.read_csv(out / Path(video).stem / "predictions.csv")
    assert list(rows.columns) == list(text.columns) and len(rows) == len(text)
    assert np.allclose(rows[PROBABILITIES], text[PROBABILITIES], equal_nan=True)
    assert (rows[PROBABILITIES].isna().sum(axis=1).isin([0, 8])).all()
    known = rows["class"].notna()
    assert np.allclose(rows.loc[known, PROBABILITIES].sum(axis=1), 1, atol=1e-5)
    assert (
        rows.loc[known, "class"]
        == np.array(EXPRESSIONS)[rows.loc[known, PROBABILITIES].to_numpy().argmax(axis=1)]
    ).all()
    assert (known == rows["p_Anger"].notna()).all() and (known == rows["modality"].notna()).all()
    return rows


def go(videos, run, out, **options):
    lines = []
    options = {"timeline": False, "progress": False, "say": lines.append, **options}
    summaries = predict([videos] if isinstance(videos, Path) else videos, run, out, **options)
    return summaries, lines


def encode(path, codec, n=12, size=(160, 120), fmt=None, options=None):
    """A video in any container and codec, a square in each frame, no sound."""
    with av.open(str(path), "w", format=fmt) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = (
            *size,
            "yuvj420p" if codec == "mjpeg" else "yuv420p",
        )
        for i in range(n):
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(picture(i, [(40, 30, 50)], size), format="rgb24")
                )
            )
        container.mux(stream.encode(None))
    return path


def only_sound(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(1.0)[None], format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damaged(path, how, made=None):
    content = bytearray((made or make_video(path, 60)).read_bytes())
    begin = content.index(b"mdat") + 4 if b"mdat" in content else len(content) // 2
    if how == "middle":
        middle = begin + (len(content) - begin) // 3
        content[middle : middle + 2000] = (
            np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8).tobytes()
        )
    elif how == "half":
        content = content[: len(content) // 2]
    elif how == "pictures":
        content[begin:-3000] = bytes(len(content) - 3000 - begin)
    elif how == "rubbish after":
        content += np.random.default_rng(1).bytes(5000)
    elif how == "twice":
        content *= 2
    elif how == "first kilobyte":
        content = content[:1000]
    elif how == "header":
        content[:64] = bytes(64)
    path.write_bytes(content)
    return path


def no_packets(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        container.start_encoding()
    return path


def bytes_to(path, content):
    path.write_bytes(content)
    return path


def folder_of(path):
    path.mkdir()
    return path


def link_to(path, target):
    path.symlink_to(target)
    return path


def forbidden(path):
    make_video(path, 5).chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read anything")
    return path


def jpeg(path):
    return bytes_to(path, cv2.imencode(".jpg", picture(0, [(40, 30, 50)]))[1].tobytes())
