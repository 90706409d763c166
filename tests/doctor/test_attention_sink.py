"""attention-sink: every query looks at the same key."""

from collections.abc import Callable

import pytest
from examined import assert_only_found
from head_mistakes import ATTENTION_SINK


@pytest.mark.parametrize("mistake", ATTENTION_SINK.values(), ids=ATTENTION_SINK)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "attention-sink")
