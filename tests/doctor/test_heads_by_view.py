"""heads-by-view: heads are mixed with positions."""

from collections.abc import Callable

import pytest
from examined import assert_only_error, diagnosed, found
from position_mistakes import HEADS_BY_VIEW


@pytest.mark.parametrize("mistake", HEADS_BY_VIEW.values(), ids=HEADS_BY_VIEW)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "heads-by-view")


@pytest.mark.parametrize("mistake", HEADS_BY_VIEW)
def test_the_attention_is_named(mistake: str, seed: int) -> None:
    (finding,) = found(diagnosed(HEADS_BY_VIEW[mistake]()), "heads-by-view")
    assert finding.where == "first"
