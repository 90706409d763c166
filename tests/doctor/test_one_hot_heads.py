"""one-hot-heads: a head puts all its weight on one key."""

from collections.abc import Callable

import pytest
from examined import assert_only_found
from head_mistakes import ONE_HOT_HEADS


@pytest.mark.parametrize("mistake", ONE_HOT_HEADS.values(), ids=ONE_HOT_HEADS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "one-hot-heads")
