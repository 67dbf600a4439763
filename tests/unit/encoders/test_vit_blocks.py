"""The rewritten vision transformer equals open_clip's own, whatever of its options a published model uses."""

from copy import deepcopy

import pytest
import torch
from open_clip.transformer import QuickGELU, VisionTransformer

from emolib.encoders.vit_blocks import Block, rewrite_blocks

OPTIONS = {
    "ViT-B/32 in small": {"act_layer": QuickGELU},
    "plain GELU": {"act_layer": torch.nn.GELU},
    "layer scale": {"ls_init_value": 0.5, "act_layer": QuickGELU},
    "attention pooling": {
        "attentional_pool": True,
        "attn_pooler_queries": 4,
        "attn_pooler_heads": 2,
    },
    "average pooling": {"pool_type": "avg"},
}


def towers(dtype=torch.float32, **options):
    """A tower with random weights as open_clip made it and rewritten, and images ``[3, 3, 32, 32]``."""
    torch.manual_seed(0)
    plain = VisionTransformer(
        image_size=32,
        patch_size=8,
        width=64,
        layers=3,
        heads=4,
        mlp_ratio=4.0,
        output_dim=48,
        **options,
    )
    for (
        parameter
    ) in plain.parameters():  # nothing at its first value: ones and zeros hide what is left out
        parameter.data += 0.1 * torch.randn_like(parameter)
    plain = plain.eval().requires_grad_(False).to(dtype)
    rewritten = deepcopy(plain)
    rewrite_blocks(rewritten)
    return plain, rewritten, torch.randn(3, 3, 32, 32, dtype=dtype)


def features(tower, images):
    found = tower(images)
    return found[0] if isinstance(found, tuple) else found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_equals_open_clip(options):
    plain, rewritten, images = towers(**options)
    blocks = rewritten.transformer.resblocks
    assert all(isinstance(block, Block) for block in blocks)
    reads_one_token = plain.pool_type == "tok" and plain.attn_pool is None
    assert [block.first_only for block in blocks] == [False, False, reads_one_token]
    expected, found = features(plain, images), features(rewritten, images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (expected - expected.flip(0)).abs().mean() > 0.01, (
        "images are told apart, so a shuffled answer fails"
    )


def test_float16_and_bfloat16_stay_near_float32():
    _, exact, images = towers(act_layer=QuickGELU)
    expected = features(exact, images)
    for dtype, most in ((torch.float16, 1e-5), (torch.bfloat16, 1e-3)):
        found = features(exact.to(dtype), images.to(dtype)).float()
        distance = 1 - torch.cosine_similarity(found, expected)
        assert 0 < distance.max() < most
        exact = exact.float()


def test_other_towers_stay_as_they_are():
    towers_left = [
        torch.nn.Sequential(torch.nn.Linear(2, 2)),
        VisionTransformer(16, 8, 32, 1, 2, 4.0, output_dim=8),
    ]
    towers_left[1].transformer.batch_first = False
    for tower in towers_left:
        before = [type(module) for module in tower.modules()]
        rewrite_blocks(tower)
        assert [type(module) for module in tower.modules()] == before
