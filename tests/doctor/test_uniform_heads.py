"""uniform-heads: a head reads every key alike."""

from collections.abc import Callable

import pytest
from examined import assert_only_found
from head_mistakes import UNIFORM_HEADS


@pytest.mark.parametrize("mistake", UNIFORM_HEADS.values(), ids=UNIFORM_HEADS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "uniform-heads")
