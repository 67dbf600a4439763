"""Peak memory of predicting a film of one minute and then one of MINUTES: ``python tests/benchmarks/predict_memory.py MINUTES RATE``.

One generated minute, RATE frames a second with sound, copied packet by packet as often as needed. Both films take the
whole way, table, timeline and annotated film included, in one process; prints a line of JSON with the two peaks in bytes.
"""

import json
import resource
import sys
import tempfile
from pathlib import Path

import av

from emolib.video import predictor as prediction
from emolib.video.predict import predict
from tests.unit.video.test_predict import film, make_run, tone


def repeat(source: Path, target: Path, times: int) -> Path:
    """``source``, exactly a minute long, ``times`` times in a row, without encoding anything."""
    with av.open(str(target), "w") as out:
        with av.open(str(source)) as first:
            streams = {
                stream.index: out.add_stream_from_template(stream) for stream in first.streams
            }
        for turn in range(times):
            with av.open(str(source)) as container:
                for packet in container.demux():
                    if (
                        packet.dts is None or not 0 <= packet.pts * packet.time_base < 60
                    ):  # the end, or AAC's lead-in
                        continue
                    shift = round(turn * 60 / packet.time_base)
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


def main(minutes: int, rate: float) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as name:
        folder, peaks = Path(name), {}
        prediction.CHUNK = 32  # windows in memory at once: a minute fills more than one chunk, as it does at real rates
        run = make_run(folder / "run", window=round(rate), frame_stride=2)
        minute = film(
            folder / "minute.mp4",
            round(60 * rate),
            times=rate,
            size=(112, 112),
            faces=lambda i: [(20, 16, 60)],
            sound=tone(60.0),
        )
        for label, video in (
            ("minute", minute),
            ("film", repeat(minute, folder / "film.mp4", minutes)),
        ):
            (summary,) = predict(
                [video],
                run,
                folder / "out",
                faces="whole",
                annotate=True,
                progress=False,
                say=lambda line: None,
            )
            peaks |= {
                label: peak(),
                f"{label}_frames": summary["frames_predicted"],
                f"{label}_sound": round(summary["sound_seconds"]),
            }
        return peaks


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), float(sys.argv[2]))))
