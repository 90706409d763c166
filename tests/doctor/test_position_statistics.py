"""position-statistics: a norm over the positions."""

from collections.abc import Callable

import pytest
from examined import assert_only_found, diagnosed, found
from position_mistakes import POSITION_STATISTICS


@pytest.mark.parametrize("mistake", POSITION_STATISTICS.values(), ids=POSITION_STATISTICS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "position-statistics")


def test_the_layer_is_named(seed: int) -> None:
    (finding,) = found(diagnosed(POSITION_STATISTICS["behind-a-transpose"]()), "position-statistics")
    assert finding.where == "norm"
