"""remembers-calls: a result depends on the calls before."""

from collections.abc import Callable

import pytest
from examined import assert_only_error, errors
from mode_mistakes import REMEMBERS_CALLS

import attentio as at


@pytest.mark.parametrize("mistake", REMEMBERS_CALLS.values(), ids=REMEMBERS_CALLS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_error(mistake(), "remembers-calls")


def test_a_mask_that_was_kept_before_the_examination_is_of_no_use_to_it(seed: int) -> None:
    model, inputs, _ = REMEMBERS_CALLS["first-mask"]()
    model(**inputs)
    assert "remembers-calls" in errors(at.diagnose(model, inputs)) or not at.diagnose(model, inputs).healthy
