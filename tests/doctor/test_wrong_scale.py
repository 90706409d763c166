"""wrong-scale: scores that are not divided by the square root of a head's features."""

import math
from collections.abc import Callable

import pytest
import softmax_mistakes
from examined import assert_only_found, diagnosed, found
from softmax_mistakes import WRONG_SCALE
from tagger import WIDTH, example


@pytest.mark.parametrize("mistake", WRONG_SCALE.values(), ids=WRONG_SCALE)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "wrong-scale")


@pytest.mark.parametrize("scale", [1.0, 1 / math.sqrt(WIDTH // 2 + 1)])
def test_an_unusual_scale_without_consequences_is_nobodys_mistake(scale: float, seed: int) -> None:
    made = example(softmax_mistakes.ScaledBy(scale), embedding_scale=0.5)
    assert not found(diagnosed(made), "wrong-scale")
