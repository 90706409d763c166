"""order-blind: the order of the tokens makes no difference."""

from collections.abc import Callable

import pytest
from examined import assert_only_found, diagnosed, found
from healthy_styles import HEALTHY
from position_mistakes import ORDER_BLIND


@pytest.mark.parametrize("mistake", ORDER_BLIND.values(), ids=ORDER_BLIND)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "order-blind")


def test_a_causal_model_without_positions_is_noted(seed: int) -> None:
    (finding,) = found(diagnosed(HEALTHY["no positions"]()), "order-blind")
    assert finding.severity == "note"
    assert "causal mask alone" in finding.title


@pytest.mark.parametrize("name", ["alibi", "rotary"])
def test_positions_within_attention_are_seen(name: str, seed: int) -> None:
    assert not found(diagnosed(HEALTHY[name]()), "order-blind")
