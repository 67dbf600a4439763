"""Peak memory of predicting a short video and then a long one:
``python -m tests.benchmarks.predict_memory SHORT LONG RATE``.

SHORT and LONG are seconds, the second a multiple of the first; RATE is frames a second. The short
video has sound and is copied packet by packet as often as needed. Both take the whole way, table,
timeline and annotated video included, in one process; prints a line of JSON with the two peaks in
bytes.
"""

import json
import resource
import sys
import tempfile
from pathlib import Path

import av

from emolib.video import predictor as prediction
from emolib.video.predict import predict
from tests.support.videos import make_run, make_video, tone


def repeat(source: Path, target: Path, times: int, seconds: int) -> Path:
    """``source``, exactly ``seconds`` long, ``times`` times in a row, without encoding anything."""
    with av.open(str(target), "w") as out:
        with av.open(str(source)) as first:
            streams = {
                stream.index: out.add_stream_from_template(stream) for stream in first.streams
            }
        for turn in range(times):
            with av.open(str(source)) as container:
                for packet in container.demux():
                    # The end of the video, or AAC's lead-in.
                    if packet.dts is None or not 0 <= packet.pts * packet.time_base < seconds:
                        continue
                    shift = round(turn * seconds / packet.time_base)
                    packet.pts, packet.dts, packet.stream = (
                        packet.pts + shift,
                        packet.dts + shift,
                        streams[packet.stream.index],
                    )
                    out.mux(packet)
    return target


def peak() -> int:
    """The most that this process has held so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(short: int, long: int, rate: float) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as name:
        folder, peaks = Path(name), {}
        # Windows in memory at once: the short video must fill more than one chunk,
        # as it does at real rates.
        prediction.CHUNK = 32
        run = make_run(folder / "run", window=round(rate), frame_stride=2)
        one = make_video(
            folder / "short.mp4",
            round(short * rate),
            times=rate,
            size=(112, 112),
            faces=lambda i: [(20, 16, 60)],
            sound=tone(float(short)),
        )
        many = repeat(one, folder / "long.mp4", long // short, short)
        for label, video in (("short", one), ("long", many)):
            (summary,) = predict(
                [video],
                run,
                folder / "out",
                faces="whole",
                annotate=True,
                progress=False,
                say=lambda line: None,
            )
            peaks[label] = peak()
            peaks[f"{label}_frames"] = summary["frames_predicted"]
            peaks[f"{label}_sound"] = round(summary["sound_seconds"])
        return peaks


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
