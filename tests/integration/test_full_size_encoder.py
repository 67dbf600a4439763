"""A ViT-B/32 of full size, with random weights: 600 MB on the disk."""

import torch

from emolib.encoders.clip import VisualEncoder
from emolib.encoders.clip_layouts import read_clip
from emolib.encoders.resize import normalise
from tests.support.small_encoders import clip_model, images


def test_full_size_vit_b_32_agrees_three_ways(tmp_path):
    """transformers, open_clip's factory for ViT-B-32-quickgelu and ours,
    on the same random weights.
    """
    import open_clip

    model = clip_model(vision={}, text={})
    model.save_pretrained(tmp_path)
    encoder = VisualEncoder(tmp_path)
    with torch.device("meta"):  # without numbers of its own, which take seconds to draw
        reference = open_clip.create_model("ViT-B-32-quickgelu", device="meta").eval()
    reference.load_state_dict(read_clip(tmp_path).state, strict=True, assign=True)
    batch = images(2, 224)
    pixels = normalise(batch, encoder.mean, encoder.std, torch.float32)
    with torch.no_grad():
        expected = model.get_image_features(pixel_values=pixels).pooler_output
        again = reference.encode_image(pixels)
    torch.testing.assert_close(encoder.images(batch), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(encoder.images(batch), again, rtol=1e-3, atol=1e-4)
    fast = VisualEncoder(tmp_path, dtype=torch.bfloat16).images(batch)
    assert 0.9995 < torch.cosine_similarity(fast, expected).min() < 1
    # Random weights see little else.
    assert torch.cosine_similarity(fast[0] - fast[1], expected[0] - expected[1], dim=0) > 0.95
