"""inverted-polarity: a mask read the wrong way round."""

from collections.abc import Callable

import pytest
from examined import assert_only_found
from mask_mistakes import INVERTED_POLARITY


@pytest.mark.parametrize("mistake", INVERTED_POLARITY.values(), ids=INVERTED_POLARITY)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "inverted-polarity")
