"""The times of an observation, and the thumbnails it keeps."""

from pathlib import Path

import numpy as np
import pytest

from emolib.video import thumbnails
from emolib.video.observation import Observation
from emolib.video.spool import Spool
from tests.support.videos import go, make_video


def test_a_pause_makes_the_last_frame_no_longer(tmp_path, run, squares):
    times = np.arange(30) * 0.033 + 20 * (np.arange(30) >= 15)
    (summary,), _ = go(
        make_video(tmp_path / "pause.mp4", 30, times=times, sound=False),
        run,
        tmp_path / "out",
        detector=squares,
    )
    assert summary["seconds"] == pytest.approx(20.99, abs=0.003) and summary[
        "frames_per_second"
    ] == pytest.approx(29 / 20.957, abs=0.01)


@pytest.mark.parametrize(
    ("times", "constant"),
    [([0.0], True), ([0, 0.04], True), ([0, 0.033, 0.067], True), ([0, 0.03, 0.08], False)],
)
def test_whether_a_rate_is_constant(times, constant):
    nobody = np.zeros(0, np.int32)
    observation = Observation(
        video=Path("video.mp4"),
        times=np.array(times),
        size=(8, 8),
        looked_at=np.arange(1, len(times) + 1),
        found=np.zeros(len(times), np.int32),
        frame=nobody,
        track=nobody,
        box=np.zeros((0, 4)),
        score=np.zeros(0),
        visual=Spool(np.float16, 512),
    )
    assert (
        observation.constant_rate is constant
        and observation.end > times[-1]
        and observation.shown is None
    )


def test_thumbnails_are_spread_over_any_length():
    for n in (1, 5, 16, 17, 1000):
        kept = thumbnails.Thumbnails()
        for i in range(n):
            kept.offer(float(i), np.zeros(1))
        times = [time for time, _ in kept.kept]
        assert min(n, thumbnails.THUMBNAILS) <= len(times) <= 2 * thumbnails.THUMBNAILS
        assert n < 2 or (times[0] == 0 and times[-1] >= 0.8 * (n - 1))


def test_thumbnails_of_a_crowd_stay_few():
    """A person for each second, seen in 5 frames; number 300 in 9.

    At most the longest and those of the last second are kept.
    """
    albums = thumbnails.Albums()
    for person in range(1, 1001):
        for i in range(9 if person == 300 else 5):
            albums.offer(person, person + i / 10, np.full(1, person), {person})
            assert len(albums.tracks) <= 3
    assert len(albums.of(300)) == 9 and {int(cut[0]) for _, cut in albums.of(300)} == {300}
    assert len({int(cut[0]) for _, cut in albums.of(None)}) > thumbnails.THUMBNAILS
