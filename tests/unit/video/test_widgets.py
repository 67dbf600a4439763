"""The slider's pages and the upload, without a browser."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from emolib.data import media
from emolib.errors import EmolibError
from emolib.labels import EXPRESSIONS
from emolib.video import widgets as explore
from emolib.video.observation import Observation
from emolib.video.spool import Spool


class Button:
    def __init__(self, *files):
        self.value = files


def test_an_upload_is_stored_and_comes_before_the_path(tmp_path):
    path = explore.chosen(
        Button({"name": "../video.mp4", "content": memoryview(b"bytes")}), "other.mp4", tmp_path
    )
    assert path == tmp_path / "video.mp4" and path.read_bytes() == b"bytes"
    assert explore.chosen(Button(), "other.mp4", tmp_path) == Path("other.mp4")
    assert explore.chosen(Button(), "", tmp_path) is None
    with pytest.raises(EmolibError, match="empty"):
        explore.chosen(Button({"name": "video.mp4", "content": memoryview(b"")}), "", tmp_path)


def test_slider_turns_its_pages(tmp_path):
    ipywidgets = pytest.importorskip("ipywidgets")
    video = tmp_path / "video.mp4"
    media.write_video(
        video, (np.full((32, 48, 3), 3 * i, np.uint8) for i in range(80)), 25.0, None, size=(48, 32)
    )
    shares = np.random.default_rng(0).dirichlet(np.ones(8), 80)
    rows = pd.DataFrame(shares, columns=[f"p_{name}" for name in EXPRESSIONS])
    rows = rows.assign(frame=np.arange(1, 81), track=1, x=1.0, y=2.0, w=20.0, h=20.0)
    rows["class"] = pd.array(np.array(EXPRESSIONS)[shares.argmax(axis=1)], dtype="string")
    rows.loc[rows["frame"] == 80, ["x", "class"]] = None
    empty = Spool(np.float16, 512)
    nobody = np.zeros(0, int)
    observation = Observation(
        video,
        media.frame_times(video),
        (48, 32),
        looked_at=np.arange(1, 81),
        found=np.ones(80, int),
        frame=nobody,
        track=nobody,
        box=np.zeros((0, 4)),
        score=np.zeros(0),
        visual=empty,
    )
    control, view = explore.slider(rows, observation).children
    assert (
        isinstance(control, ipywidgets.SelectionSlider) and len(control.options) == explore.MOMENTS
    )
    first = view.value
    assert f'alt="The video at 0.00 s: {rows["class"][0]}"' in first and first.count("<tr>") == 8
    control.value = 20
    assert view.value != first and rows["class"][int(np.linspace(1, 80, 60)[20]) - 1] in view.value
    control.value = explore.MOMENTS - 1
    assert "3.16 s: nothing predicted" in view.value and "<tr>" not in view.value


def test_bars_of_several_people_carry_the_number_of_their_box(monkeypatch):
    rows = pd.DataFrame({f"p_{name}": [0.0, 0.0] for name in EXPRESSIONS}).assign(
        p_Anger=[1.0, 0.0], p_Fear=[0.0, 1.0]
    )
    rows = rows.assign(track=[3, 5], x=[1.0, 30.0], y=2.0, w=20.0, h=20.0)
    rows["class"] = pd.array(["Anger", "Fear"], dtype="string")
    written = []
    monkeypatch.setattr(
        explore.annotation, "write_on", lambda image, text, *rest: written.append(text)
    )
    image = np.zeros((60, 80, 3), np.uint8)
    both = explore.page(image, rows, 1.0, several=True)
    assert written == ["3", "5"] and "1.00 s: track 3: Anger, track 5: Fear" in both
    assert both.index("<caption>track 3</caption>") < both.index("<caption>track 5</caption>")
    alone = explore.page(image, rows[:1], 1.0, several=False)
    assert (
        len(written) == 2
        and "1.00 s: Anger" in alone
        and "track" not in alone
        and "caption" not in alone
    )
