"""A batch that does not fit is encoded in halves, with the results of the whole."""

import pytest
import torch

from emolib.config import preset
from emolib.encoders.frozen import in_halves
from emolib.encoders.load import load_audio, load_visual
from emolib.errors import EmolibError


def tight(encode, most, sizes):
    """``encode`` on a device that holds ``most`` items at once."""

    def limited(batch, *arguments, **options):
        sizes.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(batch, *arguments, **options)

    return limited


@pytest.mark.parametrize("most", [1, 3])
def test_halves_are_put_together_in_order(most):
    sizes, batch = [], torch.arange(7.0)
    assert in_halves(tight(torch.square, most, sizes), batch).tolist() == (batch**2).tolist()
    assert sizes[:2] == [7, 4]


def test_an_item_that_does_not_fit_is_an_error_with_what_helps():
    with pytest.raises(EmolibError, match=r"single item.*EMOLIB_DEVICE=cpu"):
        in_halves(tight(torch.square, 0, []), torch.arange(4.0))


def test_both_encoders_do_so(monkeypatch):
    experiment = preset("demo", precision="strict")
    generator = torch.Generator().manual_seed(0)
    faces = torch.randint(0, 256, (5, 96, 96, 3), dtype=torch.uint8, generator=generator)
    waves = torch.rand(5, 4000, generator=generator) - 0.5
    visual, audio = load_visual(experiment, "cpu"), load_audio(experiment, "cpu")
    expected = visual.images(faces), audio.waveforms(waves)
    sizes = []
    monkeypatch.setattr(visual.clip, "encode_image", tight(visual.clip.encode_image, 2, sizes))
    monkeypatch.setattr(audio.model, "forward", tight(audio.model.forward, 2, sizes))
    results = visual.images(faces), audio.waveforms(waves)
    assert sizes == 2 * [5, 3, 2, 1, 2]
    for result, whole in zip(results, expected, strict=True):
        torch.testing.assert_close(result, whole, atol=1e-5, rtol=1e-5)
