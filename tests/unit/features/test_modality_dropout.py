"""Modality dropout: which windows lose a stream, and what is left of them."""

import pytest
import torch

from emolib.config import preset
from emolib.errors import WrongCall
from emolib.features.batches import Batch, drop_streams


def test_a_share_of_the_windows_loses_one_stream():
    torch.manual_seed(0)
    batch = Batch(torch.ones(4000, 3, 2).half(), torch.ones(4000, 5, 4).half(), None)
    faceless = torch.tensor([0.25, 0.5])
    visual, audio, length = drop_streams(batch, 0.3, faceless)
    no_face = (visual == faceless.half()).all(dim=(1, 2))
    no_sound = length == 0
    assert torch.equal(visual[~no_face], batch.visual[~no_face]) and torch.equal(audio, batch.audio)
    assert set(length.tolist()) == {0, 5}
    assert not (no_face & no_sound).any(), "a window keeps one stream"
    for lost in (no_face, no_sound):
        assert 0.12 < lost.float().mean() < 0.18


def test_lengths_that_are_there_are_kept():
    length = torch.tensor([5, 0, 2])
    batch = Batch(torch.ones(3, 3, 2), torch.ones(3, 5, 4), length)
    assert torch.equal(drop_streams(batch, 0.0, torch.zeros(2)).audio_length, length)


def test_one_stream_cannot_be_dropped():
    with pytest.raises(WrongCall, match=r"modality_dropout=0\.2 needs two streams"):
        preset("demo", modalities="visual", fusion="concat", modality_dropout=0.2)
