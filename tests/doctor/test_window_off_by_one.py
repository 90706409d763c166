"""window-off-by-one: a window reaches further, or less far, than it was said to."""

from collections.abc import Callable

import pytest
from decoding_mistakes import WINDOW_OFF_BY_ONE
from examined import assert_only_error


@pytest.mark.parametrize("mistake", WINDOW_OFF_BY_ONE.values(), ids=WINDOW_OFF_BY_ONE)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "window-off-by-one")
