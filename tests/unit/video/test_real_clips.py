"""Real clips and the real detector, where they are."""

import numpy as np
import pytest

from emolib.data import media
from tests.support.videos import REAL, YUNET, go, real, rows_of


@real
@pytest.mark.parametrize(
    ("name", "frames", "faces", "sound"),
    [
        ("sbwe5n.mpg", 75, (75, 75), "present"),
        ("brbk7n.mpg", 75, (75, 75), "present"),
        ("lrwp9a.mpg", 75, (75, 75), "present"),
        ("WolfgangLanger_Pexels.mp4", 472, (472, 472), "silent"),
        ("single_face.mp4", 72, (72, 72), "present"),
        ("face_noface.mov", 169, (60, 90), "present"),
    ],
)
def test_real_clips(tmp_path, run, name, frames, faces, sound):
    """Frame counts, faces and sound as SOURCES.md has them, times as FFmpeg reports them."""
    (summary,), _ = go(REAL / "clips" / name, run, tmp_path, detector=YUNET)
    rows = rows_of(tmp_path, name)
    assert (
        len(rows) == frames
        and faces[0] <= summary["frames_with_face"] <= faces[1]
        and summary["sound"] == sound
    )
    assert np.allclose(rows["time"], media.frame_times(REAL / "clips" / name), atol=1e-6)
    if name.endswith(".mpg"):
        assert (
            np.allclose(rows["time"], np.arange(75) * 0.04, atol=1e-6)
            and rows["class"].notna().all()
        )
