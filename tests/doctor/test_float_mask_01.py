"""float-mask-01: a mask of 0 and 1 is added to the scores."""

import math
from collections.abc import Callable

import mask_mistakes
import pytest
from examined import assert_only_found, diagnosed, found
from mask_mistakes import FLOAT_MASK_01


@pytest.mark.parametrize("mistake", FLOAT_MASK_01.values(), ids=FLOAT_MASK_01)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "float-mask-01")


def test_the_module_is_named(seed: int) -> None:
    assert found(diagnosed(mask_mistakes.zero_and_one_for_multihead()), "float-mask-01")[0].where == "attention.attend"


def test_evidence_of_a_mask_of_zero_and_one_is_how_much_is_still_seen(seed: int) -> None:
    evidence = found(diagnosed(mask_mistakes.zero_and_one_for_sdpa()), "float-mask-01")[0].evidence
    zero, one = evidence.values()
    assert 0 < zero < one < math.e * zero * 3
