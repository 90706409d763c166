"""dead-heads: a head changes no output."""

from collections.abc import Callable

import head_mistakes
import pytest
from examined import assert_only_found, diagnosed, found
from head_mistakes import DEAD_HEADS


@pytest.mark.parametrize("mistake", DEAD_HEADS.values(), ids=DEAD_HEADS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "dead-heads")


def test_the_module_is_named(seed: int) -> None:
    assert found(diagnosed(head_mistakes.a_head_without_values()), "dead-heads")[0].where == "attention"


def test_frozen_models_have_their_dead_heads_found(seed: int) -> None:
    model, inputs, options = head_mistakes.a_head_without_values()
    (finding,) = found(diagnosed((model.requires_grad_(False), inputs, options)), "dead-heads")
    assert "head 0 " in finding.title
