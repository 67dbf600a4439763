"""A planted defect changes the verdict on the claim that needs what it takes away, and no other."""

from functools import cache

import pytest

from tests.support.defects import CLAIMS, DEFECTS, FALSE

INTACT = "intact"
each_defect = pytest.mark.parametrize("defect", DEFECTS)


@cache
def verdict(defect: str, claim: str) -> str:
    """On ``claim``, of models that were trained with ``defect``."""
    if defect == INTACT:
        return CLAIMS[claim].judged()
    plant, _ = DEFECTS[defect]
    with plant():
        return CLAIMS[claim].judged()


@pytest.mark.parametrize("claim", CLAIMS)
def test_without_a_defect_each_claim_is_supported_that_is_true(claim):
    assert (verdict(INTACT, claim) == "supported") == (claim != FALSE)


@each_defect
def test_a_defect_changes_the_verdict_that_it_should(defect):
    _, own = DEFECTS[defect]
    assert (verdict(defect, own) == "supported") == (own == FALSE)


def test_every_claim_but_the_control_is_some_defect_s_own():
    control = {"a step knows the frame before it"}
    assert {own for _, own in DEFECTS.values()} == set(CLAIMS) - control


@pytest.mark.slow
@each_defect
def test_a_defect_changes_no_other_verdict(defect):
    _, own = DEFECTS[defect]
    changed = [
        claim
        for claim in CLAIMS
        if (verdict(defect, claim) == "supported") != (verdict(INTACT, claim) == "supported")
    ]
    assert changed == [own]
