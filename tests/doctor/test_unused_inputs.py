"""unused-inputs: nothing depends on an input."""

from collections.abc import Callable

import pytest
from examined import assert_only_error, assert_only_found, found
from sequence_models import Translator, translation
from torch import nn
from unused_mistakes import UNUSED_INPUTS

import attentio as at


@pytest.mark.parametrize("mistake", UNUSED_INPUTS.values(), ids=UNUSED_INPUTS)
def test_each_mistake_is_found_and_nothing_else(mistake: Callable[[], tuple], seed: int) -> None:
    assert_only_found(mistake(), "unused-inputs")


def test_a_source_that_is_never_looked_at_is_an_error(seed: int) -> None:
    assert_only_error(UNUSED_INPUTS["own-states-as-memory"](), "unused-inputs")


def test_a_branch_whose_gate_is_shut_is_no_mistake(seed: int) -> None:
    model = Translator()
    nn.init.zeros_(model.cross.output.weight)
    nn.init.zeros_(model.cross.output.bias)
    assert not found(at.diagnose(model, translation()), "unused-inputs")
