"""dropout-in-eval: the same inputs give two results in evaluation mode."""

from collections.abc import Callable

import pytest
from examined import assert_only_error
from padding_mistakes import DROPOUT_IN_EVAL


@pytest.mark.parametrize("mistake", DROPOUT_IN_EVAL.values(), ids=DROPOUT_IN_EVAL)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "dropout-in-eval")
