"""Losses against values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from emolib.errors import EmolibError
from emolib.losses import Classification, Contrastive, class_weights

LABELS = np.repeat(np.arange(8), [8, 1, 1, 1, 2, 1, 1, 1])  # 16 windows


def test_class_weights_are_inverse_shares():
    expected = [16 / (8 * n) for n in [8, 1, 1, 1, 2, 1, 1, 1]]
    torch.testing.assert_close(class_weights(LABELS, "inverse"), torch.tensor(expected))
    assert class_weights(LABELS[LABELS != 3], "none").tolist() == [1] * 8
    with pytest.raises(EmolibError, match="Disgust, Other"):
        class_weights(LABELS[(LABELS != 2) & (LABELS != 7)], "inverse")


def test_classification_by_hand():
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 8), torch.tensor([0, 0, 1, 7, 3])
    weights = class_weights(LABELS, "inverse")
    prior = torch.bincount(torch.from_numpy(LABELS)) / 16
    log_p = (logits + 0.5 * prior.log()).log_softmax(dim=1)
    by_hand = sum(-weights[y] * log_p[i, y] for i, y in enumerate(labels)) / weights[labels].sum()
    torch.testing.assert_close(Classification(weights, prior, 0.5)(logits, labels), by_hand)
    plain = Classification(weights, prior)(logits, labels)
    torch.testing.assert_close(plain, functional.cross_entropy(logits, labels, weight=weights))
    assert abs(plain - by_hand) > 0.01


def test_focal_loss_by_hand():
    torch.manual_seed(0)
    logits, labels = torch.randn(5, 8), torch.tensor([0, 0, 1, 7, 3])
    weights, prior = class_weights(LABELS, "inverse"), torch.full((8,), 1 / 8)
    p = logits.softmax(dim=1)[range(5), labels]
    by_hand = (weights[labels] * (1 - p) ** 2 * -p.log()).sum() / weights[labels].sum()
    focal = Classification(weights, prior, focal_gamma=2.0)
    torch.testing.assert_close(focal(logits, labels), by_hand)
    assert by_hand < 0.9 * Classification(weights, prior)(logits, labels)


def embedded(labels, noise=0.0):
    torch.manual_seed(0)
    prompts = torch.randn(8, 512)
    embedding = functional.normalize(prompts[labels] + noise * torch.randn(len(labels), 512), dim=1)
    return prompts, embedding


def test_pairs_is_clips_loss():
    labels = torch.tensor([0, 3, 3, 5])
    prompts, embedding = embedded(labels, 1.0)
    similarity = 14.0 * embedding @ functional.normalize(prompts, dim=1)[labels].T
    target = torch.arange(4)
    by_hand = (
        functional.cross_entropy(similarity, target)
        + functional.cross_entropy(similarity.T, target)
    ) / 2
    torch.testing.assert_close(Contrastive(prompts, 14.0)(embedding, labels), by_hand)


@pytest.mark.parametrize("seed", range(3))
def test_pairs_and_classes_are_one_loss_where_a_class_has_one_prompt(seed):
    """Columns of one class are equal, and rows too, so each class's terms have the same sum."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(8, (16,), generator=generator)
    prompts = torch.randn(8, 32, generator=generator)
    embedding = torch.randn(16, 32, generator=generator).requires_grad_()
    made = []
    for targets in ("pairs", "classes"):
        loss = Contrastive(prompts, 14.0, targets=targets)
        value = loss(functional.normalize(embedding, dim=1), labels)
        made.append((value, *torch.autograd.grad(value, [embedding, loss.log_scale])))
    assert len(labels.unique()) < len(labels) and made[0][1].abs().max() > 1e-3
    torch.testing.assert_close(made[0], made[1], rtol=1e-4, atol=1e-5)


def test_two_of_one_class_share_a_target():
    apart, double = torch.tensor([0, 1, 2, 3]), torch.tensor([0, 1, 2, 2])
    # In the second case two of four samples have to share a target.
    for labels, floor in ((apart, 0.0), (double, math.log(2) / 2)):
        prompts, embedding = embedded(labels)
        assert Contrastive(prompts, 100.0)(embedding, labels).item() == pytest.approx(
            floor, abs=1e-3
        )
    prompts, embedding = embedded(double)
    loss = Contrastive(prompts, 100.0, targets="classes")
    # The entropy of the target itself: there is nothing to gain.
    assert loss(embedding, double).item() == pytest.approx(math.log(2) / 2, abs=1e-3)
    similarity_gradient = torch.autograd.grad(loss(embedding.requires_grad_(), double), embedding)[
        0
    ]
    assert similarity_gradient.abs().max() < 1e-3
    wrong = embedded(torch.tensor([1, 0, 3, 3]))[1]
    assert loss(wrong, double) > 5


def test_scale_learns_unless_frozen_and_is_clamped():
    prompts, embedding = embedded(torch.tensor([0, 1]), 1.0)
    loss = Contrastive(prompts, 100.0)
    loss(embedding, torch.tensor([0, 1])).backward()
    assert loss.log_scale.grad is not None and loss.log_scale.grad != 0
    loss.log_scale.data += 1.0
    loss.clamp()
    assert loss.log_scale.exp().item() == pytest.approx(100.0)
    assert not Contrastive(prompts, 100.0, learnable=False).log_scale.requires_grad
