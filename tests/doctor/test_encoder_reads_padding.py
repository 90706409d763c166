"""encoder-reads-padding: a recurrent encoder reads padding."""

from collections.abc import Callable

import pytest
from examined import assert_only_error, diagnosed, found
from padding_mistakes import ENCODER_READS_PADDING


@pytest.mark.parametrize("mistake", ENCODER_READS_PADDING.values(), ids=ENCODER_READS_PADDING)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "encoder-reads-padding")


@pytest.mark.parametrize(("mistake", "where"), [("bidirectional", "lstm"), ("last-state", "gru")])
def test_the_module_where_it_happens_is_named(mistake: str, where: str, seed: int) -> None:
    assert found(diagnosed(ENCODER_READS_PADDING[mistake]()), "encoder-reads-padding")[0].where == where
