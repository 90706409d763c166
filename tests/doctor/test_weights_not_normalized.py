"""weights-not-normalized: the weights of a query do not sum to 1 over the keys."""

from collections.abc import Callable

import pytest
from examined import assert_only_found
from softmax_mistakes import WEIGHTS_NOT_NORMALIZED


@pytest.mark.parametrize("mistake", WEIGHTS_NOT_NORMALIZED.values(), ids=WEIGHTS_NOT_NORMALIZED)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "weights-not-normalized")
