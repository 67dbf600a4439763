"""Real AVI files for the tests: H.264 or MPEG-4, with or without reordered frames,
sound of raw samples.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from emolib.data import media


def moving(n: int) -> list[np.ndarray]:
    """``n`` pictures uint8 ``[48, 64, 3]`` of a texture that moves to the right,
    so that an encoder has use for B-frames.
    """
    texture = np.random.default_rng(0).integers(40, 110, (48, 64, 3), dtype=np.uint8)
    return [np.roll(texture, 3 * number, axis=1) for number in range(n)]


def write_avi(
    path: Path,
    pictures: Iterable[np.ndarray | None],
    rate: Fraction,
    waveform: np.ndarray,
    *,
    codec: str = "mpeg4",
    b_frames: int = 0,
) -> None:
    """``pictures``: RGB uint8 ``[H, W, 3]``, None where the frame before goes on showing;
    ``waveform``: float32 ``[n]`` in [-1, 1].
    """
    with av.open(str(path), "w", format="avi") as container:
        video = container.add_stream(codec, rate=rate, options={"bf": str(b_frames)})
        sound = container.add_stream("pcm_s16le", rate=media.SAMPLE_RATE, layout="mono")
        for number, picture in enumerate(pictures):
            if picture is not None:
                if number == 0:
                    video.height, video.width, video.pix_fmt = *picture.shape[:2], "yuv420p"
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, 1 / rate
                container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = np.rint(np.clip(waveform, -1, 1) * 32767).astype(np.int16)
        block = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        block.sample_rate, block.pts, block.time_base = (
            media.SAMPLE_RATE,
            0,
            Fraction(1, media.SAMPLE_RATE),
        )
        container.mux(sound.encode(block))
        container.mux(sound.encode(None))
