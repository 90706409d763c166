"""loss-counts-padding: padding counts in the loss."""

from collections.abc import Callable

import pytest
from decoding_mistakes import LOSS_COUNTS_PADDING
from examined import assert_only_error


@pytest.mark.parametrize("mistake", LOSS_COUNTS_PADDING.values(), ids=LOSS_COUNTS_PADDING)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "loss-counts-padding")
